import { VerifierError } from "../../datapath/index.ts";
import type { Plugin } from "../plugin-table/index.ts";

/** Why a plugin's program did not load, in words its author can act on. */
export function describeLoadFailure(plugin: Pick<Plugin, "name">, where: string, error: unknown): string {
  if (error instanceof VerifierError) {
    const at = error.sourceLine === undefined ? "" : `\n  at: ${error.sourceLine}`;
    const words = error.lastLines.map((line) => `\n  ${line}`).join("");
    return `plugin ${plugin.name}: the kernel's verifier refused ${error.program} (${where}); nothing was changed.${words}${at}`;
  }
  const words = error instanceof Error ? error.message : String(error);
  return `plugin ${plugin.name} did not load (${where}); nothing was changed: ${words}`;
}
