import type { Family } from "./keys.ts";
import type { FrontendRow } from "./rows.ts";

/** Counts what frontends take of the kernel's maps of services. */
export class Usage {
  readonly #slots: Record<Family, number> = { 4: 0, 6: 0 };
  #frontends = 0;

  /** Frontends and slots together. */
  slots(family: Family): number {
    return this.#slots[family];
  }

  /** Of both families: they share their reverse-NAT indexes. */
  get frontends(): number {
    return this.#frontends;
  }

  add(row: FrontendRow): void {
    this.#slots[row.family] += entries(row);
    this.#frontends += 1;
  }

  remove(row: FrontendRow | undefined): void {
    if (row === undefined) return;
    this.#slots[row.family] -= entries(row);
    this.#frontends -= 1;
  }
}

const entries = ({ chosen, quarantined }: FrontendRow): number => 1 + chosen.length + quarantined.length;
