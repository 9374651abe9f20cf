import { isIP } from "node:net";
import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import type { PluginMap, PluginMapEntry, PluginMapKey } from "../../gen/waggle/v1/plugin.ts";
import { NotFoundError } from "../exit.ts";
import { examples } from "../help.ts";
import { exact } from "../output/plain.ts";
import { table } from "../output/table.ts";
import type { Act, Session } from "../session.ts";
import { bytes } from "../values.ts";

/** Map types with one value a CPU (include/uapi/linux/bpf.h): percpu_hash, percpu_array, lru_percpu_hash. */
const perCpuTypes = new Set([5, 6, 10]);

const keyOf = (text: string): PluginMapKey => ({
  key:
    isIP(text.replace(/\/\d+$/, "")) !== 0
      ? { $case: "cidr", value: text }
      : { $case: "raw", value: bytes("a key", text) },
});

const hex = (data: Uint8Array): string => `0x${Buffer.from(data).toString("hex")}`;

/** A little-endian number, for values of 1, 2, 4 or 8 bytes. */
function number(data: Uint8Array): bigint | undefined {
  if (![1, 2, 4, 8].includes(data.length)) return undefined;
  return BigInt(`0x${Buffer.from(data).reverse().toString("hex")}`);
}

/** The values of an entry: one, or one a CPU. Those of per-CPU maps are padded to 8 bytes each. */
function valuesOf(map: PluginMap, value: Uint8Array): readonly Uint8Array[] {
  if (!perCpuTypes.has(map.type)) return [value];
  const stride = Math.ceil(map.valueSize / 8) * 8;
  return Array.from({ length: value.length / stride }, (_, cpu) =>
    value.subarray(cpu * stride, cpu * stride + map.valueSize),
  );
}

const keyText = (key: PluginMapKey | undefined): string => {
  if (key?.key === undefined) return "";
  return key.key.$case === "cidr" ? key.key.value : hex(key.key.value);
};

/** What an entry says, as data. `sum` is there for per-CPU counters. */
function describe(map: PluginMap, entry: PluginMapEntry) {
  const values = valuesOf(map, entry.value);
  const numbers = values.map(number);
  const known = numbers.every((one): one is bigint => one !== undefined);
  const sum = known ? numbers.reduce((total, one) => total + one, 0n) : undefined;
  return {
    key: keyText(entry.key),
    values: values.map(hex),
    ...(sum === undefined ? {} : values.length > 1 ? { sum: exact(sum) } : { number: exact(sum) }),
  };
}

async function mapOf(session: Session, plugin: string, name: string): Promise<PluginMap> {
  const { plugin: found } = await session.client.plugins.getPlugin({ name: plugin });
  const map = found?.maps.find((one) => one.name === name);
  if (map !== undefined) return map;
  const names = found?.maps.map((one) => one.name).join(", ") || "none";
  throw new NotFoundError(`plugin ${plugin} owns no map ${JSON.stringify(name)}; it owns: ${names}`);
}

async function listMaps(session: Session, plugin: string, name: string | undefined): Promise<void> {
  if (name === undefined) {
    const { plugin: found } = await session.client.plugins.getPlugin({ name: plugin });
    const maps = found?.maps ?? [];
    session.show({ maps }, () =>
      table(
        ["Map", "Type", "Key", "Value", "Entries at most"],
        maps.map((map) => [
          map.name,
          map.typeName,
          `${map.keySize} B`,
          `${map.valueSize} B`,
          String(map.maxEntries),
        ]),
      ),
    );
    return;
  }
  const map = await mapOf(session, plugin, name);
  const entries = await everything(
    (page) => session.client.plugins.listPluginMapEntries({ ...page, plugin, map: name }),
    (page) => page.entries,
  );
  const described = entries.map((entry) => describe(map, entry));
  session.show({ entries: described }, () =>
    table(
      ["Key", "Value", "As a number"],
      described.map((entry) => [
        entry.key,
        entry.values.join(" "),
        "sum" in entry ? `${entry.sum} over all CPUs` : "number" in entry ? String(entry.number) : "",
      ]),
    ),
  );
}

/** `waggle plugin map …` */
export function addPluginMapCommands(plugin: Command, act: Act): void {
  const map = plugin
    .command("map")
    .description("Entries of maps that a plugin owns")
    .addHelpText(
      "after",
      "\nKeys and values are bytes in memory order (0x0a000105), little-endian numbers (u32:5, u64:1000), or, as keys\nof LPM tries over addresses, prefixes (10.0.0.0/8, fd00::/64).",
    );

  examples(
    map
      .command("list")
      .alias("ls")
      .argument("<plugin>", "name of the plugin")
      .argument("[map]", "name of the map in its source; without it the maps are listed")
      .description("List the maps of a plugin, or the entries of one")
      .action(act(listMaps)),
    ["Read a counter", "waggle plugin map list packet-counter packet_count"],
  );

  examples(
    map
      .command("update")
      .alias("set")
      .argument("<plugin>", "name of the plugin")
      .argument("<map>", "name of the map")
      .argument("<key>", "key")
      .argument("[value]", "value; may be left out for prefixes: then it is 1")
      .description("Create or replace an entry")
      .action(
        act(async (session, name: string, mapName: string, key: string, value: string | undefined) => {
          const { count } = await session.client.plugins.updatePluginMapEntries({
            plugin: name,
            map: mapName,
            entries: [
              { key: keyOf(key), value: value === undefined ? Buffer.alloc(0) : bytes("a value", value) },
            ],
          });
          session.showLine({ updated: count }, () => `updated ${count}`);
        }),
      ),
    ["Put a network on a block list", "waggle plugin map update blocklist blocked 192.0.2.0/24"],
    ["Set a limit", "waggle plugin map update limits per_port u32:80 u64:1000"],
  );

  map
    .command("delete")
    .alias("rm")
    .argument("<plugin>", "name of the plugin")
    .argument("<map>", "name of the map")
    .argument("<key...>", "keys")
    .description("Delete entries; absent keys are no error")
    .action(
      act(async (session, name: string, mapName: string, keys: readonly string[]) => {
        const { count } = await session.client.plugins.deletePluginMapEntries({
          plugin: name,
          map: mapName,
          keys: keys.map(keyOf),
        });
        session.showLine({ deleted: count }, () => `deleted ${count}`);
      }),
    );
}
