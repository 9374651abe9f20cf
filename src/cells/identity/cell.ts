import { setTimeout as sleep } from "node:timers/promises";
import {
  type ConfigOf,
  config,
  flag,
  Health,
  Jobs,
  Lifecycle,
  Log,
  module,
  provide,
  token,
} from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import { State } from "../state/index.ts";
import { identityTable, StoredIdentities, type StoredIdentity } from "./allocator.ts";
import type { IdentityAllocator } from "./types.ts";

/** Numbers for label sets. Usable once the identity cell has started. */
export const Identities = token<IdentityAllocator>("Identities");

const flags = {
  "identity-restore-grace-period": flag.duration({
    default: "10m",
    help: "how long identities of the agent's last run are kept for endpoints that come back",
  }),
};

/** What the identity cell is told. */
export const IdentityConfig = token<ConfigOf<typeof flags>>("IdentityConfig");

/** Label sets to numbers, kept over restarts. */
export const identityCell = module(
  "identity",
  "Identities: a number for each set of labels",
  config(IdentityConfig, flags),
  provide(
    Identities,
    { settings: IdentityConfig, state: State, lifecycle: Lifecycle, jobs: Jobs, health: Health, log: Log },
    ({ settings, state, lifecycle, jobs, health, log }) => {
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
    },
  ),
);
