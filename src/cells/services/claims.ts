/** Who claims something: the lower order comes first, and of equal ones the lower name. */
export interface Claimant {
  readonly name: string;
  readonly order: number;
}

/**
 * Who has what only one can have, such as an address and port: of all that claim it, the first in order. Every agent
 * knows the same claimants in the same order, so all come to the same holder.
 */
export class Claims {
  readonly #claimants = new Map<string, readonly Claimant[]>();
  readonly #claimed = new Map<string, { readonly order: number; readonly claims: readonly string[] }>();
  #highest = 0;

  /** The highest order that any claimant has had. */
  get highestOrder(): number {
    return this.#highest;
  }

  /** Name of the holder. */
  holder(claim: string): string | undefined {
    return this.#claimants.get(claim)?.[0]?.name;
  }

  /** Claims of a name, held or not. */
  of(name: string): readonly string[] {
    return this.#claimed.get(name)?.claims ?? [];
  }

  orderOf(name: string): number | undefined {
    return this.#claimed.get(name)?.order;
  }

  /**
   * Replaces the claims of a name; none lets go of all.
   *
   * @returns names of others that have gained or lost a claim by that
   */
  set(claimant: Claimant, claims: readonly string[]): ReadonlySet<string> {
    const { name, order } = claimant;
    this.#highest = Math.max(this.#highest, order);
    const old = this.of(name);
    const others = new Set<string>();
    for (const claim of new Set([...old, ...claims])) {
      const before = this.holder(claim);
      this.#place(claim, claimant, claims.includes(claim));
      const after = this.holder(claim);
      if (before === after) continue;
      for (const other of [before, after]) if (other !== undefined && other !== name) others.add(other);
    }
    if (claims.length === 0) this.#claimed.delete(name);
    else this.#claimed.set(name, { order, claims });
    return others;
  }

  #place(claim: string, claimant: Claimant, wanted: boolean): void {
    const others = (this.#claimants.get(claim) ?? []).filter(({ name }) => name !== claimant.name);
    const now = wanted ? [...others, claimant].sort(byOrder) : others;
    if (now.length === 0) this.#claimants.delete(claim);
    else this.#claimants.set(claim, now);
  }
}

const byOrder = (left: Claimant, right: Claimant): number =>
  left.order - right.order || (left.name < right.name ? -1 : 1);
