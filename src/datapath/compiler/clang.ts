import { access, constants, realpath, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { DatapathError } from "../errors.ts";
import { runProcess } from "./process.ts";

/** Names to look for, the tested one first. */
const NAMES = ["clang-19", "clang"] as const;

/** A compiler that was found. */
export interface Clang {
  readonly path: string;
  /** Changes when the program is replaced: real path, size, time. */
  readonly stamp: string;
}

/**
 * Finds clang: `wanted` (path or name), else $WAGGLE_CLANG, else clang-19 or clang in $PATH.
 * @throws DatapathError NOT_FOUND naming what was looked for
 */
export async function findClang(wanted: string | undefined): Promise<Clang> {
  const chosen = wanted ?? process.env.WAGGLE_CLANG;
  const names = chosen === undefined || chosen === "" ? NAMES : [chosen];
  const directories = (process.env.PATH ?? "/usr/bin:/bin").split(delimiter).filter(isAbsolute);
  for (const name of names) {
    const candidates = name.includes("/") ? [name] : directories.map((directory) => join(directory, name));
    for (const path of candidates) {
      if (!(await isExecutable(path))) continue;
      const real = await realpath(path);
      const { size, mtimeMs } = await stat(real);
      return { path, stamp: `${real} ${size} ${mtimeMs}` };
    }
  }
  throw new DatapathError({
    operation: "find compiler",
    object: names.join(" or "),
    detail: "not installed; set WAGGLE_CLANG to its path",
    status: "FAILED_PRECONDITION",
  });
}

/** First line of `clang --version`. @throws DatapathError when it does not run */
export async function clangVersion(clang: Clang, timeoutMs: number): Promise<string> {
  try {
    const { code, stdout, stderr } = await runProcess(clang.path, ["--version"], timeoutMs);
    const version = stdout.split("\n")[0]?.trim() ?? "";
    if (code === 0 && version !== "") return version;
    throw new Error(stderr.trim() || `exit code ${code}`);
  } catch (cause) {
    throw new DatapathError({ operation: "ask version of", object: clang.path, cause });
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
