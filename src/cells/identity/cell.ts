import { setTimeout as sleep } from "node:timers/promises";
import {
  type ConfigOf,
  config,
  flag,
  Health,
  type HealthScope,
  type JobGroup,
  Jobs,
  Lifecycle,
  type LifecycleScope,
  Log,
  type Logger,
  module,
  optional,
  provide,
  token,
} from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import { type ClusterState, ClusterStore, positionsName, Replica } from "../kvstore/index.ts";
import { State, type StateStore } from "../state/index.ts";
import { StoredIdentities, type StoredIdentity } from "./allocator.ts";
import { ClusterIdentities } from "./cluster.ts";
import { decodeNumber, type NumberRecord, numbersPrefix } from "./ledger.ts";
import { identityTable } from "./select.ts";
import type { IdentityAllocator } from "./types.ts";

/** Numbers for label sets. Usable once the identity cell has started. */
export const Identities = token<IdentityAllocator>("Identities");

const flags = {
  "identity-restore-grace-period": flag.duration({
    default: "10m",
    help: "how long identities that no endpoint has are kept: for endpoints that come back after a restart, and before a number gets other labels",
  }),
};

/** What the identity cell is told. */
export const IdentityConfig = token<ConfigOf<typeof flags>>("IdentityConfig");

/** How often numbers that the store has not confirmed are tried again. */
const settleIntervalMs = 5_000;

interface Parts {
  readonly settings: ConfigOf<typeof flags>;
  readonly state: StateStore;
  readonly lifecycle: LifecycleScope;
  readonly jobs: JobGroup;
  readonly health: HealthScope;
  readonly log: Logger;
}

/** Label sets to numbers: kept over restarts, and the same on all nodes that share a store. */
export const identityCell = module(
  "identity",
  "Identities: a number for each set of labels",
  config(IdentityConfig, flags),
  provide(
    Identities,
    {
      settings: IdentityConfig,
      cluster: optional(ClusterStore),
      state: State,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ cluster, ...parts }) => (cluster?.store === undefined ? ofOneNode(parts) : ofCluster(cluster, parts)),
  ),
);

function ofOneNode({ settings, state, lifecycle, jobs, health, log }: Parts): IdentityAllocator {
  const identities = new StoredIdentities(new Database().createTable(identityTable), {
    identities: state.collection<StoredIdentity>("identities"),
    cursor: state.collection<number>("identity-cursor"),
  });
  lifecycle.append({
    name: "identities",
    start: () => {
      identities.restore();
      health.ok();
    },
  });
  jobs.oneShot("drop unused identities", async ({ signal }) => {
    try {
      await sleep(settings.identityRestoreGracePeriod, undefined, { signal, ref: false });
    } catch {
      return; // The agent stops; the next one gets a grace period of its own.
    }
    const dropped = await identities.dropUnreferenced();
    if (dropped.length > 0)
      log.info({ identities: dropped }, "dropped identities that no endpoint came back for");
  });
  return identities;
}

function ofCluster(
  { node, following, settleMs }: ClusterState,
  { settings, state, jobs, health, log }: Parts,
): IdentityAllocator {
  const grace = settings.identityRestoreGracePeriod;
  const identities: ClusterIdentities = new ClusterIdentities({
    node,
    table: new Database().createTable(identityTable),
    log,
    replica: (onChange) =>
      new Replica<NumberRecord>({
        prefix: numbersPrefix,
        entries: state.collection("known-identities"),
        positions: state.collection(positionsName),
        decode: decodeNumber,
        settleMs,
        leased: false,
        onChange,
        onDiskError: (err) => log.warn({ err }, "what is known of identities cannot be stored"),
      }),
    onUnsettled: () => settle.trigger(),
  });
  following.add(identities);
  const settle = jobs.timer(
    "settle identities",
    async () => {
      await identities.settle();
      const { provisional } = identities;
      if (provisional === 0) health.ok(`${identities.table.size} identities`);
      else
        health.degraded(`${provisional} identities have provisional numbers until the store can be reached`);
    },
    { intervalMs: settleIntervalMs, runAtStart: true, backoff: { minMs: 200, maxMs: settleIntervalMs } },
  );
  jobs.timer(
    "collect unused identities",
    async () => {
      const gone = await identities.collect(grace);
      if (gone.length > 0) log.info({ identities: gone }, "deleted identities that nobody has held for long");
    },
    { intervalMs: Math.max(500, grace / 4), jitter: 0.5 },
  );
  return identities;
}
