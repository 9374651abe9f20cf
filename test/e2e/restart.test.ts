// An agent that ends takes nothing with it, and one that starts changes nothing but what differs.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Endpoint } from "../../src/cells/endpoints/types.ts";
import { LmdbStateStore } from "../../src/cells/state/store.ts";
import { EndpointState } from "../../src/gen/waggle/v1/endpoint.ts";
import { type World, type WorldPod, waggleArgv } from "../../src/playground/index.ts";
import { droppedPackets } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { linksIn, takeInventory } from "../support/inventory.ts";
import { allowFrom, allowTo, labelled } from "../support/policy.ts";
import { upsertService } from "../support/services.ts";
import { connects, echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import { shipped } from "./fixtures/plugins/index.ts";
import { stateOf, steadyTraffic } from "./fixtures/steady.ts";

const serviceIp = "10.96.0.10";
const page = { pageSize: 1_000, pageToken: "" };

/** Ids of the programs of attachments whose names begin so. */
async function programIds(world: World, prefix: string): Promise<readonly number[]> {
  const { programs } = await world.client.datapath.listPrograms({ ...page, attachment: "" });
  return programs.filter(({ attachment }) => attachment.startsWith(prefix)).map(({ id }) => id);
}

/** How programs hang from a pod's device: pins of TCX links, and filters as tc shows them. */
async function attachedTo(world: World, { id, endpoint }: WorldPod): Promise<readonly string[]> {
  const found: string[] = [];
  for (const direction of ["egress", "ingress"]) {
    const pin = join(world.scratch.bpfRoot, "attachments", `lxc-${id}`, `link-${direction}`);
    if (existsSync(pin)) found.push(`tcx/${direction}`);
    const filters = await world.exec("node", [
      "tc",
      "filter",
      "show",
      "dev",
      endpoint.hostInterface,
      direction,
    ]);
    if (/ bpf /.test(filters.stdout)) found.push(`clsact/${direction}`);
  }
  return found;
}

/** Echo requests with an identifier of its own each, so that policy is asked every time; counts the failures. */
async function freshPings(world: World, from: string, to: string, count: number): Promise<number> {
  const script = `n=0; for i in $(seq ${count}); do ping -n -q -c 1 -W 1 ${to} >/dev/null || n=$((n + 1)); done; echo $n`;
  return Number(await world.run(from, ["sh", "-c", script]));
}

await worldTests(
  "restarts of the agent",
  { pods: 4, plugins: [{ directory: shipped("packet-counter") }, { directory: shipped("cidr-drop") }] },
  (test) => {
    let port = 7_000;

    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      test(`after ${signal} all is as before: the same programs run, and traffic has not noticed`, async (t, world) => {
        const before = await stateOf(world);
        const inventory = await takeInventory(world);
        const drops = await droppedPackets(world);
        const traffic = await steadyTraffic(world, "pod1", "pod2", { port: ++port, pings: 5 });
        // pod3 may send to pod2 alone, and is asked anew for each of these.
        const fresh = freshPings(world, "pod3", world.pod("pod2").ipv4, 300);
        const ending = await world.killAgent(signal);
        t.deepEqual(ending, signal === "SIGTERM" ? { code: 0, signal: null } : { code: null, signal });
        t.true(await connects(world, "pod4", serviceIp, 80), "services work without an agent");
        t.is((await echo(world, "pod4", world.pod("pod2").ipv4)).received, 3);
        await world.startAgent();
        t.deepEqual(await stateOf(world), before);
        t.is(await fresh, 0, "no new flow was refused meanwhile");
        const { sent, lost, messages, received } = await traffic.end();
        t.log({ sent, lost, messages, received });
        t.is(lost, 0);
        t.is(received, messages);
        t.is(await droppedPackets(world), drops);
        t.deepEqual(await takeInventory(world), inventory);
        t.true(await connects(world, "pod4", serviceIp, 80));
        t.is((await echo(world, "pod3", world.pod("pod4").ipv4, 2, "-W", "0.2")).received, 0, "policy holds");
      });
    }

    test("a changed setting reloads what it concerns, and no packet is lost over it", async (t, world) => {
      const [pods, overlay] = [await programIds(world, "lxc"), await programIds(world, "overlay-")];
      const drops = await droppedPackets(world);
      const traffic = await steadyTraffic(world, "pod1", "pod2", { port: ++port, pings: 5 });
      await world.restartAgent("SIGTERM", ["--ct-tcp-timeout", "2h"]);
      const changed = await programIds(world, "lxc");
      t.deepEqual(
        changed.filter((id) => pods.includes(id)),
        [],
        "the pods' programs were replaced",
      );
      t.deepEqual(await programIds(world, "overlay-"), overlay, "those that keep no connections were not");
      await world.restartAgent();
      t.notDeepEqual(await programIds(world, "lxc"), changed);
      const { sent, lost, messages, received } = await traffic.end();
      t.log({ sent, lost, messages, received });
      t.is(lost, 0);
      t.is(received, messages);
      t.is(await droppedPackets(world), drops);
      await eventually("the replaced programs are gone", async () => {
        const { code } = await world.exec("node", ["bpftool", "prog", "show", "id", `${pods[0]}`]);
        return code !== 0;
      });
    });

    test("another way of attaching takes over from the old one without a gap", async (t, world) => {
      const pod = world.pod("pod2");
      const both = ["clsact/egress", "tcx/ingress", "clsact/ingress"];
      await world.client.datapath.listAttachments({ settled: true });
      t.deepEqual(await attachedTo(world, pod), both);
      const drops = await droppedPackets(world);
      const traffic = await steadyTraffic(world, "pod1", "pod2", { port: ++port, pings: 5 });
      await world.restartAgent("SIGTERM", ["--attach-mode", "tcx"]);
      t.deepEqual(await attachedTo(world, pod), ["tcx/egress", "tcx/ingress"]);
      // Other programs, in another way.
      await world.restartAgent("SIGKILL", ["--attach-mode", "clsact", "--ct-udp-timeout", "90s"]);
      t.deepEqual(await attachedTo(world, pod), ["clsact/egress", "clsact/ingress"]);
      await world.restartAgent("SIGTERM", ["--attach-mode", "tcx", "--ct-udp-timeout", "90s"]);
      await world.restartAgent("SIGTERM");
      t.deepEqual(await attachedTo(world, pod), both);
      const { sent, lost, messages, received } = await traffic.end();
      t.log({ sent, lost, messages, received });
      t.is(lost, 0);
      t.is(received, messages);
      t.is(await droppedPackets(world), drops);
    });

    test("pins of things that nobody wants any more are removed", async (t, world) => {
      const root = world.scratch.bpfRoot;
      const { pins } = await takeInventory(world);
      await world.killAgent();
      const ghosts = [
        "policy/cilium_policy_09999",
        "attachments/lxc-999/calls-0badcafe",
        "attachments/lxc-999/chains/to_container_pre_ct_v4-0badcafe",
        `attachments/lxc-${world.pod("pod1").id}/calls-0badcafe`,
        `attachments/lxc-${world.pod("pod1").id}/chains/to_container_pre_ct_v4-0badcafe`,
        "plugins/ghost/ghosts",
      ];
      for (const ghost of ghosts) {
        const path = join(root, ghost);
        const create = ["type", "array", "key", "4", "value", "4", "entries", "1", "name", "ghost"];
        await world.run("node", ["mkdir", "-p", join(path, "..")]);
        await world.run("node", ["bpftool", "map", "create", path, ...create]);
      }
      await world.startAgent();
      t.deepEqual((await takeInventory(world)).pins, pins);
      t.false(existsSync(join(root, "attachments/lxc-999")));
      t.false(existsSync(join(root, "plugins/ghost")));
    });

    test("a pod whose device vanished meanwhile is not ready, and can be deleted and made again", async (t, world) => {
      const { id, endpoint } = world.pod("pod4");
      await world.killAgent("SIGKILL");
      await world.run("node", ["ip", "link", "delete", endpoint.hostInterface]);
      await world.startAgent();
      const ref = { endpoint: { ref: { $case: "id" as const, value: id } } };
      const found = (await world.client.endpoints.getEndpoint(ref)).endpoint;
      t.is(found?.state, EndpointState.NOT_READY);
      t.is(found?.stateReason, `device ${endpoint.hostInterface} is gone`);
      t.is((await echo(world, "pod1", world.pod("pod2").ipv4)).received, 3, "the others are ready");
      await world.client.endpoints.deleteEndpoint(ref);
      const { pins } = await takeInventory(world);
      t.deepEqual(
        pins.filter((pin) => pin.includes(`lxc-${id}/`)),
        [],
      );
      await world.createEndpoint("pod4");
      t.is((await echo(world, "pod1", world.pod("pod4").ipv4)).received, 3);
    });

    for (const state of ["creating", "disconnecting"] as const) {
      test(`an endpoint that an agent left while it was ${state} is removed`, async (t, world) => {
        const before = await takeInventory(world);
        await world.killAgent("SIGKILL");
        const { endpoint } = world.pod("pod1");
        const store = new LmdbStateStore(world.scratch.stateDir);
        await store.open();
        const rows = store.collection<Endpoint>("endpoints");
        const row = rows.get(`${endpoint.id}`)!;
        // It shares its labels, and so its identity, with pod1, who must keep it.
        await rows.put("777", {
          ...row,
          id: 777,
          spec: { ...row.spec, name: "default/half-made", netns: "/run/netns/gone" },
          ipv4: "10.0.1.77",
          ipv6: "fd00:10:0:1::77",
          state,
          ...(state === "creating" ? { identity: 0 } : {}),
        });
        await store.close();
        await world.run("node", ["ip", "link", "add", "lxc777", "type", "veth", "peer", "name", "half-made"]);
        await world.startAgent();
        t.deepEqual(await takeInventory(world), before);
        t.false((await linksIn(world, "node")).includes("lxc777"));
        t.is((await echo(world, "pod1", world.pod("pod2").ipv4)).received, 3);
      });
    }

    test("a second agent on the same state is turned away, and the first does not notice", async (t, world) => {
      const { stateDir, bpfRoot, directory } = world.scratch;
      const before = await stateOf(world);
      const argv = waggleArgv(
        ...["agent", "--state-dir", stateDir, "--bpf-root", bpfRoot],
        ...["--socket", join(directory, "second.sock"), "--devices", "eth0"],
      );
      const { code, stderr } = await world.exec("node", argv);
      t.not(code, 0);
      t.regex(stderr, new RegExp(`state.*${world.agent.pid}`));
      t.deepEqual(await stateOf(world), before);
    });
  },
  async (world) => {
    await upsertService(world, {
      name: "default/web",
      ip: serviceIp,
      port: 80,
      backends: [{ ip: world.pod("pod2").ipv4, port: 7_000 }],
    });
    await world.client.ipcache.upsertIpCacheEntry({
      entry: { prefix: "192.0.2.0/24", identity: 300, tunnelEndpoint: "", encryptKey: 0, source: 0 },
    });
    await world.client.endpoints.updateEndpoint({
      endpoint: { ref: { $case: "id", value: world.pod("pod3").id } },
      labels: undefined,
      policy: {
        enforceIngress: true,
        enforceEgress: true,
        rules: [allowTo(labelled({ app: "pod2" }), "icmp"), allowFrom(labelled({ app: "pod1" }))],
      },
    });
    world.spawn("pod2", ["nc", "-l", "-k", "7000"], "ignore");
    await eventually("the service answers", () => connects(world, "pod4", serviceIp, 80));
  },
);
