// Packets for pods leave the tunnel past its device: which do, and what becomes of those that do not.

import { join } from "node:path";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { createKernelDatapath } from "../../src/datapath/index.ts";
import { tunnelMap } from "../../src/datapath/maps/index.ts";
import type { World } from "../../src/playground/index.ts";
import { counted } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { nft } from "../support/nft.ts";
import { startUntilSays } from "../support/programs.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

type Family = "ipv4" | "ipv6";

/** Packets that have come to a node through the tunnel's device. */
async function throughDevice(world: World, node: string): Promise<number> {
  const [link] = JSON.parse(await world.run(node, ["ip", "-j", "-s", "link", "show", "cilium_vxlan"]));
  return link.stats64.rx.packets;
}

/** How many echo requests of pod1 pod2 answers; how many requests, and how many answers, have taken the device. */
async function ping(world: World, family: Family, count: number, ...flags: readonly string[]) {
  const before = [await throughDevice(world, "node2"), await throughDevice(world, "node1")];
  const { received } = await echo(world, "pod1", world.pod("pod2")[family], count, ...flags);
  const after = [await throughDevice(world, "node2"), await throughDevice(world, "node1")];
  return { received, requests: after[0]! - before[0]!, answers: after[1]! - before[1]! };
}

/** Pings until all that node2 receives for its pod comes one way. */
const settles = (world: World, way: "direct" | "device"): Promise<unknown> =>
  eventually(`packets take the ${way} way`, async () => {
    const { received, requests } = await ping(world, "ipv4", 3);
    return received === 3 && requests === (way === "direct" ? 0 : 3);
  });

/** What tcpdump in pod2 says of one echo request of pod1. */
async function seenByPod(world: World, family: Family, ...flags: readonly string[]): Promise<string> {
  const filter = family === "ipv4" ? "icmp[icmptype] == icmp-echo" : "icmp6 and ip6[40] == 128";
  const argv = ["tcpdump", "--immediate-mode", "-l", "-n", "-e", "-v", "-t", "-i", "eth0", filter];
  const { child, stop } = await startUntilSays(world, "pod2", argv, /listening on/);
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (data: string) => {
    text += data;
  });
  try {
    await echo(world, "pod1", world.pod("pod2")[family], 1, ...flags);
    return await eventually("the pod sees the request", () => (/echo request/.test(text) ? text : undefined));
  } finally {
    await stop();
  }
}

/** Does something while packets of the tunnel are changed on the underlay, as a rule of nft(8) says. */
async function whileChanged(world: World, rule: string, work: () => Promise<void>): Promise<void> {
  const table = "tunnel_receive";
  const node2 = world.nodes[1]!.addresses.ipv4;
  const chain = `chain pass {
    type filter hook forward priority filter;
    ip daddr ${node2} udp dport 8472 ${rule}
  }`;
  await nft(world, "underlay", `table bridge ${table} {\n${chain}\n}`);
  try {
    await work();
  } finally {
    await nft(world, "underlay", "delete", "table", "bridge", table);
  }
}

/** Adds chains at hooks of node2, and takes them away again. */
async function withChains(
  world: World,
  { family, table, chains }: { family: string; table: string; chains: readonly string[] },
  work: () => Promise<unknown>,
): Promise<void> {
  const all = chains.map((chain, i) => `chain c${i} {\n${chain}\n}`);
  await nft(world, "node2", `table ${family} ${table} {\n${all.join("\n")}\n}`);
  try {
    await work();
  } finally {
    await nft(world, "node2", "delete", "table", family, table);
  }
}

/** Health of node2's tunnel, in words. */
async function said(world: World): Promise<string> {
  const { root } = await world.node("node2").client.agent.getHealth({});
  return JSON.stringify(root);
}

