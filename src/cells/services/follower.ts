import type { Logger } from "../../hive/index.ts";
import type { Table } from "../../table/index.ts";
import { type ServingNode, sameServingNode } from "./frontends.ts";
import { Pace } from "./pace.ts";
import type { ServiceResolver } from "./resolver.ts";
import type { SharedServices } from "./shared.ts";
import type { Service } from "./types.ts";

/** Services resolved in one transaction: few enough for the event loop. */
const BATCH = 100;

export interface FollowerParts {
  readonly shared: SharedServices;
  readonly services: Table<Service, string>;
  readonly resolver: ServiceResolver;
}

/** Resolves services as they change, whoever writes them, without blocking the event loop for long. */
export class ServiceFollower {
  readonly #parts: FollowerParts;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
  }

  /** Resolves all services that are known by now. */
  async catchUp(): Promise<void> {
    await this.#resolve(this.#parts.shared.table.list().map(({ key }) => key));
  }

  /** Goes on resolving what changes until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    using cursor = this.#parts.shared.table.changeCursor();
    while (!signal.aborted) {
      await this.#resolve(cursor.next().map(({ key }) => key));
      await cursor.wait(signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  }

  /** Serves node ports where the node is now. */
  nodeChanged(before: ServingNode, after: ServingNode, log: Logger): void {
    if (sameServingNode(before, after)) return;
    log.info({ addresses: after.addresses }, "node ports are served at the node's new addresses");
    const concerned = this.#parts.services.list().filter(({ nodePort }) => nodePort !== 0);
    this.#parts.resolver.refresh(concerned.map(({ name }) => name));
  }

  async #resolve(names: readonly string[]): Promise<void> {
    const pace = new Pace();
    for (let start = 0; start < names.length; start += BATCH) {
      this.#parts.resolver.resolve(names.slice(start, start + BATCH));
      if (pace.due) await pace.turn();
    }
  }
}
