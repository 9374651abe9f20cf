import type { Io } from "./io.ts";

/** A line on standard error that says what is going on; silent where nobody watches. */
export interface Progress {
  /** Replaces the line. */
  say(what: string): void;
  /** Takes the line away. */
  end(): void;
}

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const clearLine = "\r\u001b[2K";

/** Work that ends sooner than this shows nothing: a line that only flashes is noise. */
const quietMs = 300;

/** Starts a progress line. Always `end` it. */
export function progress(io: Io, what: string): Progress {
  if (io.err.isTTY !== true) return { say: () => undefined, end: () => undefined };
  let text = what;
  let frame = 0;
  const begun = Date.now();
  const timer = setInterval(() => {
    if (Date.now() - begun < quietMs) return;
    frame = (frame + 1) % frames.length;
    io.err.write(`${clearLine}${frames[frame]} ${text}`);
  }, 80);
  timer.unref();
  return {
    say: (next) => {
      text = next;
    },
    end: () => {
      clearInterval(timer);
      io.err.write(clearLine);
    },
  };
}
