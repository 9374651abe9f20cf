import { isDeepStrictEqual } from "node:util";
import { BehaviorSubject, distinctUntilChanged, type Observable } from "rxjs";
import type { RWTable } from "../../table/index.ts";
import type { SharedCollection } from "../kvstore/index.ts";
import { type Announcement, conflictOf, nodeOf } from "./announcement.ts";
import type { Node } from "./types.ts";

/** What a look at the announced nodes has found. */
export interface Roll {
  /** Other nodes that get along with this one and with each other. */
  readonly peers: readonly Node[];
  /** What is wrong with the others, with both names each. */
  readonly problems: readonly string[];
}

/** A node and what it said. */
interface Announced {
  readonly name: string;
  readonly said: Announcement;
}

export interface MembershipParts {
  /** This node's. */
  readonly name: string;
  readonly shared: SharedCollection<Announcement>;
  readonly table: RWTable<Node, string>;
}

/**
 * Who is a node of the cluster. Names, pod CIDRs and addresses are of one node each: who comes second is not announced,
 * and waits until what is in its way is gone. Where two came at once both stay announced, and the others talk to the
 * one whose name sorts first.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #admitted = new BehaviorSubject(false);
  #own: Announcement | undefined;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** Whether this node is one of the cluster; begins with the present state. */
  get admitted(): Observable<boolean> {
    return this.#admitted.pipe(distinctUntilChanged());
  }

  /** @throws Error before the first `describe` */
  get local(): Node {
    if (this.#own === undefined) throw new Error("this node is known when the nodes cell has started");
    return nodeOf(this.#parts.name, this.#own, true);
  }

  /** This node is so from now on. */
  describe(own: Announcement): void {
    this.#own = own;
  }

  /** Looks at who is there, brings the table up to date and decides whether this node may be announced. */
  review(): Roll {
    const others = this.#others();
    const accepted: Announced[] = [];
    const problems: string[] = [];
    const inTheWay = this.#namesake();
    for (const other of others) {
      const withOwn = this.#own && conflictOf(this.#own, other.said);
      if (withOwn !== undefined) inTheWay.push(`nodes ${this.#parts.name} and ${other.name}: ${withOwn}`);
      const rivalry = accepted
        .map(({ name, said }) => ({ name, conflict: conflictOf(said, other.said) }))
        .find(({ conflict }) => conflict !== undefined);
      if (rivalry !== undefined)
        problems.push(`nodes ${rivalry.name} and ${other.name}: ${rivalry.conflict}`);
      if (withOwn === undefined && rivalry === undefined) accepted.push(other);
    }
    this.#show([...others.map(({ name, said }) => nodeOf(name, said, false)), this.local]);
    // One that stands already stays: the other came later, or at the same time.
    this.#admitted.next(inTheWay.length === 0 || this.#stands());
    const peers = accepted.map(({ name, said }) => nodeOf(name, said, false));
    return { peers, problems: [...inTheWay, ...problems] };
  }

  /** Announces this node as it is now, or takes that back, as last decided. @throws StateWriteError */
  async settle(): Promise<void> {
    const { name, shared } = this.#parts;
    const row = shared.table.get(name);
    if (this.#own === undefined) return;
    if (this.#admitted.value) {
      if (row?.own !== true || !isDeepStrictEqual(row.value, this.#own)) await shared.put(name, this.#own);
    } else if (row?.own === true) await shared.delete(name);
  }

  #others(): readonly Announced[] {
    return this.#parts.shared.table
      .list()
      .filter(({ key }) => key !== this.#parts.name)
      .map(({ key, value }) => ({ name: key, said: value }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** What is wrong when the node of this name is another one. */
  #namesake(): string[] {
    const { name, shared } = this.#parts;
    const row = shared.table.get(name);
    if (row === undefined || row.own) return [];
    const address = row.value.ipv4 ?? row.value.ipv6 ?? "an unknown address";
    return [`another agent, at ${address}, is node ${name} already: give one of them another --node-name`];
  }

  #stands(): boolean {
    const row = this.#parts.shared.table.get(this.#parts.name);
    return row?.own === true && !row.pending;
  }

  #show(nodes: readonly Node[]): void {
    const { table } = this.#parts;
    const names = new Set(nodes.map(({ name }) => name));
    const gone = table
      .list()
      .map(({ name }) => name)
      .filter((name) => !names.has(name));
    table.transaction(() => {
      table.deleteMany(gone);
      table.upsertMany(nodes.filter((node) => !isDeepStrictEqual(node, table.get(node.name))));
    });
  }
}
