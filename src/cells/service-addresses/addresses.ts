import { cidrContains } from "../../datapath/address.ts";
import type { Change } from "../../table/index.ts";
import { ReservedIdentity } from "../identity/index.ts";
import type { IpCacheEntry, IpCacheFeed } from "../ipcache/index.ts";
import { hostPrefix } from "../node-config/index.ts";
import type { Service } from "../services/index.ts";

/**
 * Tells the IP cache which addresses are services': what comes for one of them and is none of its ports goes nowhere.
 * Those in the networks of services are known by these.
 */
export class ServiceAddresses {
  readonly #ipcache: Pick<IpCacheFeed, "push">;
  readonly #networks: readonly string[];
  /** Address of each service that is told of. */
  readonly #byService = new Map<string, string>();
  /** How many services have an address. */
  readonly #users = new Map<string, number>();

  /** @param networks of services' addresses: "10.96.0.0/12" */
  constructor(ipcache: Pick<IpCacheFeed, "push">, networks: readonly string[]) {
    this.#ipcache = ipcache;
    this.#networks = networks;
  }

  /** Follows one transaction of the table of services. */
  apply(changes: readonly Change<Service, string>[]): void {
    const concerned = new Map<string, boolean>();
    for (const change of changes) {
      if (change.kind === "sync") continue;
      const ip = change.kind === "upsert" && !this.#inNetwork(change.row.ip) ? change.row.ip : undefined;
      const former = this.#byService.get(change.key);
      if (ip === former) continue;
      for (const [address, step] of [
        [former, -1],
        [ip, 1],
      ] as const) {
        if (address === undefined) continue;
        if (!concerned.has(address)) concerned.set(address, this.#users.has(address));
        this.#count(address, step);
      }
      if (ip === undefined) this.#byService.delete(change.key);
      else this.#byService.set(change.key, ip);
    }
    const now = (address: string): boolean => this.#users.has(address);
    const changed = [...concerned].filter(([address, before]) => before !== now(address));
    if (changed.length === 0) return;
    this.#ipcache.push({
      removals: changed.flatMap(([address]) => (now(address) ? [] : hostPrefix(address))),
      upserts: changed.flatMap(([address]) => (now(address) ? entryOf(address) : [])),
    });
  }

  #count(address: string, step: 1 | -1): void {
    const users = (this.#users.get(address) ?? 0) + step;
    if (users === 0) this.#users.delete(address);
    else this.#users.set(address, users);
  }

  #inNetwork(address: string): boolean {
    return this.#networks.some((network) => cidrContains(network, address));
  }
}

const entryOf = (address: string): IpCacheEntry => ({
  prefix: hostPrefix(address),
  identity: ReservedIdentity.service,
  tunnelEndpoint: "0.0.0.0",
  encryptKey: 0,
  source: "service",
});
