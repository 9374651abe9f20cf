import type { BpfMap } from "../../datapath/index.ts";
import type { PolicyEntry, PolicyKey } from "../../datapath/maps/index.ts";
import type { Endpoint } from "../endpoints/types.ts";

/** The policy map of an endpoint, for those who look at it. */
export interface OpenPolicyMap {
  readonly endpointId: number;
  readonly map: BpfMap<PolicyKey, PolicyEntry>;
  /** Why it lags behind the identities; it is repaired as soon as possible. */
  readonly lagging?: Error;
}

/** The per-endpoint policy maps: rules of the endpoints, resolved to identities. */
export interface PolicyMaps {
  /**
   * Opens or creates the endpoint's map and fills it from its rules; resolves when it holds exactly them. From then on
   * the map follows identities as they come and go. A packet on which old and new rules agree is never treated
   * otherwise in between.
   *
   * @throws RefusalError RESOURCE_EXHAUSTED when the rules need more entries than the map has; DatapathError
   */
  ensure(endpoint: Endpoint): Promise<BpfMap<PolicyKey, PolicyEntry>>;
  /**
   * Call when programs of this very policy run. Until then the map keeps the entries of directions that are enforced
   * no longer: the programs that still run need them.
   */
  settle(endpoint: Endpoint): Promise<void>;
  /** The endpoint's map, if it is open. */
  get(endpointId: number): BpfMap<PolicyKey, PolicyEntry> | undefined;
  /** The maps there are. */
  list(): readonly OpenPolicyMap[];
  /** Closes and unpins. */
  remove(endpointId: number): void;
  /** Unpins maps of all other endpoints, as left by an agent that died; returns their names. */
  prune(endpointIds: ReadonlySet<number>): readonly string[];
}
