import { type Command, Option } from "commander";
import { ExitError, UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import { connectivityReport } from "../output/connectivity.ts";
import type { Act, Session } from "../session.ts";
import { each, integer } from "../values.ts";

interface TestOptions {
  readonly filter: readonly string[];
  readonly parallel: number;
  readonly cluster?: string;
  readonly list?: boolean;
}

/** Agents named on the command line beat a described cluster. */
async function clusterFor(session: Session, file: string | undefined) {
  const { clusterOfAgents } = await import("../../connectivity/index.ts");
  const { readClusterFile } = await import("../../playground/cluster-file.ts");
  const { address, sockets } = session.options;
  if (address !== undefined)
    throw new UsageError("pods of an agent on another machine cannot be entered: name agents by --socket");
  if (sockets.length === 0 && file !== undefined && file !== "") return readClusterFile(file);
  return clusterOfAgents(sockets.length > 0 ? sockets : [session.options.socket]);
}

async function test(session: Session, options: TestOptions): Promise<void> {
  const { caseName, discover, filtered, makePlan, runCases } = await import("../../connectivity/index.ts");
  const cluster = await clusterFor(session, options.cluster);
  const topology = await discover(cluster);
  try {
    const plan = filtered(await makePlan(topology), options.filter);
    if (options.list === true) {
      session.show({ cases: plan.cases.map(caseName) }, () =>
        plan.cases.map((one) => `${caseName(one)}\n`).join(""),
      );
      return;
    }
    const begun = performance.now();
    const results = await session.during("testing", (progress) =>
      runCases({
        topology,
        cases: plan.cases,
        parallel: options.parallel,
        signal: session.signal,
        onProgress: (done, failed, name) => {
          const bad = failed === 0 ? "" : `, ${failed} failed`;
          progress.say(`${done} of ${plan.cases.length}${bad}: ${name}`);
        },
      }),
    );
    const ok = results.length > 0 && results.every((result) => result.ok);
    const ms = Math.round(performance.now() - begun);
    session.show({ ok, ms, results, skipped: plan.skipped }, () =>
      connectivityReport({ results, skipped: plan.skipped, ms }, session.style),
    );
    if (!ok) throw new ExitError(1);
  } finally {
    topology.close();
  }
}

/** `waggle connectivity …` */
export function addConnectivityCommands(program: Command, act: Act): void {
  const connectivity = program.command("connectivity").description("Whether packets get where they should");

  examples(
    connectivity
      .command("test")
      .description("Send real traffic over every path between pods, nodes, services and the outside")
      .option(
        "--filter <word>",
        "only what has this in its name, see --list; several by repeating it: all must fit",
        each,
        [],
      )
      .option("--parallel <n>", "how many at a time", integer("--parallel", 1, 64), 4)
      .addOption(
        new Option("--cluster <file>", "description of the cluster, as a playground writes it").env(
          "WAGGLE_CLUSTER",
        ),
      )
      .option("--list", "say what would be tested, and end")
      .addHelpText(
        "after",
        "\nRuns on the machine of the agents, as root: it enters the network namespaces of pods and nodes. Without a\ndescription of the cluster, name all agents with --socket, repeated. Services that it needs are made through the\nAPI, under names that begin with connectivity-test/, and removed. Ends with 0 only if everything passed.",
      )
      .action(act(test)),
    ["In a playground", "waggle playground --nodes 3 --pods 4 --run waggle connectivity test"],
    [
      "Agents of one machine",
      "waggle connectivity test --socket /run/a/waggle.sock --socket /run/b/waggle.sock",
    ],
    ["What failed, for a script", "waggle connectivity test --json | jq '.results[] | select(.ok | not)'"],
  );
}
