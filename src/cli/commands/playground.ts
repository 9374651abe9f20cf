import { type Command, Option } from "commander";
import { ExitError, UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import { fold } from "../output/fold.ts";
import type { Act } from "../session.ts";
import { each, integer, oneOf } from "../values.ts";

/**
 * Splits a command line of `playground` at somebody else's command in it: all that follows `--run`, `--run=WORD`
 * or `--`. Options in there belong to that command, so it must be cut off before options are parsed.
 * @param from index in argv of the word after "playground"
 */
export function splitForeignCommand(
  argv: readonly string[],
  from: number,
): { readonly own: readonly string[]; readonly foreign: readonly string[] | undefined } {
  const at = argv.findIndex((word, i) => i >= from && /^--(run(=.*)?)?$/s.test(word));
  if (at === -1) return { own: argv, foreign: undefined };
  const [mark, ...rest] = argv.slice(at) as [string, ...string[]];
  const own = argv.slice(0, at);
  if (mark.startsWith("--run=")) return { own, foreign: [mark.slice("--run=".length), ...rest] };
  return { own, foreign: mark === "--run" && rest[0] === "--" ? rest.slice(1) : rest };
}

/** A single word with white space in it is a line for the shell; several words are run as they are. */
const toRun = (words: readonly string[]): readonly string[] =>
  words.length === 1 && /\s/.test(words[0]!) ? ["sh", "-c", words[0]!] : words;

/** `waggle demo` and `waggle playground`. What they need is loaded only when they run. */
export function addPlaygroundCommands(program: Command, act: Act): void {
  examples(
    program
      .command("demo")
      .description(
        "See everything at work: pods, plugins in the datapath, changes under traffic without loss",
      )
      .option("--fake", "without BPF: the same API calls, but no packet is sent")
      .addHelpText(
        "after",
        "\nEverything happens in network namespaces of its own, which are removed at the end. Takes under a minute and\nends with 1 if any claim did not hold. Needs root.",
      )
      .action(
        act(async (session, options: { readonly fake?: boolean }) => {
          const { runDemo } = await import("../../playground/demo.ts");
          const facts = await runDemo({
            fake: options.fake === true,
            signal: session.signal,
            style: session.style,
            write: session.json
              ? () => undefined
              : (text) => session.print(fold(text, session.io.out.columns)),
          });
          if (session.json) session.print(`${JSON.stringify(facts, undefined, 2)}\n`);
          if (!facts.ok) throw new ExitError(1);
        }),
      ),
    ["Watch it", "waggle demo"],
    ["Its facts, for a script", "waggle demo --json | jq '{ok, lost, leftovers}'"],
  );

  interface PlaygroundOptions {
    readonly nodes: number;
    readonly pods: number;
    readonly routingMode: "tunnel" | "native";
    readonly ipv6: boolean;
    readonly plugin: readonly string[];
    readonly fake?: boolean;
    readonly run?: readonly string[];
  }
  examples(
    program
      .command("playground")
      .description("Keep nodes, an outside host and pods up for exploring, until ^C")
      .option(
        "--nodes <n>",
        "how many nodes; several share their state through etcd",
        integer("--nodes", 1, 50),
        1,
      )
      .option("--pods <n>", "how many pods on all nodes together", integer("--pods", 0, 200), 2)
      .option(
        "--routing-mode <mode>",
        "how packets get to pods of other nodes: in VXLAN (tunnel), or as they are (native)",
        oneOf("--routing-mode", ["tunnel", "native"]),
        "tunnel",
      )
      .option("--no-ipv6", "IPv4 alone")
      .option("--plugin <directory>", "register and enable a plugin; several by repeating it", each, [])
      .option("--fake", "without BPF: the API works, packets do not")
      .addOption(
        new Option(
          "--run <command...>",
          "run this in the (first) node's namespace, take everything down, end with its exit code; all that follows is the command, and a single quoted word is a line for sh",
        ).argParser((words): readonly string[] => JSON.parse(words) as string[]),
      )
      .addHelpText(
        "after",
        "\nA command run with --run finds waggle on its PATH, WAGGLE_SOCKET set, and the namespaces in WAGGLE_NODE_NETNS,\nWAGGLE_OUTSIDE_NETNS, WAGGLE_POD1_NETNS, … (for nsenter --net=/run/netns/NAME), addresses in WAGGLE_POD1_IPV4,\nWAGGLE_POD1_IPV6, …; with several nodes WAGGLE_NODE1_NETNS, WAGGLE_NODE1_SOCKET, …. WAGGLE_CLUSTER names a file that\ndescribes it all, which waggle connectivity test reads. Needs root, and with several nodes Debian's etcd-server.",
      )
      .action(
        act(async (session, options: PlaygroundOptions) => {
          if (options.run !== undefined && (options.run[0] ?? "").trim() === "")
            throw new UsageError("--run needs a command");
          const { runPlayground } = await import("../../playground/explore.ts");
          const code = await runPlayground({
            nodes: options.nodes,
            pods: options.pods,
            routingMode: options.routingMode,
            ipv6: options.ipv6,
            plugins: options.plugin,
            fake: options.fake === true,
            command: options.run === undefined ? undefined : toRun(options.run),
            signal: session.signal,
            json: session.json,
            style: session.style,
            print: (text) => session.print(text),
            during: (what, work) => session.during(what, work),
          });
          if (code !== 0) throw new ExitError(code);
        }),
      ),
    ["Look around in another terminal", "waggle playground --pods 3"],
    ["Three nodes, tested", "waggle playground --nodes 3 --pods 4 --run waggle connectivity test"],
    ["Try a plugin", "waggle playground --plugin ./my-plugin"],
    ["A test of your own", "waggle playground --run 'ping -c 3 $WAGGLE_POD1_IPV4 && waggle metrics'"],
  );
}
