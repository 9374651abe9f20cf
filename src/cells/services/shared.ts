import { Database, type RWTable } from "../../table/index.ts";
import type { SharedCollection, SharedRow } from "../kvstore/index.ts";
import type { StateCollection } from "../state/index.ts";
import type { ServiceSpec } from "./types.ts";

/** A service as the nodes of a cluster share it; its key is the name. */
export interface SharedSpec extends Omit<ServiceSpec, "name"> {
  /**
   * Of two services that claim the same frontend, the one with the lower number has it. A service gets a number above
   * all that its writer knows with its frontends, so what is known to be taken is never taken away; what was written at
   * the same time on two nodes is settled by all nodes alike.
   */
  readonly order: number;
}

/** Where services are written so that every node has them. */
export type SharedServices = SharedCollection<SharedSpec>;

/** Services of one node alone, in its state directory. */
export class LocalServices implements SharedServices {
  readonly table: RWTable<SharedRow<SharedSpec>, string> = new Database().createTable({
    name: "shared-services",
    key: ({ key }: SharedRow<SharedSpec>) => key,
  });
  readonly #storage: StateCollection<SharedSpec>;
  readonly #node: () => string;
  readonly #initialized: () => void;

  constructor(storage: StateCollection<SharedSpec>, node: () => string) {
    this.#storage = storage;
    this.#node = node;
    this.#initialized = this.table.registerInitializer("storage");
  }

  /** Brings back what is stored. */
  restore(): void {
    this.table.upsertMany(this.#storage.all().map(({ key, value }) => this.#row(key, value)));
    this.#initialized();
  }

  async put(name: string, value: SharedSpec): Promise<void> {
    await this.#storage.put(name, value);
    this.table.upsert(this.#row(name, value));
  }

  async delete(name: string): Promise<void> {
    await this.#storage.delete(name);
    this.table.delete(name);
  }

  #row(key: string, value: SharedSpec): SharedRow<SharedSpec> {
    return { key, value, node: this.#node(), own: true, pending: false };
  }
}
