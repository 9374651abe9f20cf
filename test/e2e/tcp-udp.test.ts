// TCP and UDP as people use them, and as they should not: bulk, many connections, fragments, malformed packets.

import { DropReason } from "../../src/datapath/drop-reasons.ts";
import type { World } from "../../src/playground/index.ts";
import { counted, droppedPackets } from "../support/events.ts";
import { addFarHost } from "../support/far-host.ts";
import { damage, EtherType, frame, ipv4, random, sendFrames, tcpSyn, udp } from "../support/frames.ts";
import { runPeer, startPeer } from "../support/programs.ts";
import {
  askUdp,
  download,
  echo,
  get,
  iperf,
  manyConnections,
  overrunDatagrams,
  reaches,
  startIperf,
  startWeb,
} from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const bigFile = 10 * 1024 * 1024;
const farMtu = 1_300;

const addressOf = (world: World, name: string): string => {
  if (name === "outside") return world.addressing.outsideIpv4;
  return name === "node" ? world.addressing.nodeIpv4 : world.pod(name).ipv4;
};

/** Every kind of way that leads from or to a pod. */
const ways = [
  ["pod1", "pod2"],
  ["pod1", "outside"],
  ["outside", "pod1"],
  ["pod1", "node"],
  ["node", "pod1"],
] as const;

