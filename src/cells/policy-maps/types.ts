import type { BpfMap } from "../../datapath/index.ts";
import type { PolicyEntry, PolicyKey } from "../../datapath/maps/index.ts";
import type { Endpoint } from "../endpoints/types.ts";

/** The per-endpoint policy maps: rules of the endpoints, resolved to identities. */
export interface PolicyMaps {
  /** Opens or creates the endpoint's map and fills it from its rules; resolves when it holds exactly them. */
  ensure(endpoint: Endpoint): Promise<BpfMap<PolicyKey, PolicyEntry>>;
  /** Closes and unpins. */
  remove(endpointId: number): void;
}
