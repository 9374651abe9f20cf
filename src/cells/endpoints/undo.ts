/** Steps that take back what was done, run newest first. */
export class UndoStack {
  readonly #steps: { readonly what: string; readonly undo: () => void | Promise<void> }[] = [];

  /** Notes how to take back something that was just done. */
  add(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** Runs every step, whatever the others do; resolves to what went wrong. */
  async run(): Promise<readonly Error[]> {
    const errors: Error[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (cause) {
        errors.push(
          new Error(`undo ${step.what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
            cause,
          }),
        );
      }
    }
    return errors;
  }
}
