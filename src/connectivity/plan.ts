// Which paths a topology has, and why it lacks the others.

import { type PathName, type Plan, pathTitles, type SkippedPath } from "./cases.ts";
import { directCases } from "./direct-cases.ts";
import { serviceCases } from "./service-cases.ts";
import { type Family, families, type Topology } from "./topology.ts";

/** Why a path has no case in a family. */
function whyNot(path: PathName, family: Family, { nodes, pods, outside }: Topology): string {
  const speaks = (party: Readonly<Record<Family, string>>): boolean => party[family] !== "";
  const name = family === "ipv4" ? "IPv4" : "IPv6";
  if (!nodes.some(speaks)) return `no node has ${name}`;
  if (path.includes("outside") && outside === undefined) return "no host outside of the cluster is known";
  if (path.includes("outside") && outside !== undefined && !speaks(outside))
    return `the outside has no ${name}`;
  if (path.includes("pod") && !pods.some(speaks)) return `no pod has ${name}`;
  if (/other|remote/.test(path)) {
    return nodes.length === 1 ? "there is one node alone" : "pods of two nodes are needed";
  }
  if (path === "pod-to-pod-same-node" || path === "pod-to-service-local") return "no node has two pods";
  if (path === "outside-to-pod") return "the outside has no route to pods, or policy lets in part of it";
  return "answers would find no way back";
}

/** Everything that can be tested. @throws Error when namespaces cannot be looked into */
export async function makePlan(topology: Topology): Promise<Plan> {
  const cases = [...(await directCases(topology)), ...serviceCases(topology)];
  const order = Object.keys(pathTitles);
  const skipped: SkippedPath[] = [];
  for (const path of order as PathName[]) {
    for (const family of families) {
      if (cases.some((one) => one.path === path && one.family === family)) continue;
      skipped.push({ path, family, reason: whyNot(path, family, topology) });
    }
  }
  return { cases: cases.sort((a, b) => order.indexOf(a.path) - order.indexOf(b.path)), skipped };
}
