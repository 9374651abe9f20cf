import { resourceExhausted } from "../errors.ts";

const largestId = 65_535;

/** Endpoint ids, 1..65535. An id is not used again before all others were, so that late packets hit nothing. */
export class EndpointIds {
  readonly #taken = new Set<number>();
  #next = 1;

  /** Marks an id of an earlier run. */
  take(id: number): void {
    this.#taken.add(id);
    if (id >= this.#next) this.#next = (id % largestId) + 1;
  }

  /** @throws RefusalError RESOURCE_EXHAUSTED */
  allocate(): number {
    for (let step = 0; step < largestId; step++) {
      const id = ((this.#next - 1 + step) % largestId) + 1;
      if (this.#taken.has(id)) continue;
      this.#taken.add(id);
      this.#next = (id % largestId) + 1;
      return id;
    }
    throw resourceExhausted(`all ${largestId} endpoint ids are in use`);
  }

  release(id: number): void {
    this.#taken.delete(id);
  }
}
