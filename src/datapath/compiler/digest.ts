import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

/** A file that went into an object, with the SHA-256 of its content. */
export interface Dependency {
  readonly path: string;
  readonly hash: string;
}

/** SHA-256 in hex of strings, each ended by a NUL, so that no two lists run together into one. */
export function hashOf(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

/** Hashes files in the order given. @throws Error of `readFile` when one is gone */
export function hashFiles(paths: readonly string[]): Promise<readonly Dependency[]> {
  return Promise.all(
    paths.map(async (path) => ({
      path,
      hash: createHash("sha256")
        .update(await readFile(path))
        .digest("hex"),
    })),
  );
}

/** Digest of an object: compiler, flags, and the contents of all its sources; where they lie is no part of it. */
export function objectDigest(
  compilerVersion: string,
  flags: readonly string[],
  dependencies: readonly Dependency[],
): string {
  return hashOf([compilerVersion, ...flags, ...dependencies.map((dependency) => dependency.hash)]);
}

/**
 * The files in a rule as `clang -M` writes it: "a.o: a.c \⏎ b.h", spaces in names behind a backslash, a
 * dollar doubled.
 */
export function parseDependencyRule(rule: string): readonly string[] {
  const body = rule.slice(rule.indexOf(":") + 1).replaceAll("\\\n", " ");
  return (body.match(/(?:\\.|[^\s\\])+/g) ?? []).map((word) =>
    word.replaceAll(/\\(.)/g, "$1").replaceAll("$$", "$"),
  );
}
