// Who reaches whom, and what happens to packets that should not be.

import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { type World, waggleArgv } from "../../src/playground/index.ts";
import { counted, listen } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { EtherType, frame, ipv4, sendFrames, udp } from "../support/frames.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const router = "10.0.1.1";
/** TTL of a fresh packet in Linux. */
const freshTtl = 64;
/** The rest of an IEEE 802.1Q header: VLAN 7, then IPv4. */
const tag = Buffer.from([0, 7, 0x08, 0x00]);

/** The address of "pod1", "node", "outside" or "router"; addresses stay what they are. */
function addressOf(world: World, name: string): string {
  if (/^\d/.test(name)) return name;
  const { nodeIpv4: node, outsideIpv4: outside } = world.addressing;
  return { router, node, outside }[name] ?? world.pod(name).ipv4;
}

/** Sends three echo requests with somebody else's source address; nobody will answer. */
const spoof = (world: World, from: string, source: string, to: string): Promise<unknown> =>
  world.exec(from, ["hping3", "-q", "-n", "-1", "-a", source, "-c", "3", "-i", "u2000", to]);

await worldTests("connectivity of pods, node and outside", { pods: 2 }, (test) => {
  const paths = [
    // Forwarding takes one off the TTL; a pod's node, and the pod itself, are no hop away.
    ["pod1", "pod2", freshTtl - 1],
    ["pod2", "pod1", freshTtl - 1],
    ["pod1", "pod1", freshTtl],
    ["pod1", "router", freshTtl],
    ["pod1", "node", freshTtl],
    ["node", "pod1", freshTtl],
    ["pod1", "outside", freshTtl - 1],
    ["outside", "pod1", freshTtl - 1],
    ["outside", "pod2", freshTtl - 1],
    ["outside", "node", freshTtl],
    ["outside", "router", freshTtl],
  ] as const;
  for (const [from, to, ttl] of paths) {
    test(`${from} reaches ${to}, and answers arrive with TTL ${ttl}`, async (t, world) => {
      const { sent, received, ttls } = await echo(world, from, addressOf(world, to));
      t.is(received, sent);
      t.deepEqual([...new Set(ttls)], [ttl]);
    });
  }

  test("a pod's questions for neighbours are answered with the MAC of the node's end", async (t, world) => {
    // Its gateway it need not ask for.
    await world.run("pod1", ["ip", "neigh", "replace", "10.0.1.9", "dev", "eth0", "use"]);
    const { nodeMac } = world.pod("pod1").endpoint;
    await eventually("there is an answer", async () =>
      (await world.run("pod1", ["ip", "neigh", "show", "10.0.1.9"])).includes(`lladdr ${nodeMac}`),
    );
    t.pass();
  });

  test("an address in the pods' network that nobody has does not answer", async (t, world) => {
    for (const from of ["pod1", "node", "outside"]) {
      t.is((await echo(world, from, "10.0.1.250", 1, "-W", "0.3")).received, 0);
    }
  });

  for (const [from, source] of [
    ["pod1", "10.0.1.99"],
    ["pod1", "pod2"],
    ["pod1", "node"],
    ["pod1", "8.8.8.8"],
    ["outside", "pod2"],
  ] as const) {
    test(`${from} cannot send as ${source}: dropped, counted and reported`, async (t, world) => {
      const victim = addressOf(world, from === "pod1" ? "pod2" : "pod1");
      const claimed = addressOf(world, source);
      const before = await counted(world, DropReason.invalidSourceIp);
      const listener = await listen(world, { drops: true });
      await spoof(world, from, claimed, victim);
      await eventually("three drops are reported", () => listener.drops.length >= 3);
      await listener.end();
      t.is(await counted(world, DropReason.invalidSourceIp), before + 3);
      for (const drop of listener.drops) {
        t.is(drop.reason, DropReason.invalidSourceIp);
        t.is(drop.reasonName, "Invalid source ip");
        t.is(drop.packet?.summary?.sourceIp, claimed);
        t.is(drop.packet?.summary?.destinationIp, victim);
        t.is(drop.packet?.sourceEndpoint, from === "pod1" ? world.pod("pod1").id : 0);
      }
    });
  }

  for (const [from, to] of [
    ["pod1", "pod2"],
    ["pod1", "outside"],
    ["outside", "pod1"],
  ] as const) {
    test(`a packet from ${from} to ${to} whose TTL ends at the node is answered by the node, as ${from} knows it`, async (t, world) => {
      const { received, output } = await echo(world, from, addressOf(world, to), 1, "-t", "1");
      t.is(received, 0);
      const answering = from === "outside" ? world.addressing.nodeIpv4 : router;
      t.regex(output, new RegExp(`From ${answering} icmp_seq=1 Time to live exceeded`));
    });
  }

  test("TTLs that end in the datapath are counted and reported", async (t, world) => {
    const before = await counted(world, DropReason.ttlExceeded);
    const listener = await listen(world, { drops: true });
    await echo(world, "pod1", addressOf(world, "pod2"), 2, "-t", "1");
    await eventually("two drops are reported", () => listener.drops.length >= 2);
    await listener.end();
    t.is(await counted(world, DropReason.ttlExceeded), before + 2);
    t.deepEqual([...new Set(listener.drops.map(({ reason }) => reason))], [DropReason.ttlExceeded]);
  });

  test("what the datapath has no way for is dropped, each kind for its own reason", async (t, world) => {
    const { mac, nodeMac, ipv4: source } = world.pod("pod1").endpoint;
    const packet = (destination: string, protocol = 17): Buffer =>
      ipv4({ source, destination, protocol }, udp(1_000, 2_000, Buffer.alloc(32)));
    const peer = world.pod("pod2").ipv4;
    const cases = [
      ["IPv4 that says it is IPv6", DropReason.invalidSourceIp, EtherType.ipv6, packet(peer)],
      ["a VLAN tag", DropReason.vlanFiltered, EtherType.vlan, Buffer.concat([tag, packet(peer)])],
      ["an unknown ethertype", DropReason.unknownL3, 0x88b5, Buffer.alloc(46)],
      ["multicast", DropReason.multicast, EtherType.ipv4, packet("224.0.0.5")],
      ["broadcast", DropReason.multicast, EtherType.ipv4, packet("255.255.255.255")],
      ["a protocol without connections", DropReason.ctUnknownProtocol, EtherType.ipv4, packet(peer, 99)],
      ["ARP for another protocol", DropReason.invalidPacket, EtherType.arp, Buffer.alloc(46)],
    ] as const;
    for (const [what, reason, etherType, payload] of cases) {
      const before = await counted(world, reason);
      t.is(await sendFrames(world, "pod1", [frame(nodeMac, mac, etherType, payload)]), 1);
      t.is(await counted(world, reason), before + 1, what);
    }
  });

  test("traces tell the way of a packet from pod to pod", async (t, world) => {
    const [pod1, pod2] = [world.pod("pod1"), world.pod("pod2")];
    const listener = await listen(world, { traces: true });
    await echo(world, "pod1", pod2.ipv4, 1);
    const request = await eventually("the request is traced to its end", () => {
      const ours = listener.traces.filter(
        ({ packet }) => packet?.summary?.sourceIp === pod1.ipv4 && packet.summary.destinationIp === pod2.ipv4,
      );
      return ours.length >= 2 && ours;
    });
    await listener.end();
    t.deepEqual(
      request.map(({ observationPoint }) => observationPoint),
      ["from-endpoint", "to-endpoint"],
    );
    const [, delivered] = request;
    t.is(delivered?.sourceIdentity, pod1.endpoint.identity);
    t.is(delivered?.destinationIdentity, pod2.endpoint.identity);
    t.is(delivered?.destinationEndpoint, pod2.id);
    t.is(delivered?.connection, "new");
    t.is(listener.drops.length, 0, "drops were not asked for");
  });

  test("a packet between pods counts once for each direction, and at once", async (t, world) => {
    const forwarded = 0;
    const before = await counted(world, forwarded);
    const { sent, received } = await echo(world, "pod1", addressOf(world, "pod2"), 100);
    const packets = (await counted(world, forwarded)) - before;
    t.is(received, sent);
    // Requests and replies, out of one pod and into the other; neighbours may be asked for meanwhile.
    t.true(packets >= 4 * sent && packets < 5 * sent, `${packets} counted for ${sent} requests`);
  });

  test("a stream for one endpoint has no events of another", async (t, world) => {
    const listener = await listen(world, { traces: true, endpointId: world.pod("pod2").id });
    await echo(world, "pod1", router, 3);
    await echo(world, "pod2", router, 1);
    await eventually("events of pod2", () => listener.traces.length >= 2);
    await listener.end();
    const foreign = listener.traces.filter(
      ({ packet }) =>
        packet?.summary?.sourceIp !== world.pod("pod2").ipv4 &&
        packet?.summary?.destinationIp !== world.pod("pod2").ipv4,
    );
    t.deepEqual(foreign, []);
  });

  test("`waggle monitor` shows a dropped packet, and `waggle metrics` counts it", async (t, world) => {
    const cli = waggleArgv("--socket", world.socket, "--json");
    const monitor = world.run("node", [...cli, "monitor", "--type", "drop", "--count", "1"]);
    let ended = false;
    void monitor.finally(() => {
      ended = true;
    });
    await eventually("waggle monitor has its event", async () => {
      if (!ended) await spoof(world, "pod1", "10.0.1.99", addressOf(world, "pod2"));
      return ended;
    });
    const event = JSON.parse(await monitor) as {
      drop: { reason: number; packet: { summary: { sourceIp: string } } };
    };
    t.is(event.drop.reason, DropReason.invalidSourceIp);
    t.is(event.drop.packet.summary.sourceIp, "10.0.1.99");
    const { metrics } = JSON.parse(await world.run("node", [...cli, "metrics"])) as {
      metrics: { reason: number; packets: string }[];
    };
    t.true(
      metrics.some(({ reason, packets }) => reason === DropReason.invalidSourceIp && Number(packets) > 0),
    );
  });
});
