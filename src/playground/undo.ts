/** Something that could not be undone; the rest was undone all the same. */
export class TeardownError extends AggregateError {
  constructor(problems: readonly { readonly what: string; readonly error: unknown }[]) {
    super(
      problems.map((problem) => problem.error),
      `could not undo everything: ${problems
        .map(({ what, error }) => `${what}: ${error instanceof Error ? error.message : String(error)}`)
        .join("; ")}`,
    );
    this.name = "TeardownError";
  }
}

/** Steps to take back, last first. Each runs once, and all run even when some fail. */
export class Undo {
  #steps: { readonly what: string; readonly step: () => Promise<void> | void }[] = [];
  #running: Promise<void> | undefined;

  /** Remembers how to take back what was just done (or is about to be: steps must bear finding nothing). */
  add(what: string, step: () => Promise<void> | void): void {
    this.#steps.push({ what, step });
  }

  /** Takes everything back; later calls wait for the first. @throws TeardownError */
  run(): Promise<void> {
    this.#running ??= this.#all();
    return this.#running;
  }

  async #all(): Promise<void> {
    const problems: { what: string; error: unknown }[] = [];
    for (let last = this.#steps.pop(); last !== undefined; last = this.#steps.pop()) {
      try {
        await last.step();
      } catch (error) {
        problems.push({ what: last.what, error });
      }
    }
    if (problems.length > 0) throw new TeardownError(problems);
  }
}
