import type { Command } from "commander";
import { Exit, ExitError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Act } from "../session.ts";

interface CleanupOptions {
  readonly stateDir: string;
  readonly bpfRoot: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly keepState?: boolean;
}

/** `waggle cleanup` */
export function addCleanupCommand(program: Command, act: Act): void {
  examples(
    program
      .command("cleanup")
      .description("Remove everything an agent has made on this node: programs, maps, devices, state")
      .option("--state-dir <path>", "state directory of the agent", "/var/lib/waggle")
      .option("--bpf-root <path>", "directory of its pins", "/sys/fs/bpf/waggle")
      .option("--keep-state", "leave the state directory: a new agent makes everything anew from it")
      .option("-n, --dry-run", "only say what would be removed")
      .option("--force", "stop a running agent first; refused otherwise")
      .addHelpText(
        "after",
        "\nWorks without an agent, in the network namespace where the agent ran. Pods lose their connectivity.",
      )
      .action(
        act(async (session, options: CleanupOptions) => {
          const { cleanup } = await import("../../cleanup/index.ts");
          const { items, problems } = await cleanup({
            stateDir: options.stateDir,
            bpfRoot: options.bpfRoot,
            socket: session.options.socket,
            force: options.force === true,
            dryRun: options.dryRun === true,
            keepState: options.keepState === true,
          });
          const verb = options.dryRun === true ? "would remove" : "removed";
          session.show({ dryRun: options.dryRun === true, items, problems }, () =>
            items.length === 0
              ? "nothing to remove\n"
              : items.map(({ kind, name }) => `${verb} ${kind} ${name}\n`).join(""),
          );
          for (const problem of problems) session.hint(`waggle: ${problem}`);
          if (problems.length > 0) throw new ExitError(Exit.failure);
        }),
      ),
    ["What is there?", "waggle cleanup --dry-run"],
    ["Uninstall", "systemctl stop waggle && waggle cleanup"],
  );
}
