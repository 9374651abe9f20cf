// What the tunnel cell tells programs and operators, on the fake.

import test, { type ExecutionContext } from "ava";
import { DatapathToken, GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import { NodeNetworking } from "../../src/cells/node-config/index.ts";
import { tunnelCell } from "../../src/cells/tunnel/index.ts";
import { createFakeDatapath } from "../../src/datapath/index.ts";
import { type TunnelControl, tunnelMap } from "../../src/datapath/maps/index.ts";
import { HealthTree, Hive, silentLogger, supply } from "../../src/hive/index.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryKernel, nodeConfig, nodeNetwork } from "./support.ts";

/** A node with a tunnel, whose cell has started. */
async function startedNode(
  t: ExecutionContext,
  before: (kernel: ReturnType<typeof createFakeDatapath>["kernel"]) => void = () => undefined,
) {
  const datapath = createFakeDatapath();
  const memory = new MemoryKernel();
  before(datapath.kernel);
  const hive = new Hive({
    name: "tunnel-test",
    logger: silentLogger,
    cells: [
      supply(DatapathToken, datapath),
      supply(GlobalMapsToken, memory.globalMaps()),
      supply(NodeNetworking, nodeNetwork({ routingMode: "tunnel", overlay: nodeConfig.host })),
      tunnelCell,
    ],
  });
  await hive.start();
  t.teardown(() => hive.stop());
  /** Whether programs may send, and receive, by themselves. */
  const direct = (): readonly boolean[] | undefined => {
    const told = memory.typed<number, TunnelControl>(tunnelMap.name).lookup(0);
    const now = process.hrtime.bigint();
    return told && [told.transmitUntilNs > now, told.receiveUntilNs > now];
  };
  return {
    kernel: datapath.kernel,
    says: (text: string) => JSON.stringify(hive.get(HealthTree).snapshot()).includes(text),
    tells: async (transmit: boolean, receive: boolean): Promise<void> => {
      await eventually(
        `${transmit} and ${receive} are told`,
        () => `${direct()}` === `${[transmit, receive]}`,
      );
    },
  };
}

test("programs and operators are told when somebody begins to filter what comes in, and when he stops", async (t) => {
  const { kernel, says, tells } = await startedNode(t);
  await tells(true, true);
  t.true(says("sent past its device; received past its device"));
  const { baseChains } = kernel.network.root;
  baseChains.next([{ family: "inet", table: "filter", chain: "in", hook: "input" }]);
  await tells(true, false);
  t.true(says("sent past its device; received through its device: table inet filter has a chain at input"));
  baseChains.next([]);
  await tells(true, true);
});

test("where nobody can say who filters, the agent starts, says so, and leaves what comes in to the stack", async (t) => {
  const { kernel, says, tells } = await startedNode(t, ({ faults }) =>
    faults.failNext("baseChains", "EPERM", { times: 1_000 }),
  );
  await tells(true, false);
  await eventually("health says so", () => says("baseChains") && says("degraded"));
  kernel.faults.clear();
  kernel.network.root.baseChains.next([]);
  await tells(true, true);
  t.pass();
});
