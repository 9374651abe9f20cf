import type { Command } from "commander";
import { Exit, UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import { type Io, styleFor } from "../output/io.ts";
import type { Act, Session } from "../session.ts";

// `agent` and `hive` alone load the agent, and only when they run: everything else in here speaks to one.
type Agent = typeof import("../../agent.ts");
type Hive = ReturnType<Agent["agentHive"]>;
type FlagDescription = ReturnType<Hive["flags"]>[number];
type ModuleNode = ReturnType<Hive["describe"]>;
const loadAgent = (): Promise<Agent> => import("../../agent.ts");

const flagLine = (flag: FlagDescription): readonly [string, string] => [
  `--${flag.name}${flag.kind === "bool" ? "" : ` <${flag.kind}>`}`,
  [
    flag.help,
    flag.choices === undefined ? "" : `(${flag.choices.join(", ")})`,
    flag.defaultText === "" ? "" : `[${flag.defaultText}]`,
  ]
    .filter((text) => text !== "")
    .join(" "),
];

async function agentHelp(io: Io): Promise<string> {
  const flags = (await loadAgent())
    .agentHive()
    .flags()
    .filter(({ hidden }) => !hidden);
  const { bold } = styleFor(io.out, io.env);
  const modules = [...new Set(flags.map(({ module }) => module))];
  const room = Math.max(...flags.map((flag) => flagLine(flag)[0].length));
  const sections = modules.map((module) => {
    const lines = flags
      .filter((flag) => flag.module === module)
      .map(flagLine)
      .map(([name, help]) => `  ${name.padEnd(room)}  ${help}\n`);
    return `${bold(`${module === "" ? "general" : module}:`)}\n${lines.join("")}`;
  });
  return `Usage: waggle agent [flags]

Runs the agent of this node until a signal ends it. Needs root. The datapath stays when the agent ends: pods keep
their connectivity, and the next agent takes over. waggle cleanup removes it.

Every flag is also a WAGGLE_* variable (--pod-cidr: WAGGLE_POD_CIDR) and a line of a file given with --config.

${sections.join("\n")}
Examples:
  # A node whose pods get addresses of 10.0.1.0/24
  waggle agent --devices eth0 --pod-cidr 10.0.1.0/24
  # Without privileges: the API with a fake datapath
  waggle agent --datapath fake --state-dir /tmp/waggle --socket /tmp/waggle.sock
`;
}

/**
 * Splits the agent's command line into texts by flag name. Which flags there are, and what they take, is for the
 * hive to say: it knows them all and suggests the one that was meant.
 * @throws UsageError
 */
function parseAgentFlags(argv: readonly string[], booleans: ReadonlySet<string>): Record<string, string> {
  const flags: Record<string, string> = {};
  for (let at = 0; at < argv.length; at++) {
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(argv[at]!);
    if (match === null) throw new UsageError(`the agent takes flags only, not ${JSON.stringify(argv[at])}`);
    const name = match[1]!;
    const positive = name.replace(/^no-/, "");
    if (Object.hasOwn(flags, name)) throw new UsageError(`--${name} is given twice`);
    if (match[2] !== undefined) flags[name] = match[2];
    else if (booleans.has(name)) flags[name] = "true";
    else if (booleans.has(positive)) flags[positive] = "false";
    else {
      const value = argv[++at];
      if (value === undefined) throw new UsageError(`--${name} needs a value`);
      flags[name] = value;
    }
  }
  return flags;
}

/** Runs the agent until a signal ends it. */
export async function runAgentCommand(argv: readonly string[], io: Io): Promise<number> {
  try {
    if (argv.includes("--help") || argv.includes("-h")) {
      io.out.write(await agentHelp(io));
      return Exit.ok;
    }
    const { agentHive, runAgent } = await loadAgent();
    const known = agentHive().flags();
    const booleans = new Set(known.filter(({ kind }) => kind === "bool").map(({ name }) => name));
    const { config: file = io.env.WAGGLE_CONFIG_FILE, ...flags } = parseAgentFlags(argv, booleans);
    await runAgent({ flags, env: { ...io.env }, ...(file === undefined ? {} : { file }) });
    return Exit.ok;
  } catch (error) {
    const { bad } = styleFor(io.err, io.env);
    const refusal = settingRefusal(error);
    io.err.write(`${bad("waggle agent:")} ${(refusal ?? toError(error)).message}\n`);
    return refusal === undefined ? Exit.failure : Exit.usage;
  }
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** What within an error says that the command line or a setting must be changed. */
function settingRefusal(error: unknown): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  const refusals = ["HiveValidationError", "SettingConflictError"];
  if (error instanceof UsageError || refusals.includes(error.name)) return error;
  const parts: readonly unknown[] = error instanceof AggregateError ? error.errors : [error.cause];
  return parts.map(settingRefusal).find((refusal) => refusal !== undefined);
}

function moduleLines(node: ModuleNode, depth: number, session: Session): string {
  const { bold, dim } = session.style;
  const indent = "  ".repeat(depth);
  const config = node.config.map((entry) => {
    const from = entry.source === "default" ? "" : dim(` (${entry.origin})`);
    return `${indent}  ${dim("setting")}   ${entry.flag} = ${JSON.stringify(entry.value)}${from}\n`;
  });
  const provides = node.provides
    .filter(({ kind }) => kind !== "config")
    .map((token) => {
      const needs = token.needs.length === 0 ? "" : dim(` ← ${token.needs.join(", ")}`);
      return `${indent}  ${dim(token.private ? "private" : token.kind.padEnd(7))}   ${token.name}${needs}\n`;
    });
  const invokes = node.invokes.map(
    (needs) => `${indent}  ${dim("invoke ")}   ${dim("←")} ${needs.join(", ")}\n`,
  );
  const hooks = node.hooks.map((hook) => `${indent}  ${dim("hook   ")}   ${hook.name} (${hook.state})\n`);
  return [
    `${indent}${bold(node.id)}  ${node.title}\n`,
    ...config,
    ...provides,
    ...invokes,
    ...hooks,
    ...node.modules.map((child) => moduleLines(child, depth + 1, session)),
  ].join("");
}

/** `waggle agent` (for its help) and `waggle hive`. */
export function addAgentCommands(program: Command, act: Act): void {
  program
    .command("agent")
    .description("Run the agent of this node (waggle agent --help lists its flags)")
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments();

  examples(
    program
      .command("hive")
      .argument("[what]", "dot-graph for the dependency graph in the language of graphviz")
      .description("Show what the agent is composed of: modules, settings, what they provide and need")
      .option("--running", "ask the running agent, hooks and constructed objects included")
      .action(
        act(async (session, what: string | undefined, options: { readonly running?: boolean }) => {
          if (what !== undefined && what !== "dot-graph") {
            throw new UsageError(
              `waggle hive shows the tree, waggle hive dot-graph the graph; there is no ${what}`,
            );
          }
          if (options.running === true) return await showRunning(session, what === "dot-graph");
          const hive = (await loadAgent()).agentHive();
          if (what === "dot-graph") return session.show({ dot: hive.dot() }, () => hive.dot());
          const tree = hive.describe();
          session.show(tree, () => moduleLines(tree, 0, session));
        }),
      ),
    ["The tree", "waggle hive"],
    ["A picture", "waggle hive dot-graph | dot -Tsvg > hive.svg"],
  );
}

async function showRunning(session: Session, graph: boolean): Promise<void> {
  if (graph) {
    const { dot } = await session.client.agent.getCellGraph({});
    return session.show({ dot }, () => dot);
  }
  const { root } = await session.client.agent.getCells({});
  if (root === undefined) return;
  type Sent = typeof root;
  const asNode = (module: Sent): ModuleNode =>
    ({
      ...module,
      invokes: module.invokes.map(({ needs }) => needs),
      config: module.config.map((entry) => ({ ...entry, value: JSON.parse(entry.value) as unknown })),
      modules: module.modules.map(asNode),
    }) as ModuleNode;
  const tree = asNode(root);
  session.show(tree, () => moduleLines(tree, 0, session));
}
