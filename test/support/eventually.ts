import { setTimeout as sleep } from "node:timers/promises";

/** A condition that did not come true in time. */
export class NeverError extends Error {
  constructor(what: string, timeoutMs: number, last: unknown) {
    super(`${what}: not within ${timeoutMs} ms${last === undefined ? "" : `; last: ${String(last)}`}`, {
      cause: last,
    });
    this.name = "NeverError";
  }
}

const pauseMs = 25;

/**
 * Asks again and again until `probe` gives something other than undefined or false, and returns that.
 * A probe that throws counts as "not yet"; its last error goes into the message.
 *
 * @param what in words, for the error
 * @throws NeverError
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== false) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline) throw new NeverError(what, timeoutMs, last);
    await sleep(pauseMs);
  }
}
