import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import { DatapathError } from "../errors.ts";
import type { CompileInput } from "../types.ts";

/** How BPF objects are compiled: instruction set v3 with BTF, and no warning passes. */
const BASE_FLAGS = [
  "-O2",
  "-g",
  "-target",
  "bpf",
  "-mcpu=v3",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-fno-color-diagnostics",
  // Authors are to see their own line, not how our macros are made.
  "-fmacro-backtrace-limit=1",
] as const;

const MULTIARCH: Readonly<Record<string, string>> = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

/**
 * Where <asm/types.h> is on Debian: clang looks there by itself for the machine's own target, but not for
 * bpf. After all other directories, so that nothing is shadowed.
 */
function systemIncludes(): readonly string[] {
  const name = MULTIARCH[process.arch];
  const directory = `/usr/include/${name}`;
  return name !== undefined && existsSync(`${directory}/asm/types.h`) ? ["-idirafter", directory] : [];
}

/** Flags without paths: they are part of an object's digest. */
export function portableFlags(input: CompileInput): readonly string[] {
  const defines = Object.entries(input.defines)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `-D${name}=${value}`);
  return [...BASE_FLAGS, ...defines];
}

/** All flags but those that say what to produce. */
export function compilerFlags(input: CompileInput): readonly string[] {
  return [
    ...portableFlags(input),
    ...input.includes.flatMap((directory) => ["-I", directory]),
    ...systemIncludes(),
  ];
}

/** @throws DatapathError INVALID_ARGUMENT */
export function checkInput(input: CompileInput): void {
  for (const path of [input.source, ...input.includes]) {
    if (!isAbsolute(path) || path.includes("\0")) throw refuse(JSON.stringify(path), "want an absolute path");
  }
  for (const [name, value] of Object.entries(input.defines)) {
    if (!/^[A-Za-z_]\w*$/.test(name)) throw refuse(`define ${JSON.stringify(name)}`, "want a C identifier");
    if (/[\0\n]/.test(String(value))) throw refuse(`define ${name}`, "its value has more than one line");
  }
}

function refuse(object: string, detail: string): DatapathError {
  return new DatapathError({ operation: "compile", object, detail, status: "INVALID_ARGUMENT" });
}
