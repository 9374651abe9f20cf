import { type Command, Option } from "commander";
import { ExitError, UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Act } from "../session.ts";
import { each, integer } from "../values.ts";

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
            write: session.json ? () => undefined : (text) => session.print(text),
          });
          if (session.json) session.print(`${JSON.stringify(facts, undefined, 2)}\n`);
          if (!facts.ok) throw new ExitError(1);
        }),
      ),
    ["Watch it", "waggle demo"],
    ["Its facts, for a script", "waggle demo --json | jq '{ok, lost, leftovers}'"],
  );

  interface PlaygroundOptions {
    readonly pods: number;
    readonly plugin: readonly string[];
    readonly fake?: boolean;
    readonly run?: readonly string[];
  }
  examples(
    program
      .command("playground")
      .description("Keep a node, an outside host and pods up for exploring, until ^C")
      .option("--pods <n>", "how many pods", integer("--pods", 0, 200), 2)
      .option("--plugin <directory>", "register and enable a plugin; several by repeating it", each, [])
      .option("--fake", "without BPF: the API works, packets do not")
      .addOption(
        new Option(
          "--run <command...>",
          "run this in the node's namespace, take everything down, end with its exit code; all that follows is the command",
        ).argParser((words): readonly string[] => JSON.parse(words) as string[]),
      )
      .addHelpText(
        "after",
        "\nA command run with --run finds waggle on its PATH, WAGGLE_SOCKET set, and the namespaces in WAGGLE_NODE_NETNS,\nWAGGLE_OUTSIDE_NETNS, WAGGLE_POD1_NETNS, … (for ip netns exec), the pods' addresses in WAGGLE_POD1_IPV4, ….\nNeeds root.",
      )
      .action(
        act(async (session, options: PlaygroundOptions) => {
          if (options.run?.length === 0) throw new UsageError("--run needs a command");
          const { runPlayground } = await import("../../playground/explore.ts");
          const code = await runPlayground({
            pods: options.pods,
            plugins: options.plugin,
            fake: options.fake === true,
            command: options.run,
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
    ["Try a plugin", "waggle playground --plugin ./my-plugin"],
    ["A test of your own", "waggle playground --run sh -c 'ping -c 3 $WAGGLE_POD1_IPV4 && waggle metrics'"],
  );
}
