import type { Reconciler, RWTable } from "../../table/index.ts";
import type { IpCache } from "../ipcache/types.ts";
import { hostPrefix } from "../node-config/index.ts";
import { addressesOf, endpointAddresses, type LocalAddress } from "./lxc-map.ts";
import type { Endpoint } from "./types.ts";

/** Where addresses of endpoints are made known. */
export interface AddressParts {
  readonly ipcache: IpCache;
  readonly addresses: RWTable<LocalAddress, string>;
  readonly addressReconciler: Reconciler<LocalAddress, string>;
}

/** Tells the datapath where pods' addresses are, and who has them. */
export class EndpointAddresses {
  readonly #parts: AddressParts;

  constructor(parts: AddressParts) {
    this.#parts = parts;
  }

  /** Writes the address rows; the returned function waits until they are in the kernel. */
  announce(endpoint: Endpoint): (signal: AbortSignal | undefined) => Promise<void> {
    const { ipcache, addresses, addressReconciler } = this.#parts;
    const own = addressesOf(endpoint);
    const prefixes = own.map(hostPrefix);
    const cached = ipcache.upsertMany(
      prefixes.map((prefix) => ({
        prefix,
        identity: endpoint.identity,
        tunnelEndpoint: "0.0.0.0",
        encryptKey: 0,
        source: "endpoint",
      })),
    );
    const revision = addresses.upsertMany(endpointAddresses(endpoint));
    return async (signal) => {
      await Promise.all([
        ipcache.reconciler.waitReconciled(cached, signal, prefixes),
        addressReconciler.waitReconciled(revision, signal, own),
      ]);
    };
  }

  /** Takes the address rows away; resolves when they have left the kernel, also where an earlier try had not. */
  async withdraw(endpoint: Endpoint): Promise<void> {
    const { ipcache, addresses, addressReconciler } = this.#parts;
    const own = addressesOf(endpoint);
    const prefixes = own.map(hostPrefix);
    for (const prefix of prefixes) ipcache.remove(prefix, "endpoint");
    addresses.deleteMany(own);
    await Promise.all([
      ipcache.reconciler.waitReconciled(ipcache.table.revision, undefined, prefixes),
      addressReconciler.waitReconciled(addresses.revision, undefined, own),
    ]);
  }
}
