// Which stages of which node a packet meets, as the agents' traces tell.

import type { ExecutionContext } from "ava";
import type { World } from "../../src/playground/index.ts";
import { type Listener, listen } from "./events.ts";
import { eventually, NeverError } from "./eventually.ts";
import { echo } from "./traffic.ts";

/** Observation points by node, in order; nodes without any are left out. */
export type Stages = Readonly<Record<string, readonly string[]>>;

/** Where echo requests were seen. */
const requestsIn = ({ traces }: Listener): readonly string[] =>
  traces
    .filter(({ packet }) => /EchoRequest|type 8/i.test(packet?.summary?.text ?? ""))
    .map(({ observationPoint }) => observationPoint);

/** Sends one echo request from a namespace, and asserts which stages it met on its way. */
export async function meets(
  t: ExecutionContext,
  world: World,
  from: string,
  to: string,
  expected: Stages,
): Promise<void> {
  const listeners = await Promise.all(
    world.nodes.map(async (node) => ({ node, listener: await listen(node, { traces: true }) })),
  );
  const seen = (): Stages =>
    Object.fromEntries(
      listeners
        .map(({ node, listener }) => [node.name, requestsIn(listener)] as const)
        .filter(([, points]) => points.length > 0),
    );
  const count = (stages: Stages): number => Object.values(stages).flat().length;
  await echo(world, from, to, 1);
  try {
    await eventually("the traces have come", () => count(seen()) >= count(expected));
  } catch (error) {
    // The comparison says more.
    if (!(error instanceof NeverError)) throw error;
  }
  for (const { listener } of listeners) await listener.end();
  t.deepEqual(seen(), expected, `${from} → ${to}`);
}
