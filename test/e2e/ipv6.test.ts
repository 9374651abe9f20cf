// What is IPv6's own in the datapath: neighbours, extension headers, fragments, errors, and packets gone wrong.

import { recordFields } from "../../src/cli/output/record.ts";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import type { World } from "../../src/playground/index.ts";
import { capture } from "../support/capture.ts";
import { counted, droppedPackets } from "../support/events.ts";
import {
  damage,
  EtherType,
  frame,
  ipv6,
  ipv6Fragment,
  ipv6Options,
  neighbourSolicitation,
  random,
  sendFrames,
  tcpSyn,
  udp,
} from "../support/frames.ts";
import { startPeer } from "../support/programs.ts";
import { askUdp, echo, reaches } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import { countersAt, mapValues, shipped, unregisterAll } from "./fixtures/plugins/index.ts";

/** Kinds of headers (RFC 8200, 4; RFC 4302). */
const hopByHop = 0;
const tcp = 6;
const udpHeader = 17;
const routing = 43;
const fragment = 44;
const icmp = 58;
const destinationOptions = 60;

const addressOf = (world: World, name: string): string => {
  if (name === "outside") return world.addressing.outsideIpv6;
  return name === "node" ? world.addressing.nodeIpv6 : world.pod(name).ipv6;
};

/** Packets of pod1, as it would put them on its wire. */
function wireOf(world: World) {
  const { mac, nodeMac, ipv6: source } = world.pod("pod1").endpoint;
  return {
    source,
    send: (...packets: readonly Buffer[]) =>
      sendFrames(
        world,
        "pod1",
        packets.map((packet) => frame(nodeMac, mac, EtherType.ipv6, packet)),
      ),
  };
}

