// Agents of a cluster are replaced one after another, and killed, while all pods talk to each other all the time.

import { allToAll, damaged } from "../support/all-to-all.ts";
import { worldTests } from "../support/world-tests.ts";

// On a busy machine an agent may take its time to start: what is tested here is not how long a node may be away.
const agentArguments = ["--kvstore-lease-ttl", "60s"];

await worldTests("rolling restarts of a cluster", { nodes: 3, pods: 4, agentArguments }, (test) => {
  test("agents are restarted one by one, and one is killed: nothing that pods send is lost", async (t, world) => {
    const traffic = await allToAll(world);
    for (const node of world.nodes) await node.restartAgent();
    await world.node("node2").restartAgent("SIGKILL");
    const reports = await traffic.end();
    t.true(reports.every(({ sent }) => sent > 50));
    const families = world.ipv6 ? 2 : 1;
    t.is(
      reports.length,
      4 * 3 * families * 3,
      "every pod to every other, in each family, by three protocols",
    );
    t.deepEqual(damaged(reports), []);
  });
});
