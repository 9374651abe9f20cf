import { spawn } from "node:child_process";

/** How a process ended. */
export interface ProcessResult {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** More output than this is cut: nobody reads a megabyte of errors. */
const MAX_OUTPUT = 1 << 20;

/** C, so that messages are in English and can be parsed; no search paths of the environment. */
function environment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    LC_ALL: "C",
    TMPDIR: process.env.TMPDIR ?? "/tmp",
  };
}

/**
 * Runs a program without a shell and collects what it writes. Killed when it takes longer than
 * `timeoutMs`.
 * @throws Error of `spawn` when there is no such program
 */
export function runProcess(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<ProcessResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: environment() });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8");
      child[name].on("data", (text: string) => {
        if (output[name].length < MAX_OUTPUT) output[name] += text;
      });
    }
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, ...output, timedOut });
    });
  });
}
