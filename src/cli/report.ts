import { CallError, describeTarget, type Target } from "../client/index.ts";
import { ExitError, mayNotOpen, neverReached, UsageError } from "./exit.ts";
import type { Style } from "./output/io.ts";

/** Agents on the default socket are started plainly; others need their socket named. */
const startHint = (target: Target, defaultSocket: string): string =>
  target.kind === "address"
    ? "Check the address, and that the agent was started with --listen."
    : target.path === defaultSocket
      ? "Start one with: waggle agent"
      : `Start one with: waggle agent --socket ${target.path}   (or name another with --socket or WAGGLE_SOCKET)`;

function callLines(error: CallError, target: Target, defaultSocket: string, style: Style): readonly string[] {
  if (neverReached(error)) {
    return mayNotOpen(error)
      ? [`you may not open ${describeTarget(target)}`, "Run this as root."]
      : [`no agent answers on ${describeTarget(target)}`, startHint(target, defaultSocket)];
  }
  // The library's own words are a list of its phases; an agent's own deadline has other words.
  if (/^Deadline exceeded/.test(error.message)) {
    return [
      `${describeTarget(target)} gave no answer in time ${style.dim("(deadline exceeded)")}`,
      "The agent may still be at work: look with waggle status. --timeout gives it longer.",
    ];
  }
  const status = error.status.toLowerCase().replaceAll("_", " ");
  if (error.violations.length === 0) return [`${error.message} ${style.dim(`(${status})`)}`];
  return [
    `the agent refused the request ${style.dim(`(${status})`)}`,
    ...error.violations.map(({ field, description }) => `  ${field}: ${description}`),
  ];
}

/** An error as lines for standard error; empty when everything was said already. */
export function describeError(error: unknown, target: Target, defaultSocket: string, style: Style): string {
  if (error instanceof ExitError) return "";
  const [first, ...rest] =
    error instanceof CallError
      ? callLines(error, target, defaultSocket, style)
      : error instanceof UsageError
        ? [error.message]
        : (error instanceof Error ? error.message : String(error)).split("\n");
  return [`${style.bad("waggle:")} ${first}`, ...rest].map((line) => `${line}\n`).join("");
}
