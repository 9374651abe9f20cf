import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import type { Chain } from "../../gen/waggle/v1/plugin.ts";
import { UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { table } from "../output/table.ts";
import type { Act, Session } from "../session.ts";
import { integer, keyValue, list } from "../values.ts";

/** "alpha 1.0.0 → beta 1.0.0 → tail_ct_ingress_v4" */
const chainText = (chain: Chain, style: Style): string =>
  [...chain.links.map((link) => `${style.bold(link.plugin)} ${link.version}`), chain.target].join(" → ");

function chainsText(all: readonly Chain[], style: Style, complete: boolean): string {
  const worthSeeing = ({ links, unresolved, skipped }: Chain): boolean =>
    links.length + unresolved.length + skipped.length > 0;
  const chains = complete ? all : all.filter(worthSeeing);
  if (chains.length === 0) return "no plugin is linked anywhere: every stage calls the next one directly\n";
  const notes = (chain: Chain): readonly string[] => [
    ...chain.unresolved.map((constraint) => style.warn(`names a plugin that is not there: ${constraint}`)),
    ...chain.skipped.map(({ plugin, reason }) => style.bad(`left out: ${plugin}: ${reason}`)),
  ];
  return table(
    ["Attachment", "Hook", "Chain"],
    chains.flatMap((chain) => [
      [chain.attachment, chain.hook, chainText(chain, style)],
      ...notes(chain).map((note) => ["", "", note]),
    ]),
  );
}

interface ChainOptions {
  readonly hook: string;
  readonly plugin: string;
  readonly all?: boolean;
  readonly plan?: boolean;
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
  readonly priority?: Readonly<Record<string, string>>;
}

async function showPlan(session: Session, options: ChainOptions): Promise<void> {
  const number = integer("a priority", -1_000_000, 1_000_000);
  const { chains } = await session.client.plugins.planChains({
    enable: [...(options.enable ?? [])],
    disable: [...(options.disable ?? [])],
    priorities: Object.fromEntries(
      Object.entries(options.priority ?? {}).map(([name, text]) => [name, number(text)]),
    ),
  });
  session.show({ chains }, () =>
    table(
      ["Hook", "Order"],
      chains.map(({ hook, plugins }) => [hook, plugins.join(" → ")]),
    ),
  );
}

async function showChains(
  session: Session,
  attachment: string | undefined,
  options: ChainOptions,
): Promise<void> {
  const assumptions = options.enable ?? options.disable ?? options.priority;
  if (options.plan === true) return await showPlan(session, options);
  if (assumptions !== undefined) throw new UsageError("--enable, --disable and --priority go with --plan");
  const { hook, plugin } = options;
  const chains = await everything(
    (page) => session.client.plugins.listChains({ ...page, attachment: attachment ?? "", hook, plugin }),
    (page) => page.chains,
  );
  session.show({ chains }, () => chainsText(chains, session.style, options.all === true));
}

/** `waggle plugin chain` */
export function addChainCommand(plugin: Command, act: Act): void {
  examples(
    plugin
      .command("chain")
      .alias("chains")
      .argument("[attachment]", "lxc (all pods), netdev-eth0, host-cilium_host; all without it")
      .description("Show in which order packets meet plugins, or plan what a change would do")
      .option("--hook <name>", "only this hook point", "")
      .option("--plugin <name>", "only chains with this plugin", "")
      .option("--all", "also hook points without plugins")
      .option("--plan", "say what the order would be, and change nothing")
      .option("--enable <names>", "with --plan: as if these were enabled", list)
      .option("--disable <names>", "with --plan: as if these were disabled", list)
      .option("--priority <name=n>", "with --plan: as if it had this priority", keyValue("a priority"))
      .action(act(showChains)),
    ["The chains of all pods", "waggle plugin chain lxc"],
    ["Would this make a cycle, or blow the tail-call budget?", "waggle plugin chain --plan --enable audit"],
  );
}
