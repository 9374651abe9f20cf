// Pods' packets enter the tunnel past its device: what they look like on the underlay, and when they do not.

import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { createKernelDatapath } from "../../src/datapath/index.ts";
import { tunnelMap } from "../../src/datapath/maps/index.ts";
import type { World } from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";
import { startUntilSays } from "../support/programs.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

type Family = "ipv4" | "ipv6";

/** Packets that a node has sent through the tunnel's device. */
async function throughDevice(world: World, node = "node1"): Promise<number> {
  const [link] = JSON.parse(await world.run(node, ["ip", "-j", "-s", "link", "show", "cilium_vxlan"]));
  return link.stats64.tx.packets;
}

/** How many echo requests of pod1 are answered by pod2, and how many of them have taken the device. */
async function ping(world: World, family: Family, count: number, ...flags: readonly string[]) {
  const before = await throughDevice(world);
  const { received } = await echo(world, "pod1", world.pod("pod2")[family], count, ...flags);
  return { received, device: (await throughDevice(world)) - before };
}

/** Pings until all requests go one way: a neighbour may have to be found first. */
const settles = (world: World, way: "direct" | "device", timeoutMs = 20_000): Promise<unknown> =>
  eventually(
    `packets take the ${way} way`,
    async () => {
      const { received, device } = await ping(world, "ipv4", 3);
      return received === 3 && device === (way === "direct" ? 0 : 3);
    },
    timeoutMs,
  );

/** What tcpdump says of one echo request of pod1 to pod2 on the underlay: both headers, without what always differs. */
async function seenOutside(world: World, family: Family, tos: number): Promise<string> {
  const [one, two] = world.nodes.map(({ addresses }) => addresses.ipv4);
  const filter = `udp dst port 8472 and src host ${one} and dst host ${two}`;
  const argv = ["tcpdump", "--immediate-mode", "-l", "-n", "-v", "-T", "vxlan", "-t", "-i", "eth0", filter];
  const { child, stop } = await startUntilSays(world, "node1", argv, /listening on/);
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (data: string) => {
    text += data;
  });
  try {
    await echo(world, "pod1", world.pod("pod2")[family], 1, "-Q", `${tos}`);
    return await eventually("the request is seen outside", () =>
      /echo request/.test(text)
        ? text
            .replaceAll(/, id \d+/g, "")
            .replaceAll(/id \d+, |flowlabel \w+, /g, "")
            .replaceAll(/\s+/g, " ")
        : undefined,
    );
  } finally {
    await stop();
  }
}

/** Asserts what is seen of a request. */
async function looksRight(t: ExecutionContext, world: World, family: Family, flags: string) {
  const { endpoint } = world.pod("pod1");
  const [one, two] = world.nodes.map(({ addresses }) => addresses.ipv4);
  const network = `VXLAN, flags [I] (0x08), vni ${endpoint.identity}`;
  // What is marked inside is marked outside, but congestion (3) is told as the ability to (2): RFC 6040.
  for (const [tos, outside] of [
    [0, "tos 0x0,"],
    [2, "tos 0x2,ECT(0),"],
    [3, "tos 0x2,ECT(0),"],
  ] as const) {
    const seen = await seenOutside(world, family, tos);
    const outer = `IP (${outside} ttl 64, offset 0, flags [${flags}], proto UDP (17)`;
    t.true(seen.includes(outer), `${seen} has ${outer}`);
    t.regex(seen, new RegExp(`${one}\\.\\d+ > ${two}\\.8472: ${RegExp.escape(network)}`));
    t.true(seen.includes(`${world.pod("pod1")[family]} > ${world.pod("pod2")[family]}`), seen);
  }
}

