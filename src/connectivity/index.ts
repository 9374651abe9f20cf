// Tests every path of a cluster's datapath with real traffic, between whatever pods there are.

export {
  caseName,
  filtered,
  type Kind,
  kinds,
  type PathName,
  type Plan,
  pathTitles,
  type SkippedPath,
} from "./cases.ts";
export { makePlan } from "./plan.ts";
export { type CaseResult, runCases } from "./run.ts";
export { clusterOfAgents, discover, type Family, families, type Topology } from "./topology.ts";
