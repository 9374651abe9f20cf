// Two nodes that route their pods' packets to each other as they are: every path, and which stages packets met.

import { connectivityTest, failures } from "../support/matrix.ts";
import { meets } from "../support/stages.ts";
import { worldTests } from "../support/world-tests.ts";

await worldTests("native routing", { nodes: 2, pods: 4, routingMode: "native", podRoutes: true }, (test) => {
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
});
