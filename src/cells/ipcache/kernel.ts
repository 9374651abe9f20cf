import type { BpfMap } from "../../datapath/index.ts";
import type { IpCacheKey, RemoteEndpointInfo } from "../../datapath/maps/index.ts";
import type { ReconcilerOps } from "../../table/index.ts";
import type { IpCacheEntry } from "./types.ts";

type IpCacheMap = BpfMap<IpCacheKey, RemoteEndpointInfo>;

/**
 * Rows of the table in `cilium_ipcache`.
 *
 * @param map called when the map is first needed: shared maps are open only after start
 * @param changed makes programs forget what they remember of the map; called after each change, also one that failed
 * half-way, and before anybody learns of it
 */
export function kernelIpCache(map: () => IpCacheMap, changed: () => void): ReconcilerOps<IpCacheEntry> {
  async function change<T>(make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } finally {
      changed();
    }
  }
  const prepareUpdate = (rows: readonly IpCacheEntry[]) => {
    const { raw } = map();
    const { keys, values } = map().packRows(rows, (row) => row, infoOf);
    const results = new Array<undefined>(rows.length).fill(undefined);
    return async () => {
      await change(() => raw.updatePacked(keys, values));
      return results;
    };
  };
  return {
    prepareUpdate,
    // Only where nothing was under way meanwhile.
    update: async (rows) => await prepareUpdate(rows)(),
    async delete(rows) {
      await change(() => map().deleteBatch(rows.map(({ prefix }) => ({ prefix }))));
      return rows.map(() => undefined);
    },
    async prune(all) {
      const { raw, spec } = map();
      // Bytes, not text: a key that this agent would never write must go as well.
      const wanted = new Set<string>();
      const buffer = Buffer.alloc(spec.keySize);
      for (const { prefix } of all) {
        spec.key.encode({ prefix }, buffer, 0);
        wanted.add(buffer.toString("latin1"));
      }
      const entries = await raw.entries();
      const stale = entries.map(({ key }) => key).filter((key) => !wanted.has(key.toString("latin1")));
      if (stale.length === 0) return { removed: 0 };
      return { removed: await change(() => raw.deleteBatch(stale)) };
    },
  };
}

/** The value of a row in `cilium_ipcache`. */
export function infoOf({ identity, tunnelEndpoint, encryptKey }: IpCacheEntry): RemoteEndpointInfo {
  return { identity, tunnelEndpoint, encryptKey, flags: 0 };
}
