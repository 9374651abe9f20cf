import type { Reconciler, RWTable } from "../../table/index.ts";
import type { IpCache } from "../ipcache/types.ts";
import { endpointAddress, type LocalAddress } from "./lxc-map.ts";
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
    const prefix = `${endpoint.ipv4}/32`;
    const cached = ipcache.upsert({
      prefix,
      identity: endpoint.identity,
      tunnelEndpoint: "0.0.0.0",
      encryptKey: 0,
      source: "endpoint",
    });
    const revision = addresses.upsert(endpointAddress(endpoint));
    return async (signal) => {
      await Promise.all([
        ipcache.reconciler.waitReconciled(cached, signal, [prefix]),
        addressReconciler.waitReconciled(revision, signal, [endpoint.ipv4]),
      ]);
    };
  }

  /** Takes the address rows away; resolves when they have left the kernel, also where an earlier try had not. */
  async withdraw({ ipv4 }: Endpoint): Promise<void> {
    const { ipcache, addresses, addressReconciler } = this.#parts;
    const prefix = `${ipv4}/32`;
    ipcache.remove(prefix, "endpoint");
    addresses.delete(ipv4);
    await Promise.all([
      ipcache.reconciler.waitReconciled(ipcache.table.revision, undefined, [prefix]),
      addressReconciler.waitReconciled(addresses.revision, undefined, [ipv4]),
    ]);
  }
}
