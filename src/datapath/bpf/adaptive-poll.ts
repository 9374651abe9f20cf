import type { Closeable } from "../types.ts";

/** Milliseconds between looks at a busy and at an idle buffer. */
const BUSY_MS = 5;
const IDLE_MS = 100;

/**
 * Calls `consume` again and again: soon after it found something, less and less often while it finds nothing.
 * The timer does not keep the process alive. Looking on a timer rather than per event lets a flood of events
 * cost one wake-up a batch, and keeps the event loop's share bounded.
 * @param consume returns how many records it found
 */
export function adaptivePoll(consume: () => number): Closeable {
  let interval = BUSY_MS;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const look = () => {
    const found = consume();
    interval = found > 0 ? BUSY_MS : Math.min(2 * interval, IDLE_MS);
    // `consume` may have closed us.
    if (!closed) schedule();
  };
  const schedule = () => {
    timer = setTimeout(look, interval).unref();
  };
  schedule();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
