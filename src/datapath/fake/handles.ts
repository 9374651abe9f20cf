import { DatapathError } from "../errors.ts";
import type { Closeable } from "../types.ts";

/** What one agent has open: all of it is let go when the agent ends, as a process's descriptors are. */
export class Handles implements Closeable {
  readonly #open = new Set<Closeable>();

  add<T extends Closeable>(handle: T): T {
    this.#open.add(handle);
    return handle;
  }

  forget(handle: Closeable): void {
    this.#open.delete(handle);
  }

  close(): void {
    for (const handle of [...this.#open]) handle.close();
  }
}

/** A reference that can be let go once. */
export class Handle<T> implements Closeable {
  readonly #label: string;
  readonly #release: (target: T) => void;
  readonly #handles: Handles;
  #target: T | undefined;

  constructor(target: T, label: string, handles: Handles, release: (target: T) => void) {
    this.#target = target;
    this.#label = label;
    this.#release = release;
    this.#handles = handles;
    handles.add(this);
  }

  /** @throws DatapathError after `close` */
  get target(): T {
    if (this.#target !== undefined) return this.#target;
    throw new DatapathError({
      operation: "use",
      object: this.#label,
      detail: "it is closed",
      status: "FAILED_PRECONDITION",
    });
  }

  close(): void {
    const target = this.#target;
    if (target === undefined) return;
    this.#target = undefined;
    this.#handles.forget(this);
    this.#release(target);
  }
}
