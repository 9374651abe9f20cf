// Runs programs without a shell: arguments reach them as they are.

import { type ExecFileException, execFile } from "node:child_process";
import { delimiter } from "node:path";

/** What a program did. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit code; 128 + signal number is not used: a killed program has `signal` set and code -1. */
  readonly code: number;
  readonly signal: string | undefined;
}

export interface CommandOptions {
  /** Written to the program's standard input. */
  readonly input?: string;
  /** Milliseconds until the program is killed; 60 s unless told otherwise. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

/** PATH without npm's programs: one of them has the name of nft(8), and comes first where npm starts something. */
export const systemPath = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((directory) => !directory.includes("node_modules"))
  .join(delimiter);

/** A program that could not be run or did not end with 0. */
export class CommandError extends Error {
  readonly argv: readonly string[];
  readonly result: CommandResult | undefined;

  constructor(argv: readonly string[], why: string, result?: CommandResult, cause?: unknown) {
    super(`${argv.join(" ")}: ${why}`, cause === undefined ? undefined : { cause });
    this.name = "CommandError";
    this.argv = argv;
    this.result = result;
  }
}

const outputLimit = 64 * 1024 * 1024;

/**
 * Runs `argv` to its end and returns what it did, whatever its exit code.
 * @throws CommandError when it could not be started
 */
export function attempt(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new CommandError(argv, "no program given");
  return new Promise((resolve, reject) => {
    const settle = (error: ExecFileException | null, stdout: string, stderr: string): void => {
      // A string code is the system's word for a program that never ran (ENOENT, EACCES).
      if (typeof error?.code === "string" && error.code !== "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") {
        const why = error.code === "ENOENT" ? `${file} is not installed` : error.message;
        reject(new CommandError(argv, why, undefined, error));
        return;
      }
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ stdout, stderr, code, signal: error?.signal ?? undefined });
    };
    const child = execFile(
      file,
      args,
      {
        encoding: "utf8",
        maxBuffer: outputLimit,
        timeout: options.timeoutMs ?? 60_000,
        killSignal: "SIGKILL",
        env: { ...process.env, ...options.env },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      settle,
    );
    // The program may end without reading its input; that is its choice.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? "");
  });
}

/**
 * Runs `argv` and returns its standard output.
 * @throws CommandError with its standard error when it does not end with 0
 */
export async function run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await attempt(argv, options);
  if (result.code !== 0) {
    const ending = result.signal === undefined ? `exit code ${result.code}` : `killed by ${result.signal}`;
    const words = (result.stderr.trim() || result.stdout.trim()).split("\n").slice(-5).join("\n");
    throw new CommandError(argv, words === "" ? ending : `${ending}: ${words}`, result);
  }
  return result.stdout;
}

/** True when `program` is found on PATH. */
export async function installed(program: string): Promise<boolean> {
  const result = await attempt(["sh", "-c", 'command -v -- "$1"', "sh", program]);
  return result.code === 0;
}
