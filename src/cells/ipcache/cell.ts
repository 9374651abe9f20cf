import { type IpCacheKey, ipcacheMap, type RemoteEndpointInfo } from "../../datapath/maps/index.ts";
import { contribute, Health, Lifecycle, Log, module, provide, token } from "../../hive/index.ts";
import { Database, Reconciler } from "../../table/index.ts";
import { GlobalMapsToken, ReconciledMaps, rowPerEntry } from "../datapath/index.ts";
import { ReservedIdentity } from "../identity/index.ts";
import { type NodeConfig, NodeNetworking } from "../node-config/index.ts";
import { State } from "../state/index.ts";
import { ipcacheTable, LayeredIpCache, type StoredEntry } from "./ipcache.ts";
import { infoOf, kernelIpCache } from "./kernel.ts";
import type { IpCache, IpCacheEntry } from "./types.ts";

/** Prefixes and the identities behind them. Usable once the ipcache cell has started. */
export const IpCaches = token<IpCache>("IpCaches");

/** Prefix to identity: the table, what the API stored in it, and the kernel's cilium_ipcache. */
export const ipcacheCell = module(
  "ipcache",
  "Prefixes and the identities behind them",
  provide(
    IpCaches,
    {
      maps: GlobalMapsToken,
      node: NodeNetworking,
      state: State,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({ maps, node, state, lifecycle, health, log }) => {
      const map = () => maps.typed<IpCacheKey, RemoteEndpointInfo>("cilium_ipcache");
      const table = new Database().createTable(ipcacheTable);
      const reconciler = new Reconciler({
        name: "ipcache",
        table,
        ops: kernelIpCache(map),
        logger: log,
        onHealth: ({ state: level, message, errors }) => {
          if (level === "ok") health.ok(message);
          else health.degraded(message, new Error(errors.join("; ")));
        },
      });
      const cache = new LayeredIpCache({
        table,
        reconciler,
        storage: state.collection<StoredEntry>("ipcache"),
        capacity: () => map().info.maxEntries,
      });
      const restored = cache.registerInitializer("ipcache");
      lifecycle.append({
        name: "ipcache",
        start: () => {
          cache.upsertMany(ownEntries(node.config));
          cache.restore();
          restored();
          reconciler.start();
        },
        stop: () => reconciler.stop(),
      });
      return cache;
    },
  ),
  contribute(ReconciledMaps, { cache: IpCaches }, ({ cache: { table, reconciler } }) =>
    rowPerEntry({
      spec: ipcacheMap,
      table,
      reconciler,
      rowKey: ({ prefix }) => prefix,
      entry: (row) => [{ prefix: row.prefix }, infoOf(row)],
    }),
  ),
);

/** The world is everything that nobody knows better; the node's addresses are the host. */
function ownEntries(config: NodeConfig): IpCacheEntry[] {
  const own = new Set([config.routerIpv4, ...[config.host, ...config.devices].flatMap(({ ipv4 }) => ipv4)]);
  const entry = { tunnelEndpoint: "0.0.0.0", encryptKey: 0 };
  return [
    { ...entry, prefix: "0.0.0.0/0", identity: ReservedIdentity.world, source: "reserved" },
    ...[...own].map((address) => ({
      ...entry,
      prefix: `${address}/32`,
      identity: ReservedIdentity.host,
      source: "node" as const,
    })),
  ];
}
