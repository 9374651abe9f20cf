import type { Subscription } from "rxjs";
import { Health, Jobs, Lifecycle, Log, module, provide, token } from "../../hive/index.ts";
import type { Change } from "../../table/index.ts";
import { DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { Identities, type Identity } from "../identity/index.ts";
import { PinnedPolicyMaps } from "./manager.ts";
import type { PolicyMaps } from "./types.ts";

/** Policy maps of the endpoints. Usable once the policy-maps cell has started. */
export const Policies = token<PolicyMaps>("Policies");

const repairIntervalMs = 30_000;

/** The endpoints' rules, resolved to identities, in a kernel map each. */
export const policyMapsCell = module(
  "policy-maps",
  "Policy maps: the endpoints' rules, resolved to identities",
  provide(
    Policies,
    {
      datapath: DatapathToken,
      maps: GlobalMapsToken,
      identities: Identities,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ datapath, maps, identities, lifecycle, jobs, health, log }) => {
      const policies = new PinnedPolicyMaps({
        bpf: datapath.bpf,
        directory: () => maps.pins.policy,
        identities,
        log,
        onBroken: () => repair.trigger(),
      });
      let subscription: Subscription | undefined;
      lifecycle.append({
        name: "policy maps",
        start: () => {
          // Changes are delivered before the write that made them returns: an identity that somebody has
          // acquired is known to all policies.
          subscription = identities.table.changes().subscribe(newcomersAndLeavers(policies));
          // Maps that cannot be brought in line show in the health of the repair job.
          health.ok("identities are followed");
        },
        stop: () => {
          subscription?.unsubscribe();
          policies.close();
        },
      });
      const repair = jobs.timer("repair policy maps", () => policies.repair(), {
        intervalMs: repairIntervalMs,
        debounceMs: 100,
        backoff: { minMs: 200, maxMs: repairIntervalMs },
      });
      return policies;
    },
  ),
);

/** Passes on identities when they come and go, not when their references change: a number's labels stay the same. */
function newcomersAndLeavers(policies: PinnedPolicyMaps): (change: Change<Identity, number>) => void {
  const known = new Set<number>();
  return (change) => {
    if (change.kind === "delete") {
      known.delete(change.key);
      policies.follow(change.key, undefined);
    } else if (change.kind === "upsert" && !known.has(change.key)) {
      known.add(change.key);
      policies.follow(change.key, change.row);
    }
  };
}
