// Paths through services: ClusterIPs and node ports that the test makes for itself.

import type { PathCase } from "./cases.ts";
import type { Topology } from "./topology.ts";

/** All of them that the topology has. */
export function serviceCases(_topology: Topology): readonly PathCase[] {
  return [];
}
