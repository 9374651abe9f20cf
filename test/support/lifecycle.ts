// What holds for endpoints however their programs are attached.

import { EndpointState } from "../../src/gen/waggle/v1/endpoint.ts";
import { run } from "../../src/playground/index.ts";
import { steadyPing } from "../../src/playground/traffic.ts";
import { addNamespace, byId, createEndpoint, deleteEndpoint, specFor } from "./endpoints.ts";
import { linksIn, takeInventory } from "./inventory.ts";
import { allowFrom, anyone, ingress, open, reserved, setPolicy } from "./policy.ts";
import { startPeer } from "./programs.ts";
import { upsertService } from "./services.ts";
import { askNames, echo, reaches } from "./traffic.ts";
import type { RegisterWorldTest } from "./world-tests.ts";

const vip = "10.96.7.7";
const port = 7_200;

/** Registers the tests. The world has pods pod1 and pod2. */
export function lifecycleTests(test: RegisterWorldTest): void {
  test("an endpoint comes with an interface, an address, a route and traffic, and goes without a trace", async (t, world) => {
    const before = await takeInventory(world);
    const namespace = await addNamespace(t, world);
    const endpoint = await createEndpoint(world, specFor(namespace));
    t.true((await linksIn(world, "node")).includes(endpoint.hostInterface));
    const [address] = JSON.parse(
      await run(["ip", "-n", namespace, "-j", "address", "show", "dev", "eth0"]),
    ) as {
      address: string;
      operstate: string;
      addr_info: { family: string; local: string; prefixlen: number }[];
    }[];
    t.is(address?.address, endpoint.mac);
    t.deepEqual(
      address?.addr_info
        .filter(({ family }) => family === "inet")
        .map(({ local, prefixlen }) => [local, prefixlen]),
      [[endpoint.ipv4, 32]],
    );
    t.true(await reaches(world, "pod1", endpoint.ipv4));
    t.true(await reaches(world, "outside", endpoint.ipv4));
    const during = await takeInventory(world);
    t.is(during.usedAddresses, before.usedAddresses + 1);
    t.true(during.attachments.includes(`lxc-${endpoint.id}`));
    t.true(during.pins.length > before.pins.length);

    await deleteEndpoint(world, endpoint);
    t.deepEqual(await takeInventory(world), before);
    t.deepEqual(
      (JSON.parse(await run(["ip", "-n", namespace, "-j", "link", "show"])) as { ifname: string }[]).map(
        ({ ifname }) => ifname,
      ),
      ["lo"],
    );
    t.is((await echo(world, "pod1", endpoint.ipv4, 1, "-W", "0.3")).received, 0);
  });

  test("regeneration replaces all programs and loses no packet", async (t, world) => {
    const pod = world.pod("pod2");
    const before = await takeInventory(world);
    const pings = [
      await steadyPing(world, "pod1", pod.ipv4),
      await steadyPing(world, "outside", pod.ipv4),
      await steadyPing(world, "node", pod.ipv4),
    ];
    const { endpoint: old } = await world.client.endpoints.getEndpoint({ endpoint: byId(pod.id) });
    const times = 15;
    for (let time = 0; time < times; time++) {
      // Enforcement is compiled in: changing it needs other programs. The rules stay, and allow everybody.
      const rules = [allowFrom(anyone)];
      await setPolicy(world, "pod2", time % 2 === 0 ? ingress(...rules) : { ...open, rules });
    }
    for (const ping of pings) t.is((await ping.end()).lost, 0);
    const { endpoint } = await world.client.endpoints.getEndpoint({ endpoint: byId(pod.id) });
    t.true(endpoint!.generation >= old!.generation + BigInt(times));
    await setPolicy(world, "pod2", open);
    const after = await takeInventory(world);
    t.deepEqual(after.pins, before.pins);
    t.deepEqual(after.programs, before.programs);
  });

  test("regeneration on request loads anew, and loses no packet", async (t, world) => {
    const endpoint = byId(world.pod("pod2").id);
    const ping = await steadyPing(world, "pod1", world.pod("pod2").ipv4);
    const { endpoint: before } = await world.client.endpoints.getEndpoint({ endpoint });
    const request = { endpoint, reason: "to see that it works" };
    for (let time = 1n; time <= 5n; time++) {
      const { endpoint: after } = await world.client.endpoints.regenerateEndpoint(request);
      t.is(after!.state, EndpointState.READY);
      t.is(after!.generation, before!.generation + time);
    }
    t.is((await ping.end()).lost, 0);
  });

  test("policy and services work on it", async (t, world) => {
    const pod = world.pod("pod2");
    const server = await startPeer(world, "pod2", "tcp-server", port, "pod2");
    const name = "lifecycle/web";
    await upsertService(world, { name, ip: vip, port: 80, backends: [{ ip: pod.ipv4, port }] });
    try {
      t.deepEqual(await askNames(world, "pod1", vip, 80, 3), { names: { pod2: 3 }, failed: [], broken: [] });
      await setPolicy(world, "pod2", ingress(allowFrom(reserved("world"))));
      t.true(await reaches(world, "outside", pod.ipv4));
      t.is((await echo(world, "pod1", pod.ipv4, 1)).received, 0);
      t.is((await echo(world, "node", pod.ipv4, 1)).received, 0);
    } finally {
      await setPolicy(world, "pod2", open);
      await world.client.services.deleteService({ name });
      await server.stop();
    }
  });
}
