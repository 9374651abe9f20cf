import { setTimeout as sleepFor } from "node:timers/promises";
import { distinctUntilChanged, filter, firstValueFrom, map, type Observable, type Subscription } from "rxjs";
import {
  config,
  Health,
  type HealthScope,
  Lifecycle,
  Log,
  type Logger,
  module,
  provide,
  token,
} from "../../hive/index.ts";
import { NodeSettings } from "../node-config/index.ts";
import { State } from "../state/index.ts";
import { EtcdStore, longestPauseMs } from "./etcd/etcd-store.ts";
import { AgentMemory, type StoredMemory } from "./etcd/memory.ts";
import { checkKvStoreConfig, type KvStoreConfig, kvStoreFlags } from "./settings.ts";
import { StoredCollections } from "./shared/collections.ts";
import { Following } from "./shared/following.ts";
import type { KvStatus } from "./store.ts";
import { ClusterStore, SharedState } from "./tokens.ts";

/** What the kvstore cell is told. */
export const KvStoreSettings = token<KvStoreConfig>("KvStoreSettings");

/** How long the agent's start waits for the store, before it goes on with what was last known. */
const firstContactMs = 5_000;

/** State that nodes share: in etcd, or in the state directory of the only node. */
export const kvstoreCell = module(
  "kvstore",
  "State that nodes share",
  config(KvStoreSettings, kvStoreFlags),
  provide(
    ClusterStore,
    {
      settings: KvStoreSettings,
      node: NodeSettings,
      state: State,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({ settings, node, state, lifecycle, health, log }) => {
      checkKvStoreConfig(settings);
      const following = new Following(log);
      const settleMs = settings.kvstoreLeaseTtl + longestPauseMs;
      if (settings.kvstore === "embedded") {
        lifecycle.append({
          name: "shared state",
          start: () => {
            following.load();
            health.ok("embedded, in the state directory");
          },
          stop: () => following.stop(),
        });
        return { store: undefined, node: node.nodeName, following, settleMs };
      }
      const memory = new AgentMemory(state.collection<StoredMemory>("kvstore"));
      const store = new EtcdStore({
        endpoints: settings.etcdEndpoints,
        tls: { ca: settings.etcdCa, cert: settings.etcdCert, key: settings.etcdKey },
        root: `waggle/${node.clusterName}/`,
        leaseTtlMs: settings.kvstoreLeaseTtl,
        memory,
        log,
      });
      let subscription: Subscription | undefined;
      lifecycle.append({
        name: "shared state",
        start: async (signal) => {
          memory.load();
          following.load();
          subscription = store.status.subscribe((status) => reportStatus(status, health));
          subscription.add(logOutages(store.status, log));
          const current = following.start(store);
          store.start();
          const away = firstValueFrom(
            store.status.pipe(
              filter(({ state }) => state === "away"),
              map(() => undefined),
            ),
            {
              defaultValue: undefined,
            },
          );
          await Promise.race([current, away, sleepFor(firstContactMs, undefined, { signal, ref: false })]);
        },
        stop: async () => {
          await store.stop();
          await following.stop();
          subscription?.unsubscribe();
        },
      });
      return { store, node: node.nodeName, following, settleMs };
    },
  ),
  provide(
    SharedState,
    { cluster: ClusterStore, node: NodeSettings, state: State, health: Health },
    ({ cluster: { store, following, settleMs }, node, state, health }) =>
      new StoredCollections({ node: node.nodeName, state, store, settleMs, health }, following),
  ),
);

function reportStatus(status: KvStatus, health: HealthScope): void {
  switch (status.state) {
    case "connecting":
      health.degraded("etcd has not been reached yet");
      break;
    case "connected":
      health.ok(`etcd ${status.endpoint}`);
      break;
    case "away": {
      const since = status.since.toISOString();
      health.degraded(`no etcd since ${since}: working with what was last known`, status.reason);
    }
  }
}

/** Says once when the store goes, and once when it is back. */
function logOutages(statuses: Observable<KvStatus>, log: Logger): Subscription {
  return statuses.pipe(distinctUntilChanged((a, b) => a.state === b.state)).subscribe((status) => {
    if (status.state === "connected") log.info({ endpoint: status.endpoint }, "the shared store is reached");
    if (status.state === "away") log.warn({ err: status.reason }, "the shared store cannot be reached");
  });
}
