import { cidrsOverlap } from "../../datapath/address.ts";
import type { StateCollection } from "../state/index.ts";
import type { Node } from "./types.ts";

/** How long the pod CIDR of a node that has left is held against the world: a week. */
const holdMs = 7 * 24 * 3_600_000;
/** Pod CIDRs that are remembered at most; the ones that left first are let go of. */
const limit = 4_096;

/** A pod CIDR as it is stored; its key is the CIDR. */
export interface KnownCidr {
  /** Whose it is, or was. */
  readonly node: string;
  /** When its node left, in milliseconds since 1970; undefined while it is there. */
  readonly leftAt?: number;
}

/**
 * Remembers the pod CIDRs of nodes that have left, across restarts: nobody has these addresses, and a packet to one is
 * to be refused, not to be sent into the world. Another node that takes such a CIDR, or a part of it, ends that, and
 * so does a week.
 */
export class DepartedCidrs {
  readonly #stored: StateCollection<KnownCidr>;
  readonly #now: () => number;
  readonly #known = new Map<string, KnownCidr>();
  readonly #unsaved = new Set<string>();

  constructor(stored: StateCollection<KnownCidr>, now: () => number = Date.now) {
    this.#stored = stored;
    this.#now = now;
  }

  /** Brings back what an earlier run knew. */
  restore(): void {
    for (const { key, value } of this.#stored.all()) this.#known.set(key, value);
  }

  /** From now on these nodes are there, this one included. Returns the CIDRs that nobody has any more, sorted. */
  follow(nodes: readonly Node[]): readonly string[] {
    const live = new Map(nodes.flatMap((node) => cidrsOf(node).map((cidr) => [cidr, node] as const)));
    const now = this.#now();
    for (const [cidr, { name, local }] of live) {
      const known = this.#known.get(cidr);
      if (!local && (known?.node !== name || known.leftAt !== undefined)) this.#set(cidr, { node: name });
      if (local && known !== undefined) this.#forget(cidr);
    }
    for (const [cidr, known] of this.#known) {
      if (live.has(cidr)) continue;
      if (isOver(known, now) || [...live.keys()].some((other) => cidrsOverlap(cidr, other)))
        this.#forget(cidr);
      else if (known.leftAt === undefined) this.#set(cidr, { ...known, leftAt: now });
    }
    this.#trim();
    return [...this.#known].flatMap(([cidr, { leftAt }]) => (leftAt === undefined ? [] : cidr)).sort();
  }

  /** Whether there is one that has been held long enough: `follow` lets go of it. */
  get due(): boolean {
    const now = this.#now();
    return [...this.#known.values()].some((known) => isOver(known, now));
  }

  /** Writes down what has changed. What fails is written the next time. @throws StateWriteError */
  async save(): Promise<void> {
    for (const cidr of [...this.#unsaved]) {
      const known = this.#known.get(cidr);
      if (known === undefined) await this.#stored.delete(cidr);
      else await this.#stored.put(cidr, known);
      if (this.#known.get(cidr) === known) this.#unsaved.delete(cidr);
    }
  }

  #set(cidr: string, known: KnownCidr): void {
    this.#known.set(cidr, known);
    this.#unsaved.add(cidr);
  }

  #forget(cidr: string): void {
    this.#known.delete(cidr);
    this.#unsaved.add(cidr);
  }

  #trim(): void {
    const excess = this.#known.size - limit;
    if (excess <= 0) return;
    const left = [...this.#known].flatMap(([cidr, { leftAt }]) =>
      leftAt === undefined ? [] : [{ cidr, leftAt }],
    );
    for (const { cidr } of left.sort((a, b) => a.leftAt - b.leftAt).slice(0, excess)) this.#forget(cidr);
  }
}

const isOver = ({ leftAt }: KnownCidr, now: number): boolean => leftAt !== undefined && now - leftAt > holdMs;

const cidrsOf = ({ podCidr, podCidrV6 }: Node): readonly string[] =>
  podCidrV6 === undefined ? [podCidr] : [podCidr, podCidrV6];
