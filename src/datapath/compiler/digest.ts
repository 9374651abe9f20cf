import { createHash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { DatapathError } from "../errors.ts";

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

/** Somebody wrote these by hand; whatever is larger must not fill our memory. vmlinux.h has 3 MB. */
const LARGEST_SOURCE_BYTES = 16 * 1024 * 1024;

/**
 * Hashes files in the order given.
 * @throws Error of `open` when one is gone; DatapathError FAILED_PRECONDITION as `checkSource`
 */
export function hashFiles(paths: readonly string[]): Promise<readonly Dependency[]> {
  return Promise.all(
    paths.map(async (path) => ({
      path,
      hash: await withSource(path, async (file) =>
        createHash("sha256")
          .update(await file.readFile())
          .digest("hex"),
      ),
    })),
  );
}

/**
 * Refuses what a compiler would read for ever or not at all.
 * @throws Error of `open` when it cannot be opened; DatapathError FAILED_PRECONDITION when it is no file (a
 * directory, device or pipe) or larger than 16 MiB
 */
export function checkSource(path: string): Promise<void> {
  return withSource(path, async () => undefined);
}

/** Not blocking, because opening a pipe waits for its writer. */
async function withSource<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw refused(path, "it is a directory, a device or a pipe, not a file");
    if (found.size > LARGEST_SOURCE_BYTES) throw refused(path, `larger than ${LARGEST_SOURCE_BYTES} bytes`);
    return await work(file);
  } finally {
    await file.close();
  }
}

function refused(path: string, detail: string): DatapathError {
  return new DatapathError({ operation: "compile", object: path, detail, status: "FAILED_PRECONDITION" });
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
