// Which stages of which node a packet met, as the agents' traces tell.

import type { World } from "../../src/playground/index.ts";
import { listen } from "./events.ts";
import { eventually } from "./eventually.ts";
import { echo } from "./traffic.ts";

/** Observation points by node, in order; nodes without any are left out. */
export type Stages = Readonly<Record<string, readonly string[]>>;

/** Sends one echo request from a namespace and tells where the request was seen on its way. */
export async function stagesOf(world: World, from: string, to: string): Promise<Stages> {
  const listeners = await Promise.all(
    world.nodes.map(async (node) => ({ node, listener: await listen(node, { traces: true, drops: true }) })),
  );
  await echo(world, from, to, 1);
  let before = -1;
  await eventually("all traces have come", () => {
    const seen = listeners.reduce((sum, { listener }) => sum + listener.all.length, 0);
    const settled = seen > 0 && seen === before;
    before = seen;
    return settled;
  });
  const stages: Record<string, readonly string[]> = {};
  for (const { node, listener } of listeners) {
    await listener.end();
    const points = listener.traces
      .filter(({ packet }) => /EchoRequest|echo request|type 8/i.test(packet?.summary?.text ?? ""))
      .map(({ observationPoint }) => observationPoint);
    if (points.length > 0) stages[node.name] = points;
  }
  return stages;
}