await worldTests("TCP and UDP", { pods: 2 }, (test) => {
  for (const [from, to] of ways) {
    test(`iperf3 from ${from} to ${to}: TCP moves bytes, UDP loses none`, async (t, world) => {
      const server = await startIperf(world, to, addressOf(world, to));
      try {
        const tcp = await iperf(world, from, addressOf(world, to), "--time", "1");
        t.true(tcp.bytes > 1_000_000, `${tcp.bytes} bytes`);
        const datagrams = await iperf(world, from, addressOf(world, to), "--udp", "--bitrate", "20M");
        t.true(datagrams.packets > 500, `${datagrams.packets} datagrams`);
        // A busy machine may not get round to reading all; that is none of the datapath's doing.
        t.true(datagrams.lost <= (await overrunDatagrams(world, to)), `${datagrams.lost} datagrams are lost`);
        t.log(`TCP ${(tcp.bitsPerSecond / 1e9).toFixed(1)} Gbit/s`);
      } finally {
        await server.stop();
      }
    });
  }

  test("nginx in a pod serves pods, host and outside; 10 MB arrive unharmed", async (t, world) => {
    const web = await startWeb(world, "pod2", 80, bigFile);
    try {
      const url = `http://${world.pod("pod2").ipv4}`;
      for (const from of ["pod1", "pod2", "node", "outside"]) {
        t.is(await get(world, from, `${url}/name`), "pod2", from);
        t.is(await download(world, from, `${url}/big`), web.digest, from);
      }
    } finally {
      await web.stop();
    }
  });

  test("nginx outside serves a pod, 10 MB unharmed", async (t, world) => {
    const web = await startWeb(world, "outside", 80, bigFile);
    try {
      t.is(await download(world, "pod1", `http://${world.addressing.outsideIpv4}/big`), web.digest);
    } finally {
      await web.stop();
    }
  });

  test("1,000 TCP connections at once all work", async (t, world) => {
    const server = await startPeer(world, "pod2", "tcp-server", 7_000, "pod2");
    try {
      const result = await manyConnections(world, "pod1", world.pod("pod2").ipv4, 7_000, 1_000);
      t.deepEqual(result, { connected: 1_000, intact: 1_000, failed: [] });
    } finally {
      await server.stop();
    }
  });

  for (const [from, to] of ways) {
    test(`TCP from ${from} to ${to}: half-closed connections carry data, resets arrive, closed ports refuse`, async (t, world) => {
      const server = await startPeer(world, to, "tcp-server", 7_001, to);
      try {
        const address = addressOf(world, to);
        const { sent, received } = await runPeer<{ sent: string; received: string }>(
          world,
          from,
          "tcp-client",
          "digest",
          address,
          7_001,
          300_000,
        );
        t.is(received, sent);
        t.deepEqual(await runPeer(world, from, "tcp-client", "flood", address, 7_001, 2_000_000), {
          bytes: 2_000_000,
        });
        t.deepEqual(await runPeer(world, from, "tcp-client", "reset", address, 7_001), {
          ended: "ECONNRESET",
        });
        t.deepEqual(await runPeer(world, from, "tcp-client", "refused", address, 7_002), {
          ended: "ECONNREFUSED",
        });
      } finally {
        await server.stop();
      }
    });
  }

  for (const [from, to] of ways) {
    test(`fragments from ${from} to ${to}: big pings are answered, big datagrams come back unharmed`, async (t, world) => {
      const address = addressOf(world, to);
      t.is((await echo(world, from, address, 3, "-s", "8000")).received, 3);
      t.is((await echo(world, from, address, 1, "-s", "65507")).received, 1);
      const server = await startPeer(world, to, "udp", "serve", 7_003, to, address);
      try {
        const report = await askUdp(world, from, address, 7_003, { flows: 5, each: 4, bytes: 8_000 });
        t.is(report.intact, 20);
        t.deepEqual(report.sources, [`${address}:7003`]);
        const small = await askUdp(world, from, address, 7_003, { flows: 5, each: 4, bytes: 1 });
        t.is(small.intact, 20);
      } finally {
        await server.stop();
      }
    });
  }

  test("a fragment whose beginning was never seen is dropped and counted", async (t, world) => {
    const before = await counted(world, DropReason.fragmentNotFound);
    const { mac, nodeMac, ipv4: source } = world.pod("pod1").endpoint;
    const destination = world.pod("pod2").ipv4;
    const stray = ipv4(
      { source, destination, protocol: 17, id: 4_711, fragmentOffset: 64 },
      Buffer.alloc(64),
    );
    await sendFrames(world, "pod1", [frame(nodeMac, mac, EtherType.ipv4, stray)]);
    t.is(await counted(world, DropReason.fragmentNotFound), before + 1);
  });

  test("a pod learns of a smaller MTU far away, and TCP gets through", async (t, world) => {
    const far = await addFarHost(world, farMtu);
    t.teardown(() => far.remove());
    const tooBig = await echo(world, "pod1", far.ipv4, 1, "-s", "1400", "-M", "do");
    t.is(tooBig.received, 0);
    t.regex(tooBig.output, new RegExp(`[Ff]rag needed.*mtu ?= ?${farMtu}`));
    // The pod's own stack has taken note: it does not even try any more.
    t.regex(await world.run("pod1", ["ip", "route", "get", far.ipv4]), new RegExp(`mtu ${farMtu}`));
    await world.run("pod1", ["ip", "route", "flush", "cache"]);
    // Errors about what was masqueraded come back to the pod, whoever on the way gives them.
    const hops = await world.run("pod1", ["tracepath", "-n", "-m", "6", far.ipv4]);
    t.regex(hops, new RegExp(` ${addressOf(world, "outside").replaceAll(".", "\\.")} `));
    t.regex(hops, new RegExp(`${far.ipv4.replaceAll(".", "\\.")} .*reached`), hops);
    t.regex(hops, new RegExp(`Resume: pmtu ${farMtu}`), hops);
    await world.run("pod1", ["ip", "route", "flush", "cache"]);

    const server = far.spawn(["iperf3", "--server", "--one-off", "--forceflush"]);
    await server.ready(/Server listening/);
    // The other direction is learnt from the node's answers; this one by the pod's TCP while it sends.
    const { bytes } = await iperf(world, "pod1", far.ipv4);
    t.true(bytes > 1_000_000, `${bytes} bytes`);
    t.regex(await world.run("pod1", ["ip", "route", "get", far.ipv4]), new RegExp(`mtu ${farMtu}`));
  });

  test("malformed packets are dropped for what is wrong with them", async (t, world) => {
    const { mac, nodeMac, ipv4: source } = world.pod("pod1").endpoint;
    const destination = world.pod("pod2").ipv4;
    const datagram = udp(1_000, 2_000, Buffer.alloc(32));
    const good = { source, destination, protocol: 17 };
    const cases: readonly (readonly [string, Buffer])[] = [
      ["an IP header that is cut off", ipv4(good, datagram).subarray(0, 16)],
      ["a header length below the minimum", ipv4({ ...good, headerLength: 4 }, datagram)],
      [
        "options that reach beyond the packet",
        ipv4({ ...good, headerLength: 15, totalLength: 40 }, Buffer.alloc(20)),
      ],
      ["a total length beyond the frame", ipv4({ ...good, totalLength: 1_400 }, datagram)],
      ["a total length shorter than the header", ipv4({ ...good, totalLength: 19 }, datagram)],
      ["another version of IP", ipv4({ ...good, version: 6 }, datagram)],
      ["half a UDP header", ipv4(good, datagram.subarray(0, 4))],
      ["half a TCP header", ipv4({ ...good, protocol: 6 }, tcpSyn(1, 2).subarray(0, 12))],
      ["half an ICMP header", ipv4({ ...good, protocol: 1 }, Buffer.from([8, 0, 0, 0]))],
    ];
    for (const [what, packet] of cases) {
      const before = await counted(world, DropReason.invalidPacket);
      await sendFrames(world, "pod1", [frame(nodeMac, mac, EtherType.ipv4, packet)]);
      t.is(await counted(world, DropReason.invalidPacket), before + 1, what);
    }
    t.true(await reaches(world, "pod1", destination));
  });

  test("odd flags, options and lengths of hping3 harm nobody", async (t, world) => {
    const to = world.pod("pod2").ipv4;
    const oddities = [
      ["-S", "-F", "-R", "-P", "-A", "-U", "-X", "-Y", "-p", "80"],
      ["-p", "80"],
      ["-S", "-O", "15", "-p", "80"],
      ["-S", "-O", "1", "-p", "80"],
      ["-S", "-b", "-p", "80"],
      ["-S", "-f", "-d", "64", "-p", "80"],
      ["-2", "-p", "53", "-b", "-d", "20"],
      ["-2", "-g", "8190", "-d", "64"],
      ["-2", "-x", "-d", "7", "-p", "53"],
      ["-1", "-C", "255", "--force-icmp"],
      ["-1", "-C", "3", "-K", "4", "--force-icmp"],
      ["-1", "-G"],
      ["-0", "-H", "6", "-d", "3"],
      ["-0", "-H", "1", "-d", "1"],
      ["-0", "-H", "0", "-d", "40"],
      ["-0", "-H", "132", "-d", "40"],
    ];
    const before = await droppedPackets(world);
    await Promise.all(
      oddities.flatMap((flags) =>
        [
          ["pod1", to],
          ["outside", to],
        ].map(([from, target]) =>
          world.exec(from!, ["hping3", "-q", "-n", "-c", "20", "-i", "u1000", ...flags, target!]),
        ),
      ),
    );
    t.true((await droppedPackets(world)) > before);
    t.true(world.agent.running);
    for (const from of ["pod1", "outside", "node"]) t.true(await reaches(world, from, to), from);
  });

  test("4,000 damaged frames from a pod and from outside: the datapath stands", async (t, world) => {
    const seed = 20_240_731;
    const next = random(seed);
    const destination = world.pod("pod2").ipv4;
    const damaged = (to: string, from: string, source: string): Buffer[] => {
      const packets = [
        ipv4({ source, destination, protocol: 17 }, udp(1_000, 2_000, Buffer.alloc(120))),
        ipv4({ source, destination, protocol: 6 }, tcpSyn(1_000, 80)),
        ipv4({ source, destination, protocol: 1 }, Buffer.from("0800f7ff00000000", "hex")),
        ipv4(
          { source, destination, protocol: 1 },
          // A "frag needed" about a packet of the receiver's.
          Buffer.concat([
            Buffer.from("0304000000000500", "hex"),
            ipv4({ source: destination, destination: source, protocol: 6 }, tcpSyn(80, 1_000)),
          ]),
        ),
      ];
      return Array.from({ length: 2_000 }, (_, index) =>
        damage(frame(to, from, EtherType.ipv4, packets[index % packets.length]!), next),
      );
    };
    const { mac, nodeMac, ipv4: source } = world.pod("pod1").endpoint;
    const { node } = await world.client.agent.getStatus({});
    const nodeEth0 = node!.devices[0]!.mac;
    const before = await droppedPackets(world);
    await sendFrames(world, "pod1", damaged(nodeMac, mac, source));
    await sendFrames(world, "outside", damaged(nodeEth0, "02:00:00:00:00:01", world.addressing.outsideIpv4));
    const dropped = (await droppedPackets(world)) - before;
    t.true(dropped > 500, `${dropped} drops with seed ${seed}`);
    t.true(world.agent.running);
    for (const from of ["pod1", "outside", "node"]) t.true(await reaches(world, from, destination), from);
  });
});