await worldTests("the way into the tunnel", { nodes: 2, pods: 2 }, (test) => {
  test("pods' packets leave past the tunnel's device, and the other node cannot tell", async (t, world) => {
    await settles(world, "direct");
    for (const family of ["ipv4", "ipv6"] as const) {
      t.deepEqual(await ping(world, family, 5), { received: 5, device: 0 });
      t.deepEqual(await ping(world, family, 3, "-s", "3000"), { received: 3, device: 0 }, "cut by the pod");
      await looksRight(t, world, family, "DF");
    }
  });

  test("what does not fit is cut by the stack, packet by packet", async (t, world) => {
    await settles(world, "direct");
    const [{ gateway, dev }] = JSON.parse(await world.run("pod1", ["ip", "-j", "route", "show", "default"]));
    // Beside those of the agent, which sets its own right while this looks.
    const route = [world.pod("pod2").ipv4, "via", gateway, "dev", dev];
    await world.run("pod1", ["ip", "route", "add", ...route, "mtu", "1500"]);
    try {
      t.deepEqual(await ping(world, "ipv4", 4, "-s", "1472", "-M", "dont"), { received: 4, device: 4 });
      t.deepEqual(await ping(world, "ipv4", 4, "-s", "1422", "-M", "dont"), { received: 4, device: 0 });
    } finally {
      await world.run("pod1", ["ip", "route", "delete", ...route]);
    }
  });

  test("a route that somebody has given a small MTU is the stack's to obey", async (t, world) => {
    const other = `${world.nodes[1]!.addresses.ipv4}/32`;
    await settles(world, "direct");
    await world.run("node1", ["ip", "route", "add", other, "dev", "eth0", "mtu", "1300"]);
    try {
      await settles(world, "device");
      t.is((await ping(world, "ipv4", 4, "-s", "1300", "-M", "dont")).received, 4);
    } finally {
      await world.run("node1", ["ip", "route", "del", other]);
    }
    await settles(world, "direct");
  });

  test("routes count as they are now, and a node nobody has a route to is nobody's", async (t, world) => {
    const other = `${world.nodes[1]!.addresses.ipv4}/32`;
    await settles(world, "direct");
    await world.run("node1", ["ip", "route", "add", "unreachable", other]);
    t.is((await ping(world, "ipv4", 2)).received, 0);
    await world.run("node1", ["ip", "route", "del", other]);
    t.deepEqual(await ping(world, "ipv4", 3), { received: 3, device: 0 });
  });

  test("programs take the device when the agent has said nothing for long", async (t, world) => {
    await settles(world, "direct");
    const { bpf } = createKernelDatapath({ cacheDir: world.directory });
    const map = bpf.openPinnedMap(join(world.nodes[0]!.scratch.bpfRoot, "globals", tunnelMap.name))!;
    try {
      const control = bpf.typed(map, tunnelMap);
      const now = process.hrtime.bigint();
      const { transmitUntilNs, receiveUntilNs } = control.lookup(0)!;
      t.true(transmitUntilNs > now && transmitUntilNs < now + 31_000_000_000n);
      await eventually("packets take the device", async () => {
        // Again and again: the agent says otherwise every few seconds.
        control.update(0, { transmitUntilNs: now, receiveUntilNs });
        const { received, device } = await ping(world, "ipv4", 3);
        return received === 3 && device === 3;
      });
      await settles(world, "direct");
    } finally {
      map.close();
    }
  });

  test("IPsec is the stack's: with policies on the node packets go through it, and keep to it", async (t, world) => {
    await settles(world, "direct");
    const policy = ["src", "192.0.2.1/32", "dst", "192.0.2.2/32", "dir", "out"];
    const template = ["tmpl", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "mode", "transport"];
    await world.run("node1", ["ip", "xfrm", "policy", "add", ...policy, ...template]);
    await settles(world, "device");
    await looksRight(t, world, "ipv4", "none");
    await world.run("node1", ["ip", "xfrm", "policy", "delete", ...policy]);
    t.deepEqual(await ping(world, "ipv4", 3), { received: 3, device: 3 });
    const { root } = await world.nodes[0]!.client.agent.getHealth({});
    t.true(JSON.stringify(root).includes("through its device: the node has had IPsec policies"));
  });
});
