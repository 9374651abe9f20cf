import type { Writable } from "node:stream";

/** Where a command writes. Results go to `out`; progress, hints and errors go to `err`. */
export interface Io {
  readonly out: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly err: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const processIo: Io = { out: process.stdout, err: process.stderr, env: process.env };

/** The part of an Io that paints. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
}

const paint = (on: boolean, code: number, end: number) => (text: string) =>
  on && text !== "" ? `\u001b[${code}m${text}\u001b[${end}m` : text;

/** Colours for a terminal, and none for anything else or with NO_COLOR set (https://no-color.org). */
export function styleFor(stream: { readonly isTTY?: boolean }, env: Io["env"]): Style {
  const on = stream.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return {
    bold: paint(on, 1, 22),
    dim: paint(on, 2, 22),
    good: paint(on, 32, 39),
    warn: paint(on, 33, 39),
    bad: paint(on, 31, 39),
  };
}
