// What nodes share goes through etcd; what already works does not depend on it.

import { cp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import type { EndpointPolicy } from "../../src/gen/waggle/v1/endpoint.ts";
import { ServiceProtocol, UpsertServiceRequest } from "../../src/gen/waggle/v1/load_balancer.ts";
import { run, type World, type WorldNode } from "../../src/playground/index.ts";
import { steadyPing } from "../../src/playground/traffic.ts";
import {
  identityOf,
  nodesKnownTo,
  patienceMs,
  unreached,
  untilHealth,
  untilKnown,
  untilNodesAre,
  untilReached,
} from "../support/cluster.ts";
import { addNamespace, byName, specFor } from "../support/endpoints.ts";
import { listen } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { allowFrom, ingress, labelled, open } from "../support/policy.ts";
import { echo, reaches } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const names = ["node1", "node2", "node3"];

/** Writes a service at a node. */
const serve = (node: WorldNode, name: string, ip: string) =>
  node.client.services.upsertService(
    UpsertServiceRequest.fromPartial({
      service: {
        name,
        ip,
        port: 80,
        protocol: ServiceProtocol.TCP,
        backends: [{ ip: "10.0.1.99", port: 80 }],
      },
    }),
  );

const servicesAt = async (node: WorldNode): Promise<readonly string[]> =>
  (await node.client.services.listServices({ pageSize: 0, pageToken: "" })).services.map(({ name }) => name);

/** Waits until each node has exactly these services. */
async function untilServicesAre(world: World, wanted: readonly string[]): Promise<void> {
  for (const node of world.nodes) {
    await eventually(
      `${node.name} has the services ${wanted.join(", ")}`,
      async () => {
        const there = await servicesAt(node);
        if (there.join() !== wanted.join()) throw new Error(`it has ${there.join(", ")}`);
        return true;
      },
      patienceMs,
    );
  }
}

/** Waits until no number stands for different labels at different nodes, and no labels have two numbers. */
async function untilNumbersAgree(t: ExecutionContext, world: World): Promise<void> {
  await eventually(
    "all nodes have the same numbers for the same labels",
    async () => {
      const known = await Promise.all(
        world.nodes.map(async ({ client }) => {
          const { identities } = await client.identities.listIdentities({ pageSize: 1_000, pageToken: "" });
          return identities
            .filter(({ reserved }) => reserved === "")
            .map(({ id, labels }) => [id, JSON.stringify(Object.entries(labels).sort())] as const);
        }),
      );
      const pairs = new Set(known.flat().map(([id, labels]) => `${id} ${labels}`));
      const numbers = new Set(known.flat().map(([id]) => id));
      const sets = new Set(known.flat().map(([, labels]) => labels));
      if (pairs.size !== numbers.size || pairs.size !== sets.size) throw new Error([...pairs].join(", "));
      return true;
    },
    patienceMs,
  );
  t.pass();
}

await worldTests(
  "what nodes share",
  { nodes: 3, pods: 3, agentArguments: ["--kvstore-lease-ttl", "5s"] },
  (test) => {
    test("nodes know each other, each other's pods, and services written anywhere", async (t, world) => {
      await untilNodesAre(world.nodes, names);
      for (const pod of world.pods) await untilKnown(world.nodes, pod);
      await untilReached(world);
      await serve(world.nodes[1]!, "test/first", "198.18.1.1");
      await untilServicesAre(world, ["test/first"]);
      await untilHealth(world.nodes, "ok");
      t.pass();
    });

    test("labels have one identity on all nodes, wherever they came up first", async (t, world) => {
      const [one, two, three] = world.nodes as [WorldNode, WorldNode, WorldNode];
      const specs = await Promise.all(
        [one, two, three].map(async () =>
          specFor(await addNamespace(t, world), { labels: { tier: "everywhere" } }),
        ),
      );
      const nodes = [one, two, three];
      const made = await Promise.allSettled(
        nodes.map((node, index) => node.client.endpoints.createEndpoint({ spec: specs[index]! })),
      );
      // One that is left over would be missed by its node as soon as its namespace is gone.
      for (const [index, { status }] of made.entries()) {
        if (status === "rejected") continue;
        await nodes[index]!.client.endpoints.deleteEndpoint({ endpoint: byName(specs[index]!.name) });
      }
      const identities = made.map((one) =>
        one.status === "fulfilled" ? one.value.endpoint!.identity : String(one.reason),
      );
      t.is(new Set(identities).size, 1, identities.join(", "));
    });

    test("without etcd traffic and local changes go on; when it is back, everybody hears of them", async (t, world) => {
      const [one, two, three] = world.nodes as [WorldNode, WorldNode, WorldNode];
      await world.etcd.kill();
      await untilHealth(world.nodes, "degraded");
      t.deepEqual(await unreached(world), []);
      t.deepEqual(await nodesKnownTo(two), names, "the last known state stays");

      await serve(one, "test/second", "198.18.1.2");
      await three.client.services.deleteService({ name: "test/first" });
      const spec = specFor(await addNamespace(t, world), { labels: { app: "pod1" } });
      const { endpoint } = await one.client.endpoints.createEndpoint({ spec });
      t.is(endpoint?.identity, world.pod("pod1").endpoint.identity, "known labels keep their identity");
      t.deepEqual(await servicesAt(two), ["test/first"], "it has not heard of anything");

      await world.etcd.start();
      await untilHealth(world.nodes, "ok");
      await untilServicesAre(world, ["test/second"]);
      await eventually(
        "another node knows the new pod",
        async () => (await identityOf(two, endpoint!.ipv4)) === endpoint!.identity,
        patienceMs,
      );
      await one.client.endpoints.deleteEndpoint({ endpoint: byName(spec.name) });
      await eventually(
        "another node has forgotten the pod",
        async () => (await identityOf(two, endpoint!.ipv4)) === undefined,
        patienceMs,
      );
    });

    test("an etcd that hangs is noticed, and its return as well", async (t, world) => {
      world.etcd.pause();
      try {
        await untilHealth(world.nodes, "degraded");
        t.deepEqual(await unreached(world), []);
        await serve(world.nodes[2]!, "test/third", "198.18.1.3");
      } finally {
        world.etcd.resume();
      }
      await untilHealth(world.nodes, "ok");
      await untilServicesAre(world, ["test/second", "test/third"]);
      await untilNodesAre(world.nodes, names);
    });

    test("an etcd that has lost everything is told everything again", async (t, world) => {
      const before = world.pods.map(({ endpoint }) => endpoint.identity);
      await world.etcd.wipe();
      await untilHealth(world.nodes, "ok");
      await eventually(
        "etcd has the nodes again",
        async () => {
          const keys = await world.etcd.ctl("get", "--prefix", "waggle/", "--keys-only");
          return names.every((name) => keys.includes(name));
        },
        patienceMs,
      );
      await untilServicesAre(world, ["test/second", "test/third"]);
      await untilNodesAre(world.nodes, names);
      for (const [index, pod] of world.pods.entries()) {
        const { endpoint } = await pod.node.client.endpoints.getEndpoint({
          endpoint: byName(pod.endpointName),
        });
        t.is(endpoint?.identity, before[index], "nobody's identity has changed");
        await untilKnown(world.nodes, pod);
      }
      t.deepEqual(await unreached(world), []);
    });

    test("a number that was made without etcd gives way to the cluster's, and no packet is lost over it", async (t, world) => {
      const [one, two] = world.nodes as [WorldNode, WorldNode];
      const [pod1, pod2, pod3] = [world.pod("pod1"), world.pod("pod2"), world.pod("pod3")];
      const identity = async (): Promise<number> =>
        (await one.client.endpoints.getEndpoint({ endpoint: byName(pod1.endpointName) })).endpoint!.identity;
      const relabel = (tier?: string) =>
        one.client.endpoints.updateEndpoint({
          endpoint: byName(pod1.endpointName),
          labels: { labels: { app: "pod1", ...(tier === undefined ? {} : { tier }) } },
          policy: undefined,
        });
      const guard = (policy: EndpointPolicy) =>
        two.client.endpoints.updateEndpoint({
          endpoint: byName(pod2.endpointName),
          labels: undefined,
          policy,
        });
      await guard(ingress(allowFrom(labelled({ tier: "late" })), allowFrom(labelled({ app: "pod3" }))));
      const pings = await Promise.all([
        steadyPing(world, "pod1", pod3.ipv4),
        steadyPing(world, "pod3", pod1.ipv6),
        steadyPing(world, "pod3", pod2.ipv4),
      ]);
      await world.etcd.kill();
      await untilHealth(world.nodes, "degraded");
      await relabel("late");
      const provisional = await identity();
      t.true(provisional >= 0x80_0000, `${provisional} is one of the node's own`);
      t.is((await echo(world, "pod1", pod2.ipv4, 1)).received, 0, "nobody else knows what it stands for");

      await world.etcd.start();
      const settled = await eventually(
        "it has a number of the cluster's",
        async () => {
          const now = await identity();
          return now < 65_536 && now;
        },
        patienceMs,
      );
      t.not(settled, pod1.endpoint.identity);
      for (const node of world.nodes) {
        await eventually(
          `${node.name} knows it`,
          async () => (await identityOf(node, pod1.ipv4)) === settled,
          patienceMs,
        );
      }
      await eventually("who trusts these labels lets it in", () => reaches(world, "pod1", pod2.ipv4));
      for (const ping of pings) t.is((await ping.end()).lost, 0);
      await relabel();
      t.is(await identity(), pod1.endpoint.identity, "its old labels have their old number");
      await guard(open);
      await untilHealth(world.nodes, "ok");
      for (const pod of world.pods) await untilKnown(world.nodes, pod);
      await untilNumbersAgree(t, world);
    });

    test("an etcd that is set back to an older state is brought up to date, and no number is given twice", async (t, world) => {
      const [one, two, three] = world.nodes as [WorldNode, WorldNode, WorldNode];
      const data = join(world.directory, "etcd", "data");
      const older = join(world.directory, "etcd", "older");
      const spec = async (tier: string) => specFor(await addNamespace(t, world), { labels: { tier } });
      const created = async (node: WorldNode, tier: string) =>
        (await node.client.endpoints.createEndpoint({ spec: await spec(tier) })).endpoint!;
      await world.etcd.kill();
      await cp(data, older, { recursive: true });
      await world.etcd.start();
      await untilHealth(world.nodes, "ok");

      // All of this is unknown to the etcd that comes back.
      const [first, second] = await Promise.all([created(one, "first"), created(two, "second")]);
      await serve(one, "test/fourth", "198.18.1.4");
      await three.client.services.deleteService({ name: "test/second" });
      await untilServicesAre(world, ["test/fourth", "test/third"]);
      await world.etcd.kill();
      await rm(data, { recursive: true });
      await rename(older, data);
      await world.etcd.start();
      const third = await created(three, "third");
      await untilHealth(world.nodes, "ok");
      await untilServicesAre(world, ["test/fourth", "test/third"]);
      await untilNodesAre(world.nodes, names);
      for (const pod of world.pods) await untilKnown(world.nodes, pod);
      for (const [node, { spec }] of [
        [one, first],
        [two, second],
        [three, third],
      ] as const) {
        const { endpoint } = await node.client.endpoints.getEndpoint({ endpoint: byName(spec!.name) });
        for (const other of world.nodes) {
          await eventually(
            `${other.name} knows ${JSON.stringify(spec!.labels)}`,
            async () => (await identityOf(other, endpoint!.ipv4)) === endpoint!.identity,
            patienceMs,
          );
        }
      }
      await untilNumbersAgree(t, world);
      t.deepEqual(await unreached(world), []);
      // What is written from now on is heard of: nobody waits for a revision that is long gone.
      await three.client.services.deleteService({ name: "test/fourth" });
      await untilServicesAre(world, ["test/third"]);
      for (const [node, { spec }] of [
        [one, first],
        [two, second],
        [three, third],
      ] as const) {
        await node.client.endpoints.deleteEndpoint({ endpoint: byName(spec!.name) });
      }
    });

    test("a node whose agent is gone disappears with its lease, and comes back with its agent", async (t, world) => {
      const [one, two, three] = world.nodes as [WorldNode, WorldNode, WorldNode];
      await three.killAgent("SIGKILL");
      t.deepEqual(await unreached(world), [], "nothing needs the agent at once");
      await untilNodesAre([one, two], ["node1", "node2"]);
      t.deepEqual(await unreached(world, world.pods.slice(0, 2)), []);
      // What was its pods' is nobody's now, and not the world's.
      const dead = world.pod("pod3");
      const monitor = await listen(one, { drops: true });
      for (const from of ["pod1", "node1"]) {
        const { received, output } = await echo(world, from, dead.ipv4, 2);
        t.is(received, 0);
        t.regex(output, /Destination Host Unreachable/, `${from} is told`);
        t.regex((await echo(world, from, dead.ipv6, 2)).output, /Address unreachable/, `${from} is told`);
      }
      await eventually("the monitor says why", () =>
        Promise.resolve(
          monitor.drops.filter(({ reason }) => reason === DropReason.unknownTarget).length >= 4,
        ),
      );
      await monitor.end();
      const unknown = await echo(world, "pod1", "10.0.2.222", 2);
      t.regex(
        unknown.output,
        /Destination Host Unreachable/,
        "a node answers for what it has not given away",
      );
      await three.startAgent();
      await untilNodesAre(world.nodes, names);
      for (const pod of world.pods) await untilKnown(world.nodes, pod);
      await untilReached(world);
      await untilHealth(world.nodes, "ok");
    });

    test("a node that is cut off keeps its own pods connected, and is one of the others again when it is back", async (t, world) => {
      const [one, two, three] = world.nodes as [WorldNode, WorldNode, WorldNode];
      await world.setPlugged("node2", false);
      try {
        await untilNodesAre([one, three], ["node1", "node3"]);
        await untilHealth([two], "degraded");
        t.deepEqual(await unreached(world, [world.pods[0]!, world.pods[2]!]), []);
        const { ipv4 } = world.pod("pod2");
        await run(["nsenter", `--net=/run/netns/${two.namespace}`, "--", "ping", "-c", "1", "-W", "2", ipv4]);
      } finally {
        await world.setPlugged("node2", true);
      }
      await untilNodesAre(world.nodes, names);
      for (const pod of world.pods) await untilKnown(world.nodes, pod);
      await untilReached(world);
      await untilHealth(world.nodes, "ok");
    });
  },
);
