// Cells that need little: their wiring, and what they take from the node.

import test from "ava";
import { ipamCell, NodeIpam } from "../../src/cells/ipam/index.ts";
import { NodeNetworking } from "../../src/cells/node-config/index.ts";
import { State, StateLockedError, stateCell } from "../../src/cells/state/index.ts";
import { Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { nodeNetwork, scratchDirectory } from "./support.ts";

test("pod addresses leave out what the node has for itself", async (t) => {
  const hive = new Hive({
    name: "ipam-test",
    logger: silentLogger,
    cells: [
      supply(NodeNetworking, nodeNetwork({ podCidr: "192.0.2.0/28", routerIpv4: "192.0.2.1" })),
      ipamCell,
      invoke({ ipam: NodeIpam }, () => undefined),
    ],
  });
  t.notThrows(() => hive.populate());
  t.throws(() => hive.get(NodeIpam).allocate("pod"), { message: /before the ipam cell has started/ });
  await hive.start();
  t.teardown(() => hive.stop());
  const ipam = hive.get(NodeIpam);
  t.is(ipam.pools[0]?.capacity, 12);
  t.is(ipam.owner("192.0.2.10"), "the node (eth1)");
  t.deepEqual(ipam.allocate("pod"), { ipv4: "192.0.2.2", ipv6: "" });
});

test("the state cell opens its directory at start and lets go of it at stop", async (t) => {
  const stateDir = await scratchDirectory(t);
  const build = (): Hive =>
    new Hive({
      name: "state-test",
      logger: silentLogger,
      cells: [stateCell, invoke({ state: State }, () => undefined)],
      settings: { flags: { "state-dir": stateDir } },
    });
  const first = build();
  await first.start();
  await first.get(State).collection<number>("numbers").put("one", 1);
  const second = build();
  const error = await t.throwsAsync(second.start());
  const chain: unknown[] = [error];
  while (chain.at(-1) instanceof Error) chain.push((chain.at(-1) as Error).cause);
  t.true(chain.some((cause) => cause instanceof StateLockedError));
  await first.stop();
  const third = build();
  await third.start();
  t.is(third.get(State).collection<number>("numbers").get("one"), 1);
  await third.stop();
});
