// Agents of a cluster are replaced one after another, and killed, while all pods talk to each other all the time.

import type { World } from "../../src/playground/index.ts";
import { allToAll, damaged } from "../support/all-to-all.ts";
import { identityOf, untilHealth, untilNodesAre } from "../support/cluster.ts";
import { droppedPackets } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { upsertService } from "../support/services.ts";
import { worldTests } from "../support/world-tests.ts";

// On a busy machine an agent may take its time to start: what is tested here is not how long a node may be away.
const kills = Number(process.env.CLUSTER_KILLS ?? 15);
const serviceName = "rolling/web";
let lastPort = 0;

/** Writes a service at another node than the one that is killed, with another backend each time. */
async function serve(world: World, round: number): Promise<void> {
  lastPort = 1_000 + round;
  const backends = [{ ip: world.pod("pod1").ipv4, port: lastPort }];
  await upsertService(world, { name: serviceName, ip: "198.18.2.1", port: 80, backends });
}

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

  test(`an agent that is killed ${kills} times, whenever it happens, costs the cluster nothing`, async (t, world) => {
    const node = world.node("node2");
    const droppedOf = (): Promise<readonly number[]> => Promise.all(world.nodes.map(droppedPackets));
    const knownToIt = (): Promise<readonly unknown[]> =>
      Promise.all(world.pods.map(async (pod) => [pod.name, await identityOf(node, pod.ipv4)]));
    const drops = await droppedOf();
    const known = await knownToIt();
    const traffic = await allToAll(world);
    let interrupted = 0;
    for (let kill = 0; kill < kills; kill++) {
      if (!node.running) await node.startAgent();
      // Something for it to catch up with, or to be killed over.
      await serve(world, kill);
      await node.killAgent("SIGKILL");
      // Every other time the next one is killed over its start, each a little later than the one before.
      if (kill % 2 === 0 && ++kill < kills) {
        const started = node.startAgent([], AbortSignal.timeout(50 + 60 * kill));
        await started.catch(() => interrupted++);
      }
    }
    t.true(interrupted > 0);
    if (!node.running) await node.startAgent();
    t.deepEqual(damaged(await traffic.end()), []);
    t.deepEqual(await droppedOf(), drops);
    await untilNodesAre(world.nodes, ["node1", "node2", "node3"]);
    t.deepEqual(await knownToIt(), known);
    await eventually("it has the service as it was written last", async () => {
      const { service } = await node.client.services.getService({ name: serviceName });
      return service?.backends[0]?.port === lastPort;
    });
    await untilHealth(world.nodes, "ok");
  });
});
