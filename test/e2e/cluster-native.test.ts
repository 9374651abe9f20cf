// Two nodes that route their pods' packets to each other as they are: every path, and which stages packets met.

import { ServiceProtocol } from "../../src/gen/waggle/v1/load_balancer.ts";
import { untilNodesAre, untilReached } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { connectivityTest, failures } from "../support/matrix.ts";
import { upsertService } from "../support/services.ts";
import { meets } from "../support/stages.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const options = {
  nodes: 2,
  pods: 4,
  routingMode: "native",
  podRoutes: true,
  agentArguments: ["--kvstore-lease-ttl", "3s"],
} as const;

await worldTests("native routing", options, (test) => {
  test("every path works in both families, from and to the outside as well", async (t, world) => {
    const matrix = await connectivityTest(world);
    t.deepEqual(failures(matrix), []);
    t.deepEqual(matrix.skipped, []);
    t.is(matrix.code, 0);
  });

  for (const family of ["ipv4", "ipv6"] as const) {
    test(`between nodes packets pass the stack and the network, and no tunnel: ${family}`, async (t, world) => {
      const { addresses } = world.node("node2");
      const pod2 = world.pod("pod2")[family];
      await meets(t, world, "pod1", pod2, {
        node1: ["from-endpoint", "to-stack", "to-network"],
        node2: ["from-network", "to-endpoint"],
      });
      await meets(t, world, "node1", pod2, {
        node1: ["to-network"],
        node2: ["from-network", "to-endpoint"],
      });
      await meets(t, world, "pod1", addresses[family], {
        node1: ["from-endpoint", "to-stack", "to-network"],
        node2: ["from-network"],
      });
    });
  }

  test("what of the cluster nobody has is refused, for pods and nodes, also when a node has left", async (t, world) => {
    const refused = async (to: string, why: RegExp): Promise<void> => {
      for (const from of ["pod1", "node1"]) {
        const { received, output } = await echo(world, from, to, 1);
        t.is(received, 0, `${from} to ${to}`);
        t.regex(output, why, `${from} to ${to}`);
      }
    };
    const nobody = /Host Unreachable|Address unreachable/;
    for (const to of ["10.0.1.222", "10.0.2.222", "fd00:10:0:1::dead", "fd00:10:0:2::dead"])
      await refused(to, nobody);
    // In no network of services, and known by its service alone.
    const [ip, protocol] = ["198.18.9.9", ServiceProtocol.TCP];
    await upsertService(world, { name: "test/alone", ip, port: 80, protocol, backends: [] });
    await eventually("every packet to it is refused", async () => {
      const { sent, output } = await echo(world, "pod1", ip, 3);
      return output.match(/Port Unreachable/g)?.length === sent;
    });
    await world.client.services.deleteService({ name: "test/alone" });
    for (const to of ["10.96.9.9", "fd00:96::99"]) await refused(to, /Port Unreachable|Port unreachable/);
    const [one, two] = world.nodes;
    const { ipv4, ipv6 } = world.pod("pod2");
    await two!.killAgent("SIGKILL");
    await untilNodesAre([one!], ["node1"]);
    for (const to of [ipv4, ipv6]) await refused(to, nobody);
    await two!.startAgent();
    await untilNodesAre(world.nodes, ["node1", "node2"]);
    await untilReached(world);
  });
});
