import { isDeepStrictEqual } from "node:util";
import type { Table } from "../../table/index.ts";
import type { Endpoint } from "../endpoints/index.ts";
import type { SharedCollection } from "../kvstore/index.ts";
import { type AddressChange, addressKey, type PodAddress } from "./address.ts";

export interface PublisherParts {
  readonly endpoints: Table<Endpoint, number>;
  readonly shared: SharedCollection<PodAddress>;
  /** IPv4 address of this node, "0.0.0.0" when it has none. */
  nodeAddress(): string;
  /** Whether this node is one of the cluster. */
  admitted(): boolean;
}

/** Tells the other nodes which addresses this node's pods have, and whose they are. */
export class AddressPublisher {
  readonly #parts: PublisherParts;
  /** Rows of this node's own. */
  readonly #published = new Map<string, PodAddress>();

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /** Follows what is published. Returns whether anything of this node's own has changed. */
  observe(changes: readonly AddressChange[]): boolean {
    let concerned = false;
    for (const change of changes) {
      if (change.kind === "sync") continue;
      if (change.kind === "upsert" && change.row.own) {
        this.#published.set(change.key, change.row.value);
        concerned = true;
      } else if (this.#published.delete(change.key)) concerned = true;
    }
    return concerned;
  }

  /** Brings what is published in line with the endpoints. @throws StateWriteError; the rest is done all the same */
  async publish(): Promise<void> {
    const { shared } = this.#parts;
    const wanted = this.#wanted();
    const stale = [...this.#published.keys()].filter((key) => !wanted.has(key));
    const changed = [...wanted].filter(([key, value]) => !isDeepStrictEqual(this.#published.get(key), value));
    await Promise.all([
      ...stale.map((key) => shared.delete(key)),
      ...changed.map(([key, value]) => shared.put(key, value)),
    ]);
  }

  /** From when it has an identity until it is being removed: others should know a pod before it sends anything. */
  #wanted(): ReadonlyMap<string, PodAddress> {
    const { endpoints, nodeAddress, admitted } = this.#parts;
    const wanted = new Map<string, PodAddress>();
    if (!admitted()) return wanted;
    const node = nodeAddress();
    for (const { state, identity, ipv4, ipv6 } of endpoints.list()) {
      if (identity === 0 || state === "disconnecting") continue;
      for (const address of [ipv4, ipv6]) {
        if (address !== "") wanted.set(addressKey(address), { identity, node });
      }
    }
    return wanted;
  }
}
