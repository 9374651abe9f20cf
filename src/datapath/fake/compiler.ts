import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { checkInput, portableFlags } from "../compiler/flags.ts";
import { CompileError } from "../errors.ts";
import { CHAIN_MAP_PREFIX, HOOK_POINTS, hookPoint } from "../pipeline.ts";
import type { CompileInput, CompileResult, Compiler } from "../types.ts";
import { type Declarations, findDeclarations } from "./c/declarations.ts";
import { preprocess, sourceError, type TranslationUnit } from "./c/preprocess.ts";
import type { FakeKernel } from "./kernel.ts";

/** Sources by absolute path; those not in here are read from disk. */
export type FakeSources = Readonly<Record<string, string>>;

/**
 * "Compiles" by reading declarations: programs, hooks, maps, constants and structs are found, code is not
 * looked at. Objects live in the fake kernel, under paths that only it knows.
 */
export function createFakeCompiler(kernel: FakeKernel, sources: FakeSources): Compiler {
  const read = (path: string): string | undefined => sources[path] ?? readFromDisk(path);
  return {
    async compile(input): Promise<CompileResult> {
      kernel.faults.check("compile", input.source);
      checkInput(input);
      const unit = preprocess(input, read);
      const digest = digestOf(input, unit);
      const object = `/fake/objects/${digest}.o`;
      const cached = kernel.objects.has(object);
      if (!cached) kernel.objects.set(object, declarationsOf(input, unit));
      return { object, digest, cached, warnings: "" };
    },
  };
}

function readFromDisk(path: string): string | undefined {
  return existsSync(path) && statSync(path).isFile() ? readFileSync(path, "utf8") : undefined;
}

function digestOf(input: CompileInput, unit: TranslationUnit): string {
  const hash = createHash("sha256");
  for (const part of [...portableFlags(input), ...unit.files.map((file) => file.text)]) {
    hash.update(part).update("\0");
  }
  return hash.digest("hex");
}

function declarationsOf(input: CompileInput, unit: TranslationUnit): Declarations {
  const declarations = find(input, unit);
  for (const { name } of declarations.maps) {
    if (!name.startsWith(CHAIN_MAP_PREFIX)) continue;
    const hook = name.slice(CHAIN_MAP_PREFIX.length);
    if (hookPoint(hook) !== undefined) continue;
    const known = HOOK_POINTS.map((point) => point.name).join(", ");
    throw sourceError(
      input.source,
      input.source,
      1,
      `HOOK(${hook}): no such hook point; there are: ${known}`,
    );
  }
  return declarations;
}

function find(input: CompileInput, unit: TranslationUnit): Declarations {
  try {
    return findDeclarations(unit);
  } catch (cause) {
    if (cause instanceof CompileError || !(cause instanceof Error)) throw cause;
    throw sourceError(input.source, input.source, 1, cause.message);
  }
}
