import type { Command } from "commander";

/** Adds examples to a command's help: pairs of what one wants and what to type. */
export function examples(command: Command, ...pairs: readonly (readonly [string, string])[]): Command {
  const lines = pairs.map(([wish, line]) => `  # ${wish}\n  ${line}`).join("\n");
  return command.addHelpText("after", `\n${pairs.length === 1 ? "Example" : "Examples"}:\n${lines}`);
}
