import type { Subscription } from "rxjs";
import {
  advanceEpoch,
  EpochTable,
  epochsMap,
  type IpCacheKey,
  ipcacheMap,
  type RemoteEndpointInfo,
} from "../../datapath/maps/index.ts";
import { contribute, Health, Lifecycle, Log, module, provide, token } from "../../hive/index.ts";
import { Database, Reconciler } from "../../table/index.ts";
import { GlobalMapsToken, ReconciledMaps, rowPerEntry } from "../datapath/index.ts";
import { ReservedIdentity } from "../identity/index.ts";
import {
  familiesOf,
  hostPrefix,
  type NodeConfig,
  type NodeNetwork,
  NodeNetworking,
  nodeAddresses,
} from "../node-config/index.ts";
import { State } from "../state/index.ts";
import { ipcacheTable, LayeredIpCache, type StoredEntry } from "./ipcache.ts";
import { infoOf, kernelIpCache } from "./kernel.ts";
import type { IpCache, IpCacheEntry } from "./types.ts";

/** Prefixes and the identities behind them. Usable once the ipcache cell has started. */
export const IpCaches = token<IpCache>("IpCaches");

/**
 * Rows a batch, at most: 5 ms of the kernel's time. The next batch is encoded meanwhile; larger ones would only live
 * longer, and be copied by the garbage collector more often.
 */
const batchSize = 4_096;

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
      const changed = () => advanceEpoch(maps.typed(epochsMap.name), EpochTable.ipcache);
      const table = new Database().createTable(ipcacheTable);
      const reconciler = new Reconciler({
        name: "ipcache",
        table,
        ops: kernelIpCache(map, changed),
        batchSize,
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
      let subscription: Subscription | undefined;
      const restored = cache.registerInitializer("ipcache");
      lifecycle.append({
        name: "ipcache",
        start: () => {
          changed(); // the agent before this one may have died between a change and saying so
          cache.upsertMany(ownEntries(node.config));
          cache.restore();
          restored();
          reconciler.start();
          subscription = followNode(cache, node);
        },
        stop: () => {
          subscription?.unsubscribe();
          return reconciler.stop();
        },
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

const worlds = { 4: "0.0.0.0/0", 6: "::/0" } as const;

/**
 * The world is everything that nobody knows better; the node's addresses are the host, what no pod has of its pod CIDRs
 * is nobody's, and so is what no service has of the service networks.
 */
function ownEntries(config: NodeConfig): IpCacheEntry[] {
  const entry = { tunnelEndpoint: "0.0.0.0", encryptKey: 0 };
  return [
    ...familiesOf(config).map((family) => ({
      ...entry,
      prefix: worlds[family],
      identity: ReservedIdentity.world,
      source: "reserved" as const,
    })),
    ...[config.podCidr, config.podCidrV6].flatMap((prefix) =>
      prefix === undefined
        ? []
        : [{ ...entry, prefix, identity: ReservedIdentity.unmanaged, source: "node" as const }],
    ),
    ...config.serviceCidrs.map((prefix) => ({
      ...entry,
      prefix,
      identity: ReservedIdentity.service,
      source: "node" as const,
    })),
    ...nodeAddresses(config).map((address) => ({
      ...entry,
      prefix: hostPrefix(address),
      identity: ReservedIdentity.host,
      source: "node" as const,
    })),
  ];
}

/** The node's addresses change when its devices do. */
function followNode(cache: IpCache, node: NodeNetwork): Subscription {
  let current = ownEntries(node.config);
  return node.changes.subscribe((config) => {
    const next = ownEntries(config);
    const kept = new Set(next.map(({ prefix }) => prefix));
    for (const { prefix, source } of current) if (!kept.has(prefix)) cache.remove(prefix, source);
    cache.upsertMany(next);
    current = next;
  });
}
