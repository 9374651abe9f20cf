import { resolve } from "node:path";
import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import {
  AttachmentPolicy,
  type HookCounters,
  type Plugin,
  PluginConfigType,
  PluginRecordFieldType,
} from "../../gen/waggle/v1/plugin.ts";
import { UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { word } from "../output/plain.ts";
import { facts, table } from "../output/table.ts";
import type { Act, Session } from "../session.ts";
import { integer, keyValue } from "../values.ts";
import { addChainCommand } from "./chain.ts";
import { addPluginMapCommands } from "./plugin-map.ts";
import { addPluginRecordsCommand } from "./plugin-records.ts";

const enums = { attachmentPolicy: AttachmentPolicy };
const priority = integer("a priority", -1_000_000, 1_000_000);
const config = keyValue("a value");

/** Values of a plugin's config, and fields of its records, have types of their own. */
const plainPlugin = (plugin: Plugin): unknown => ({
  ...plugin,
  config: plugin.config.map((field) => ({ ...field, type: word(PluginConfigType, field.type) })),
  records: plugin.records.map((layout) => ({
    ...layout,
    fields: layout.fields.map((field) => ({ ...field, type: word(PluginRecordFieldType, field.type) })),
  })),
});

const pluginsTable = (plugins: readonly Plugin[], style: Style): string =>
  table(
    ["Name", "Version", "Enabled", "Priority", "Policy", "Rewrites", "Hooks"],
    plugins.map((plugin) => [
      plugin.name,
      plugin.version,
      plugin.enabled ? style.good("yes") : style.dim("no"),
      String(plugin.priority),
      word(AttachmentPolicy, plugin.attachmentPolicy),
      plugin.hooks.some(({ rewritesPackets }) => rewritesPackets) ? "yes" : "no",
      plugin.hooks.map(({ point }) => point).join(" "),
    ]),
  );

const detail = (plugin: Plugin, style: Style): string =>
  facts([
    [
      "Plugin",
      `${plugin.name} ${plugin.version}  ${plugin.enabled ? style.good("enabled") : style.dim("disabled")}`,
    ],
    ["About", plugin.description || undefined],
    ["Directory", plugin.directory],
    [
      "Priority",
      `${plugin.priority}${plugin.priority === plugin.manifestPriority ? "" : ` (manifest: ${plugin.manifestPriority})`}`,
    ],
    [
      "If it fails",
      plugin.attachmentPolicy === AttachmentPolicy.ALWAYS ? "the endpoint is not ready" : "it is left out",
    ],
    [
      "Hooks",
      plugin.hooks
        .map(({ point, before, after, rewritesPackets }) =>
          [
            point,
            `rewrites packets: ${rewritesPackets ? "yes" : "no"}`,
            before.length > 0 ? `before ${before.join(", ")}` : "",
            after.length > 0 ? `after ${after.join(", ")}` : "",
          ]
            .filter((text) => text !== "")
            .join("  "),
        )
        .join("\n"),
    ],
    [
      "Config",
      plugin.config
        .map(
          (field) =>
            `${field.name} = ${field.value}  (${word(PluginConfigType, field.type)}) ${field.description}`,
        )
        .join("\n") || undefined,
    ],
    [
      "Maps",
      plugin.maps
        .map(
          (map) =>
            `${map.name}  ${map.typeName}, key ${map.keySize} B, value ${map.valueSize} B, ${map.maxEntries} entries`,
        )
        .join("\n") || undefined,
    ],
    [
      "Records",
      plugin.records
        .map(({ map, fields }) => `${map}  ${fields.map((field) => field.name).join(", ")}`)
        .join("\n") || undefined,
    ],
  ]);

const showOne = (session: Session, plugin: Plugin | undefined): void =>
  session.show(
    plugin && plainPlugin(plugin),
    () => (plugin === undefined ? "" : detail(plugin, session.style)),
    enums,
  );

function addLifecycle(plugin: Command, act: Act): void {
  interface RegisterOptions {
    readonly enable?: boolean;
    readonly priority?: number;
    readonly set?: Readonly<Record<string, string>>;
    readonly replaceMaps?: boolean;
  }
  examples(
    plugin
      .command("register")
      .argument("<directory>", "directory with plugin.yaml and hooks/, on the agent's machine")
      .description("Read, check and compile a plugin, or upgrade one in place")
      .option("--enable", "link it at once")
      .option("--priority <n>", "lower runs earlier; the manifest's otherwise", priority)
      .option("--set <name=value>", "a value the plugin takes; several by repeating it", config)
      .option("--replace-maps", "drop its old maps whose layout changed; refused otherwise")
      .action(
        act(async (session, directory: string, options: RegisterOptions) => {
          const { plugin: made } = await session.during(`compiling ${directory}`, () =>
            session.client.plugins.registerPlugin({
              directory: resolve(directory),
              enable: options.enable === true,
              config: { ...options.set },
              replaceMaps: options.replaceMaps === true,
              ...(options.priority === undefined ? {} : { priority: options.priority }),
            }),
          );
          showOne(session, made);
        }),
      ),
    ["Try a plugin of your own", "waggle plugin register ./my-plugin --enable"],
    ["With a value it takes", "waggle plugin register ./rate-limit --enable --set rate=1000"],
  );

  for (const verb of ["enable", "disable"] as const) {
    examples(
      plugin
        .command(verb)
        .argument("<name>", "name of the plugin")
        .description(
          verb === "enable"
            ? "Link a plugin into the datapath, without losing a packet"
            : "Take a plugin out of all chains, without losing a packet; its maps stay",
        )
        .action(
          act(async (session, name: string) => {
            const { plugin: now } = await session.during(`relinking`, () =>
              verb === "enable"
                ? session.client.plugins.enablePlugin({ name })
                : session.client.plugins.disablePlugin({ name }),
            );
            showOne(session, now);
          }),
        ),
      [verb === "enable" ? "Link it" : "Take it out", `waggle plugin ${verb} packet-counter`],
    );
  }

  examples(
    plugin
      .command("configure")
      .argument("<name>", "name of the plugin")
      .description("Change priority or values; chains are relinked without losing a packet")
      .option("--priority <n>", "lower runs earlier", priority)
      .option("--set <name=value>", "a value the plugin takes; several by repeating it", config)
      .action(
        act(async (session, name: string, options: Pick<RegisterOptions, "priority" | "set">) => {
          if (options.priority === undefined && options.set === undefined) {
            throw new UsageError("nothing to change: give --priority or --set");
          }
          const { plugin: now } = await session.during("relinking", () =>
            session.client.plugins.configurePlugin({
              name,
              config: { ...options.set },
              ...(options.priority === undefined ? {} : { priority: options.priority }),
            }),
          );
          showOne(session, now);
        }),
      ),
    ["Run it before the others", "waggle plugin configure packet-counter --priority 1"],
  );

  plugin
    .command("unregister")
    .alias("rm")
    .argument("<name...>", "names of plugins")
    .description("Take plugins out of all chains and forget them with their maps")
    .action(
      act(async (session, names: readonly string[]) => {
        for (const name of names) {
          await session.client.plugins.unregisterPlugin({ name });
          session.showLine({ unregistered: name }, () => `unregistered ${name}`);
        }
      }),
    );
}

const counterRow = (counters: HookCounters, style: Style): string[] => [
  counters.hook === "" ? style.bold("total") : counters.hook,
  counters.attachment,
  String(counters.packets),
  String(counters.next),
  String(counters.pass),
  counters.drop > 0n ? style.warn(String(counters.drop)) : "0",
  String(counters.redirect),
  String(counters.other),
  counters.missed > 0n ? style.bad(String(counters.missed)) : "0",
];

/** Counters of plugins as a table; hook "" is the sum. */
const countersTable = (counters: readonly HookCounters[], style: Style): string =>
  table(
    ["Hook", "Attachment", "Packets", "Next", "Pass", "Drop", "Redirect", "Other", "Missed"],
    counters.map((one) => counterRow(one, style)),
  );

/** `waggle plugin …` */
export function addPluginCommands(program: Command, act: Act): void {
  const plugin = program
    .command("plugin")
    .description("BPF code of others in the middle of the datapath: register, order, watch its counters");

  plugin
    .command("list")
    .alias("ls")
    .description("List registered plugins")
    .action(
      act(async (session) => {
        const plugins = await everything(
          (page) => session.client.plugins.listPlugins(page),
          (page) => page.plugins,
        );
        session.show(
          { plugins: plugins.map(plainPlugin) },
          () => pluginsTable(plugins, session.style),
          enums,
        );
      }),
    );

  plugin
    .command("get")
    .argument("<name>", "name of the plugin")
    .description("Show one plugin with hooks, values and maps")
    .action(
      act(async (session, name: string) => {
        const { plugin: found } = await session.client.plugins.getPlugin({ name });
        showOne(session, found);
      }),
    );

  addLifecycle(plugin, act);
  addChainCommand(plugin, act);

  examples(
    plugin
      .command("stats")
      .argument("<name>", "name of the plugin")
      .description("Count packets by hook point, attachment and verdict")
      .option("--attachment <name>", "only this one: lxc-12, netdev-eth0, host-cilium_host", "")
      .action(
        act(async (session, name: string, options: { readonly attachment: string }) => {
          const stats = await session.client.plugins.getPluginStats({ name, attachment: options.attachment });
          session.show(stats, () =>
            countersTable(
              [...stats.counters, ...(stats.total === undefined ? [] : [stats.total])],
              session.style,
            ),
          );
        }),
      ),
    ["What it does for pod 12", "waggle plugin stats packet-counter --attachment lxc-12"],
  );

  addPluginMapCommands(plugin, act);
  addPluginRecordsCommand(plugin, act);
}
