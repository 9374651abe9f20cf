import { filter, merge, type Observable, retry, type Subscription, tap } from "rxjs";
import type { NetChange, NetOps } from "../../datapath/index.ts";
import { type LxcEntry, type LxcKey, lxcMap } from "../../datapath/maps/index.ts";
import {
  contribute,
  Health,
  Jobs,
  Lifecycle,
  Log,
  module,
  provide,
  providePrivate,
  token,
} from "../../hive/index.ts";
import { Database, Reconciler, type RWTable, type Table } from "../../table/index.ts";
import { DatapathToken, GlobalMapsToken, ReconciledMaps, rowPerEntry } from "../datapath/index.ts";
import { Identities } from "../identity/index.ts";
import { NodeIpam } from "../ipam/index.ts";
import { IpCaches } from "../ipcache/index.ts";
import { Loading } from "../loader/index.ts";
import { type NodeConfig, NodeNetworking } from "../node-config/index.ts";
import { PluginTable } from "../plugin-table/index.ts";
import { Policies } from "../policy-maps/index.ts";
import { State } from "../state/index.ts";
import { hostAddresses, isHostAddress, type LocalAddress, lxcMapOps } from "./lxc-map.ts";
import { StoredEndpointManager } from "./manager.ts";
import { PodTurns } from "./pod-upkeep.ts";
import type { Endpoint, EndpointManager } from "./types.ts";

/** How long a watch of the kernel's changes that has ended rests. */
const rewatchMs = 1_000;

/** Creates, changes and removes endpoints. */
export const Endpoints = token<EndpointManager>("Endpoints");

/** Addresses of this node on their way to cilium_lxc, in a database that the endpoints are in as well. */
interface LocalAddresses {
  readonly database: Database;
  readonly table: RWTable<LocalAddress, string>;
  readonly reconciler: Reconciler<LocalAddress, string>;
}

const localAddresses = token<LocalAddresses>("local-addresses");

/** Pods of this node: devices, addresses, identities and programs, from creation to removal. */
export const endpointsCell = module(
  "endpoints",
  "Life cycle of this node's endpoints",
  providePrivate(
    localAddresses,
    { globals: GlobalMapsToken, health: Health, log: Log },
    ({ globals, health, log }) => {
      const database = new Database();
      const table = database.createTable<LocalAddress, string>({
        name: "local-addresses",
        key: ({ address }) => address,
      });
      const mapHealth = health.scope("cilium_lxc");
      const reconciler = new Reconciler<LocalAddress, string>({
        name: "cilium_lxc",
        table: table as Table<LocalAddress, string>,
        ops: lxcMapOps(() => globals.typed<LxcKey, LxcEntry>("cilium_lxc")),
        logger: log,
        onHealth: ({ state: status, message }) =>
          status === "ok" ? mapHealth.ok(message) : mapHealth.degraded(message),
      });
      return { database, table, reconciler };
    },
  ),
  contribute(ReconciledMaps, { local: localAddresses }, ({ local: { table, reconciler } }) =>
    rowPerEntry({
      spec: lxcMap,
      table,
      reconciler,
      rowKey: ({ address }) => address,
      entry: ({ address, entry }) => [{ address }, entry],
    }),
  ),
  provide(
    Endpoints,
    {
      datapath: DatapathToken,
      local: localAddresses,
      state: State,
      network: NodeNetworking,
      ipam: NodeIpam,
      identities: Identities,
      ipcache: IpCaches,
      policies: Policies,
      loader: Loading,
      plugins: PluginTable,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ local, state, plugins, lifecycle, jobs, health, log, ...rest }) => {
      let subscription: Subscription | undefined;
      let turns: PodTurns | undefined;
      const { database, table: addresses, reconciler: addressReconciler } = local;
      const table = database.createTable<Endpoint, number>({
        name: "endpoints",
        key: ({ id }) => id,
        indexes: { name: { keys: ({ spec }) => [spec.name], unique: true } },
      });
      const stored = state.collection<Endpoint>("endpoints");
      const manager = new StoredEndpointManager({
        ...rest,
        table,
        addresses,
        addressReconciler,
        stored,
        health,
        log,
      });
      const restored = {
        table: table.registerInitializer("disk"),
        addresses: addresses.registerInitializer("disk"),
        // Until its pods are back the kernel's map must keep them: policies decide by these entries.
        ipcache: rest.ipcache.registerInitializer("endpoints"),
      };
      lifecycle.append({
        name: "endpoints",
        start: async () => {
          addressReconciler.start();
          addresses.upsertMany(hostAddresses(rest.network.config));
          await manager.restore();
          restored.table();
          restored.addresses();
          restored.ipcache();
          subscription = merge(
            plugins.changes(),
            rest.identities.renumbered,
            rest.network.changes.pipe(
              tap((config) => {
                followNode(addresses, config);
                if (turns?.follow(config)) pods.trigger();
              }),
            ),
            podDevicesGone(rest.datapath.net, table),
          ).subscribe(() => upkeep.trigger());
          // What has changed while they were restored.
          followNode(addresses, rest.network.config);
          upkeep.trigger();
          pods.trigger();
        },
        stop: async () => {
          subscription?.unsubscribe();
          await addressReconciler.stop();
        },
      });
      const repairPods = async (signal: AbortSignal): Promise<void> => {
        turns ??= new PodTurns(rest.network.config);
        const problems: unknown[] = [];
        for (const id of turns.next(table.list().map((endpoint) => endpoint.id))) {
          if (signal.aborted) return;
          await manager.repairPod(id).catch((error: unknown) => problems.push(error));
        }
        if (problems.length > 0) throw new AggregateError(problems, `${problems.length} pods' networks`);
      };
      const pods = jobs.timer("pods' networks", ({ signal }) => repairPods(signal), {
        intervalMs: rest.network.checkIntervalMs,
        debounceMs: 100,
      });
      const upkeep = jobs.timer("upkeep of endpoints", () => manager.upkeep(), {
        intervalMs: rest.network.checkIntervalMs,
        debounceMs: 100,
      });
      return manager;
    },
  ),
);

/** Makes the rows of the node's own addresses those that it has. */
function followNode(addresses: RWTable<LocalAddress, string>, config: NodeConfig): void {
  const own = hostAddresses(config);
  const kept = new Set(own.map(({ address }) => address));
  const gone = addresses.list().filter((row) => isHostAddress(row) && !kept.has(row.address));
  addresses.deleteMany(gone.map(({ address }) => address));
  const known = new Set(addresses.list().map(({ address }) => address));
  addresses.upsertMany(own.filter(({ address }) => !known.has(address)));
}

/** Tells when a device of an endpoint's is taken away, or down. */
function podDevicesGone(net: NetOps, endpoints: Table<Endpoint, number>): Observable<NetChange> {
  return net.watch().pipe(
    filter(
      (change) =>
        change.kind === "link" &&
        (change.gone || !change.link.up) &&
        endpoints
          .list()
          .some(({ state, hostInterface }) => state === "ready" && hostInterface === change.link.name),
    ),
    retry({ delay: rewatchMs }),
  );
}