await worldTests("IPv6", { pods: 2, ipv6: true }, (test) => {
  test("a pod's neighbour is its gateway, whatever it asks for; nobody has its own address", async (t, world) => {
    const { source, send } = wireOf(world);
    const answers = await capture(world, "pod1", "icmp6 and ip6[40] == 136");
    try {
      const group = "ff02::1:ff00:99";
      await send(
        neighbourSolicitation("::", group, "fd00:10:0:1::99"), // a probe before the address is used
        neighbourSolicitation(source, group, source),
        neighbourSolicitation(source, group, "fd00:10:0:1::99"),
      );
      t.deepEqual(await answers.next(), { source: "fd00:10:0:1::99", destination: source });
    } finally {
      await answers.stop();
    }
    // Its gateway it need not ask for, so somebody else is to be its neighbour.
    const other = "fd00:10:0:1::98";
    await world.run("pod1", ["ip", "route", "add", other, "dev", "eth0"]);
    await echo(world, "pod1", other, 1, "-W", "0.2");
    const shown = await world.run("pod1", ["ip", "neigh", "show", other]);
    await world.run("pod1", ["ip", "route", "delete", other, "dev", "eth0"]);
    t.regex(shown, new RegExp(`lladdr ${world.pod("pod1").endpoint.nodeMac}`));
  });

  test("extension headers are walked, as many as make sense", async (t, world) => {
    const { source, send } = wireOf(world);
    const destination = world.pod("pod2").ipv6;
    const datagram = udp(1_000, 2_000, Buffer.alloc(32));
    const chains: readonly (readonly [string, number, readonly Buffer[]])[] = [
      ["destination options", destinationOptions, [ipv6Options(udpHeader, 3)]],
      ["hop-by-hop and routing", hopByHop, [ipv6Options(routing), ipv6Options(udpHeader, 2)]],
      ["an atomic fragment", fragment, [ipv6Fragment(udpHeader, 7, 0, false)]],
    ];
    // The pod's kernel speaks of multicast groups now and then, behind a header of options.
    const arrivals = await capture(world, "pod2", `ip6 dst host ${destination} and not icmp6`);
    try {
      for (const [what, nextHeader, headers] of chains) {
        const packet = ipv6({ source, destination, nextHeader }, Buffer.concat([...headers, datagram]));
        await send(packet);
        t.true((await arrivals.next()).destination.startsWith(destination), what);
      }
    } finally {
      await arrivals.stop();
    }
    const before = await counted(world, DropReason.invalidExtensionHeader);
    const endless = Array.from({ length: 9 }, () => ipv6Options(destinationOptions));
    const tooLong = ipv6Options(udpHeader).fill(255, 1, 2);
    await send(
      ipv6({ source, destination, nextHeader: destinationOptions }, Buffer.concat([...endless, datagram])),
      ipv6({ source, destination, nextHeader: destinationOptions }, ipv6Options(udpHeader).subarray(0, 4)),
      ipv6({ source, destination, nextHeader: routing }, tooLong),
    );
    t.is(await counted(world, DropReason.invalidExtensionHeader), before + 3);
  });

  for (const [from, to] of [
    ["pod1", "pod2"],
    ["pod1", "outside"],
    ["outside", "pod1"],
    ["pod1", "node"],
    ["node", "pod1"],
  ] as const) {
    test(`fragments from ${from} to ${to} arrive whole`, async (t, world) => {
      const address = addressOf(world, to);
      t.is((await echo(world, from, address, 3, "-s", "8000")).received, 3);
      const server = await startPeer(world, to, "udp", "serve", 7_006, to, address);
      try {
        const report = await askUdp(world, from, address, 7_006, { flows: 3, each: 3, bytes: 8_000 });
        t.is(report.intact, 9);
      } finally {
        await server.stop();
      }
    });
  }

  test("a fragment whose beginning was never seen is dropped and counted", async (t, world) => {
    const { source, send } = wireOf(world);
    const before = await counted(world, DropReason.fragmentNotFound);
    const stray = Buffer.concat([ipv6Fragment(udpHeader, 4_711, 64, true), Buffer.alloc(64)]);
    await send(ipv6({ source, destination: world.pod("pod2").ipv6, nextHeader: fragment }, stray));
    t.is(await counted(world, DropReason.fragmentNotFound), before + 1);
  });

  test("a hop limit that ends at the node is answered by the router, and not for errors or fragments", async (t, world) => {
    const { source, send } = wireOf(world);
    const destination = world.pod("pod2").ipv6;
    const before = await counted(world, DropReason.ttlExceeded);
    const answered = await echo(world, "pod1", destination, 1, "-t", "1");
    t.regex(answered.output, /Time exceeded: Hop limit/);
    const far = await echo(world, "pod1", destination, 1, "-t", "1", "-s", "3000");
    t.is(far.output.match(/Time exceeded/g)?.length, 1, "about the first fragment alone");
    const answers = await capture(world, "pod1", "icmp6 and ip6[40] == 3");
    try {
      const about = ipv6({ source: destination, destination: source, nextHeader: tcp }, tcpSyn(80, 1_000));
      const error = Buffer.concat([Buffer.from("0104000000000000", "hex"), about]);
      await send(
        ipv6({ source, destination, nextHeader: icmp, hopLimit: 1 }, error),
        ipv6({ source, destination, nextHeader: tcp, hopLimit: 1 }, tcpSyn(1_234, 80)),
      );
      const first = await answers.next();
      t.deepEqual(first, { source: "fd00:10:0:1::1", destination: source });
    } finally {
      await answers.stop();
    }
    t.true((await counted(world, DropReason.ttlExceeded)) >= before + 4);
  });

  test("what a pod must not send is dropped, each for its own reason", async (t, world) => {
    const { source, send } = wireOf(world);
    const destination = world.pod("pod2").ipv6;
    const datagram = udp(1_000, 2_000, Buffer.alloc(32));
    const good = { source, destination, nextHeader: udpHeader };
    const cases: readonly (readonly [string, number, Buffer])[] = [
      ["another's address", DropReason.invalidSourceIp, ipv6({ ...good, source: destination }, datagram)],
      ["an address of the link", DropReason.invalidSourceIp, ipv6({ ...good, source: "fe80::1" }, datagram)],
      ["to a group", DropReason.multicast, ipv6({ ...good, destination: "ff05::1:3" }, datagram)],
      ["a header that is cut off", DropReason.invalidPacket, ipv6(good, datagram).subarray(0, 30)],
      ["beyond the frame", DropReason.invalidPacket, ipv6({ ...good, payloadLength: 1_400 }, datagram)],
      ["another version of IP", DropReason.invalidPacket, ipv6({ ...good, version: 4 }, datagram)],
      ["half a UDP header", DropReason.invalidPacket, ipv6(good, datagram.subarray(0, 4))],
      [
        "half a TCP header",
        DropReason.invalidPacket,
        ipv6({ ...good, nextHeader: tcp }, tcpSyn(1, 2).subarray(0, 12)),
      ],
      ["no transport", DropReason.ctUnknownProtocol, ipv6({ ...good, nextHeader: 59 }, Buffer.alloc(8))],
    ];
    for (const [what, reason, packet] of cases) {
      const before = await counted(world, reason);
      await send(packet);
      t.is(await counted(world, reason), before + 1, what);
    }
    t.true(await reaches(world, "pod1", destination));
  });

  test("the shipped plugins count, report and stop packets of IPv6", async (t, world) => {
    const { plugins } = world.client;
    const [pod1, pod2] = [world.pod("pod1"), world.pod("pod2")];
    for (const name of ["packet-counter", "cidr-drop"]) {
      await world.registerPlugin({ directory: shipped(name) });
    }
    await world.registerPlugin({ directory: shipped("flow-sampler"), config: { sample_rate: "1" } });
    t.teardown(() => unregisterAll(world));
    const abort = new AbortController();
    const from = { plugin: "flow-sampler", map: "flow_samples_v6" };
    const stream = plugins.streamPluginRecords(from, abort)[Symbol.asyncIterator]();
    const { event: first } = (await stream.next()).value!;
    const layout = first?.$case === "layout" ? first.value : undefined;

    t.is((await echo(world, "pod1", pod2.ipv6, 4)).received, 4);
    t.is((await countersAt(world, "packet-counter", "pod2", "to_container_pre_ct_v6")).packets, 4n);
    const { event } = (await stream.next()).value!;
    abort.abort();
    const sample = event?.$case === "record" ? recordFields(layout!, event.value.data) : {};
    t.like(sample, {
      src_identity: pod1.endpoint.identity,
      dst_identity: pod2.endpoint.identity,
      saddr: pod1.ipv6,
      daddr: pod2.ipv6,
      dport: 128,
      protocol: icmp,
      packet_len: 118,
      endpoint_id: pod1.id,
    });

    const key = { key: { $case: "cidr" as const, value: `${pod2.ipv6}/128` } };
    const blocked = { plugin: "cidr-drop", map: "blocked_v6" };
    await plugins.updatePluginMapEntries({ ...blocked, entries: [{ key, value: Buffer.alloc(8) }] });
    t.is((await echo(world, "pod1", pod2.ipv6, 3, "-W", "0.2")).received, 0);
    t.deepEqual(await mapValues(world, "cidr-drop", "blocked_v6"), [3]);
    t.true(await reaches(world, "pod1", pod2.ipv4), "the other family is not concerned");
  });

  test("3,000 damaged frames from a pod and from outside: the datapath stands", async (t, world) => {
    const seed = 20_250_419;
    const next = random(seed);
    const destination = world.pod("pod2").ipv6;
    const damaged = (to: string, from: string, source: string): Buffer[] => {
      const about = ipv6({ source: destination, destination: source, nextHeader: tcp }, tcpSyn(80, 1_000));
      const packets = [
        ipv6({ source, destination, nextHeader: udpHeader }, udp(1_000, 2_000, Buffer.alloc(120))),
        ipv6({ source, destination, nextHeader: tcp }, tcpSyn(1_000, 80)),
        ipv6(
          { source, destination, nextHeader: hopByHop },
          Buffer.concat([
            ipv6Options(fragment),
            ipv6Fragment(udpHeader, 9, 0, true),
            udp(1, 2, Buffer.alloc(64)),
          ]),
        ),
        // A "packet too big" about a packet of the receiver's.
        ipv6(
          { source, destination, nextHeader: icmp },
          Buffer.concat([Buffer.from("0200000000000500", "hex"), about]),
        ),
        neighbourSolicitation(source, "ff02::1:ff00:1", "fd00:10:0:1::1"),
      ];
      return Array.from({ length: 1_500 }, (_, index) =>
        damage(frame(to, from, EtherType.ipv6, packets[index % packets.length]!), next),
      );
    };
    const { mac, nodeMac, ipv6: source } = world.pod("pod1").endpoint;
    const { node } = await world.client.agent.getStatus({});
    const before = await droppedPackets(world);
    await sendFrames(world, "pod1", damaged(nodeMac, mac, source));
    const outside = damaged(node!.devices[0]!.mac, "02:00:00:00:00:01", world.addressing.outsideIpv6);
    await sendFrames(world, "outside", outside);
    const dropped = (await droppedPackets(world)) - before;
    t.true(dropped > 300, `${dropped} drops with seed ${seed}`);
    t.true(world.agent.running);
    for (const from of ["pod1", "outside", "node"]) t.true(await reaches(world, from, destination), from);
  });
});