await worldTests("the way out of the tunnel", { nodes: 2, pods: 2 }, (test) => {
  test("small packets for pods pass the tunnel's device, and the pod cannot tell", async (t, world) => {
    await settles(world, "direct");
    for (const [family, type] of [
      ["ipv4", "ethertype IPv4 (0x0800)"],
      ["ipv6", "ethertype IPv6 (0x86dd)"],
    ] as const) {
      t.deepEqual(await ping(world, family, 5), { received: 5, requests: 0, answers: 0 });
      const seen = await seenByPod(world, family);
      t.true(seen.includes(type), seen);
      t.true(seen.includes(`${world.pod("pod1")[family]} > ${world.pod("pod2")[family]}`), seen);
    }
  });

  test("bulk takes the device, which merges it", async (t, world) => {
    await settles(world, "direct");
    for (const family of ["ipv4", "ipv6"] as const)
      t.deepEqual(await ping(world, family, 4, "-s", "1200"), { received: 4, requests: 4, answers: 4 });
  });

  test("what is for the node itself takes the device", async (t, world) => {
    await settles(world, "direct");
    const before = await throughDevice(world, "node2");
    t.is((await echo(world, "pod1", world.nodes[1]!.addresses.ipv4, 3)).received, 3);
    t.is((await throughDevice(world, "node2")) - before, 3);
  });

  test("congestion on the underlay is told the pod", async (t, world) => {
    await settles(world, "direct");
    t.regex(await seenByPod(world, "ipv4", "-Q", "2"), /tos 0x2,ECT\(0\)/);
    await whileChanged(world, "ip ecn set ce", async () => {
      t.regex(await seenByPod(world, "ipv4", "-Q", "2"), /tos 0x3,CE/);
      t.deepEqual(await ping(world, "ipv4", 3, "-Q", "2"), { received: 3, requests: 3, answers: 0 });
    });
  });

  test("packets of a node that has no part in the cluster are refused, and counted", async (t, world) => {
    await settles(world, "direct");
    const node = world.node("node2");
    const before = await counted(node, DropReason.invalidSourceIp);
    const stranger = world.addressing.outsideIpv4;
    await whileChanged(world, `ip saddr set ${stranger}`, async () => {
      t.is((await echo(world, "pod1", world.pod("pod2").ipv4, 3, "-W", "0.3")).received, 0);
    });
    t.is(await counted(node, DropReason.invalidSourceIp), before + 3);
  });

  test("packets that come from where none go to is the stack's to judge", async (t, world) => {
    const other = `${world.nodes[0]!.addresses.ipv4}/32`;
    await settles(world, "direct");
    await world.run("node2", ["ip", "route", "add", "unreachable", other]);
    try {
      const { received, requests } = await ping(world, "ipv4", 3, "-W", "0.3");
      t.deepEqual({ received, requests }, { received: 0, requests: 3 });
    } finally {
      await world.run("node2", ["ip", "route", "del", other]);
    }
    await settles(world, "direct");
  });

  test("whoever filters what comes in sees the tunnel's packets, as long as there is a chain", async (t, world) => {
    await settles(world, "direct");
    for (const [family, hook, device] of [
      ["inet", "input", ""],
      ["ip", "prerouting", ""],
      ["netdev", "ingress", "device eth0"],
    ] as const) {
      const table = `firewall_${hook}`;
      const chains = [`type filter hook ${hook} ${device} priority 0\nudp dport 8472 drop`];
      await withChains(world, { family, table, chains }, async () => {
        const start = performance.now();
        await eventually(`${family} ${hook} is obeyed`, async () => {
          const { received } = await echo(world, "pod1", world.pod("pod2").ipv4, 1, "-W", "0.2");
          return received === 0;
        });
        t.log(`${family} ${hook} is obeyed within ${Math.round(performance.now() - start)} ms`);
        const why = `received through its device: table ${family} ${table} has a chain at ${hook}`;
        await eventually("the agent says why", async () => (await said(world)).includes(why));
      });
      await settles(world, "direct");
    }
    t.true((await said(world)).includes("sent past its device; received past its device"));
  });

  test("chains that see nothing of what comes in for the node are none of the tunnel's", async (t, world) => {
    await settles(world, "direct");
    const at = (hook: string): string => `type filter hook ${hook} priority 0`;
    const others = { family: "inet", table: "others", chains: ["forward", "output", "postrouting"].map(at) };
    await withChains(world, others, async () => {
      // Told after those: they have been thought about.
      const last = { family: "inet", table: "last", chains: [at("input")] };
      await withChains(world, last, () => settles(world, "device"));
      await settles(world, "direct");
    });
    t.pass();
  });

  test("programs leave packets to the device when the agent has said nothing for long", async (t, world) => {
    await settles(world, "direct");
    const { bpf } = createKernelDatapath({ cacheDir: world.directory });
    const map = bpf.openPinnedMap(join(world.nodes[1]!.scratch.bpfRoot, "globals", tunnelMap.name))!;
    try {
      const control = bpf.typed(map, tunnelMap);
      const now = process.hrtime.bigint();
      const { transmitUntilNs, receiveUntilNs } = control.lookup(0)!;
      t.true(receiveUntilNs > now && receiveUntilNs < now + 31_000_000_000n);
      await eventually("packets take the device", async () => {
        // Again and again: the agent says otherwise every few seconds.
        control.update(0, { transmitUntilNs, receiveUntilNs: now });
        const { received, requests, answers } = await ping(world, "ipv4", 3);
        return received === 3 && requests === 3 && answers === 0;
      });
      await settles(world, "direct");
    } finally {
      map.close();
    }
  });
});
