import type { EtcdClient } from "./client.ts";

/**
 * How long a deletion is remembered in the store: a node that was away longer, while the store was emptied as well,
 * may bring back what others have deleted.
 */
const tombstoneTtlMs = 24 * 3_600_000;
/** Tombstones of so long a time share a lease, which is that much shorter for the last of them. */
const shareMs = 3_600_000;

/** Leases under which tombstones are written, so that the store itself clears them away. */
export class TombstoneLease {
  readonly #client: EtcdClient;
  #current: { readonly id: string; readonly until: number } | undefined;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  /** @throws KvStoreError */
  async get(): Promise<string> {
    if (this.#current === undefined || performance.now() >= this.#current.until) {
      const id = await this.#client.grantLease((tombstoneTtlMs + shareMs) / 1000);
      this.#current = { id, until: performance.now() + shareMs };
    }
    return this.#current.id;
  }
}
