import { VerifierError } from "../../datapath/index.ts";
import type { Plugin } from "../plugin-table/index.ts";

/** What the verifier's usual complaints ask of an author; the words are those of kernel/bpf/verifier.c. */
const advice: readonly (readonly [complaint: RegExp, advice: string])[] = [
  [
    /too large|infinite loop|sequence of .* jumps is too complex/,
    "give every loop a constant bound, and do less a packet",
  ],
  [
    /invalid access to packet|'scalar'|_or_null'|invalid mem access/,
    "compare the pointer with NULL or data_end before using it",
  ],
  [
    /misaligned|invalid (indirect )?(read|access|write).*stack|stack/,
    "keep stack variables initialised and below 448 bytes",
  ],
  [
    /unknown func|helper .* not allowed|cannot call/,
    "this helper is not for tc programs, or not in this kernel",
  ],
  [/unreleased reference|Unreleased/, "release what a helper gave out on every way out of the function"],
];

/** Why a plugin's program did not load, in words its author can act on. */
export function describeLoadFailure(plugin: Pick<Plugin, "name">, where: string, error: unknown): string {
  if (error instanceof VerifierError) {
    const at = error.sourceLine === undefined ? "" : `\n  at: ${error.sourceLine}`;
    const words = error.lastLines.map((line) => `\n  ${line}`).join("");
    const last = error.lastLines.join("\n");
    const hint = advice.find(([complaint]) => complaint.test(last));
    const todo = hint === undefined ? "" : `\n  what to do: ${hint[1]}`;
    return `plugin ${plugin.name}: the kernel's verifier refused ${error.program} (${where}); nothing was changed.${words}${at}${todo}`;
  }
  const words = error instanceof Error ? error.message : String(error);
  return `plugin ${plugin.name} did not load (${where}); nothing was changed: ${words}`;
}
