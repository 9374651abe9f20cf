// Two nodes that route their pods' packets to each other as they are: every path, and which stages packets met.

import { connectivityTest, failures } from "../support/matrix.ts";
import { stagesOf } from "../support/stages.ts";
import { worldTests } from "../support/world-tests.ts";

await worldTests("native routing", { nodes: 2, pods: 4, routingMode: "native" }, (test) => {
  test("every path works, and nobody is masqueraded within the cluster", async (t, world) => {
    const matrix = await connectivityTest(world);
    t.deepEqual(failures(matrix), []);
    t.is(matrix.code, 0);
    t.deepEqual([...new Set(matrix.skipped.map(({ path }) => path))], ["outside-to-pod"]);
  });

  test("between nodes packets pass the stack and the network, and no tunnel", async (t, world) => {
    t.deepEqual(await stagesOf(world, "pod1", world.pod("pod2").ipv4), {});
  });
});
