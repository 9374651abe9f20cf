/** Reason of the AbortSignal of a command that a signal of the system ends. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.name = "AbortError";
    this.signal = signal;
  }
}
