import type { StateCollection } from "../../state/index.ts";

/** What is stored of it, under the key "agent". */
export interface StoredMemory {
  readonly epoch: string;
  readonly revision: number;
  /** Newest last. */
  readonly leases: readonly string[];
}

const memoryKey = "agent";
/** Leases of so many runs are recognised as own; those before have run out, however often the agent restarts. */
const leasesKept = 64;

/** What the agent remembers of the store over its restarts: which life of it, how far, and its own leases. */
export class AgentMemory {
  /** The lease that this run of the agent holds, once it has one. */
  lease: string | undefined;
  readonly #disk: StateCollection<StoredMemory>;
  #stored: StoredMemory = { epoch: "", revision: 0, leases: [] };
  #revision = 0;
  #leases: ReadonlySet<string> = new Set();

  constructor(disk: StateCollection<StoredMemory>) {
    this.#disk = disk;
  }

  load(): void {
    this.#stored = this.#disk.get(memoryKey) ?? this.#stored;
    this.#revision = this.#stored.revision;
    this.#leases = new Set(this.#stored.leases);
  }

  get epoch(): string {
    return this.#stored.epoch;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Whether this node obtained the lease, in this run of the agent or in an earlier one. */
  isOwn(lease: string): boolean {
    return this.#leases.has(lease);
  }

  /** The store is in this life and at this revision. @throws StateWriteError */
  async enter(epoch: string, revision: number): Promise<void> {
    this.#revision = revision;
    if (epoch !== this.epoch) await this.#save({ epoch });
  }

  /** Resolves when it is on disk: what is then written under the lease is known as own whatever happens. */
  async obtained(lease: string): Promise<void> {
    this.lease = lease;
    await this.#save({ leases: [...this.#stored.leases, lease].slice(-leasesKept) });
  }

  /** Only in memory: `saveRevision` from time to time is enough, for behind by some is still after a set-back. */
  sawRevision(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /** Writes the revision down if it has moved on. @throws StateWriteError */
  async saveRevision(): Promise<void> {
    if (this.#revision > this.#stored.revision) await this.#save({});
  }

  async #save(change: Partial<StoredMemory>): Promise<void> {
    this.#stored = { ...this.#stored, ...change, revision: this.#revision };
    this.#leases = new Set(this.#stored.leases);
    await this.#disk.put(memoryKey, this.#stored);
  }
}
