import test from "ava";
import { DropReason } from "../../../src/datapath/drop-reasons.ts";
import { snat4Map, snat6Map, TupleFlag } from "../../../src/datapath/maps/index.ts";
import { Bench, Verdict, verdictName } from "./fixtures/bench.ts";
import {
  bare,
  decode,
  type End,
  echo,
  endText,
  fragments,
  type Options,
  packet,
  text,
  unreachable,
} from "./fixtures/packets.ts";
import { deviceConstants, places, tunnelEndpoint } from "./fixtures/places.ts";

const firstPort = 1024;
const lastPort = 29_999;
const now = (): number => Number(process.hrtime.bigint() / 1_000_000_000n);

for (const family of [4, 6] as const) {
  const { pod, otherPod, node, peer, remotePod, hop, world, ...place } = places[family];
  const server: End = { ip: place.server, port: 80 };
  const snatMap = family === 4 ? snat4Map : snat6Map;
  const title = (words: string): string => `IPv${family}: ${words}`;
  const name = (ip: string, port: number): string => endText({ ip, port });

  const constants = { [`cfg_masquerade_ipv${family}`]: 1, cfg_tunnel_ifindex: 3 };
  const bench = new Bench("host", deviceConstants(places[family], constants));
  bench.addPod(5, pod);
  bench.addPod(6, otherPod);
  bench.addNodeAddress(node);
  bench.addPrefix(remotePod, 2000, tunnelEndpoint);
  bench.addPrefix(peer, 6, tunnelEndpoint);
  test.after.always(() => bench.close());

  /** A packet out of the node, which must leave it. */
  const leave = (data: Buffer): Buffer => {
    const result = bench.run("cil_to_netdev", data);
    if (result.verdict !== Verdict.pass) throw new Error(`${text(data)}: ${verdictName(result.verdict)}`);
    return result.data;
  };

  /** What a packet from outside becomes, and where it goes. */
  const arrive = (data: Buffer): string => {
    const result = bench.run("cil_from_netdev", data);
    return `${verdictName(result.verdict)}: ${text(result.data)}`;
  };

  const answer = (out: Buffer, options: Options = { flags: "SA" }): Buffer => {
    const { kind, from, to } = decode(out);
    return packet(kind as "tcp", to, from, options);
  };

  test.serial(
    title("a pod's connection has the node's address outside, and its replies go straight into the pod"),
    (t) => {
      for (const protocol of ["tcp", "udp"] as const) {
        const from = { ip: pod, port: 40_000 };
        const out = leave(packet(protocol, from, server));
        const { port } = decode(out).from;
        t.is(text(out), `${protocol} ${name(node, port)} > ${endText(server)}`);
        t.true(port >= firstPort && port <= lastPort);
        t.deepEqual(leave(packet(protocol, from, server)), out);
        t.is(arrive(answer(out)), `pod: ${protocol} ${endText(server)} > ${name(pod, 40_000)}`);
      }
    },
  );

  test.serial(title("a port from the node's range is kept, and given to one pod only"), (t) => {
    const out = [pod, otherPod].map((ip) => leave(packet("tcp", { ip, port: 2000 }, server)));
    t.is(decode(out[0]!).from.port, 2000);
    t.not(decode(out[1]!).from.port, 2000);
    t.deepEqual(
      out.map((one) => arrive(answer(one))),
      [pod, otherPod].map((ip) => `pod: tcp ${endText(server)} > ${name(ip, 2000)}`),
    );
    // Towards another server the port is free.
    t.is(
      decode(leave(packet("tcp", { ip: otherPod, port: 2000 }, { ip: world(1), port: 80 }))).from.port,
      2000,
    );
  });

  test.serial(title("pings of two pods with one identifier find their ways back"), (t) => {
    const asked = [pod, otherPod].map((ip) =>
      leave(echo("request", { ip, port: 3000 }, { ip: server.ip, port: 0 })),
    );
    const ids = asked.map((request) => decode(request).from.port);
    t.not(ids[0], ids[1]);
    t.deepEqual(
      ids.map((port) => arrive(echo("reply", { ip: server.ip, port: 0 }, { ip: node, port }))),
      [pod, otherPod].map((ip) => `pod: reply ${bare(server.ip)} > ${name(ip, 3000)}`),
    );
  });

  test.serial(
    title("an error about a translated packet reaches the pod in its terms, from the server or a router"),
    (t) => {
      const sent = [
        ...(["tcp", "udp"] as const).map((kind) =>
          packet(kind, { ip: pod, port: 41_000 }, server, { data: Buffer.alloc(64, 1) }),
        ),
        echo("request", { ip: pod, port: 42_000 }, { ip: server.ip, port: 0 }),
      ];
      for (const one of sent) {
        const out = leave(one);
        for (const from of [server.ip, hop]) {
          t.is(
            arrive(unreachable(from, out)),
            `pod: error ${bare(from)} > ${bare(pod)} about (${text(one)})`,
          );
        }
      }
    },
  );

  test.serial(title("a pod's error about a reply leaves in the node's terms"), (t) => {
    const out = leave(packet("udp", { ip: pod, port: 43_000 }, server));
    const quoted = `udp ${endText(server)} > ${name(node, decode(out).from.port)}`;
    const reply = packet("udp", server, { ip: pod, port: 43_000 }, { data: Buffer.alloc(20) });
    t.is(text(leave(unreachable(pod, reply))), `error ${bare(node)} > ${bare(server.ip)} about (${quoted})`);
  });

  test.serial(
    title("fragments are translated with the first one; without it they are dropped, or left to the stack"),
    async (t) => {
      const from = { ip: pod, port: 44_000 };
      const [first, later] = fragments(from, server, Buffer.alloc(1000, 7));
      const before = await bench.drops(DropReason.fragmentNotFound);
      t.is(bench.run("cil_to_netdev", later).verdict, Verdict.drop);
      t.is(await bench.drops(DropReason.fragmentNotFound), before + 1);

      const { port } = decode(leave(first)).from;
      t.is(text(leave(later)), `fragment ${bare(node)} > ${bare(server.ip)}`);
      const [firstBack, laterBack] = fragments(server, { ip: node, port }, Buffer.alloc(1000, 9), 512, 78);
      t.is(arrive(laterBack), `pass: fragment ${bare(server.ip)} > ${bare(node)}`);
      t.is(arrive(firstBack), `pod: udp ${endText(server)} > ${name(pod, 44_000)}`);
      t.is(arrive(laterBack), `pod: fragment ${bare(server.ip)} > ${bare(pod)}`);
    },
  );

  test.serial(
    title("SCTP keeps its port, as its checksum covers it; a second pod with the same is refused"),
    async (t) => {
      const out = leave(packet("sctp", { ip: pod, port: 45_000 }, server));
      t.is(text(out), `sctp ${name(node, 45_000)} > ${endText(server)}`);
      t.is(arrive(answer(out)), `pod: sctp ${endText(server)} > ${name(pod, 45_000)}`);
      const before = await bench.drops(DropReason.noNatMapping);
      t.is(
        bench.run("cil_to_netdev", packet("sctp", { ip: otherPod, port: 45_000 }, server)).verdict,
        Verdict.drop,
      );
      t.is(await bench.drops(DropReason.noNatMapping), before + 1);
    },
  );

  test.serial(title("the node's own packets, and those for the cluster, leave as they are"), (t) => {
    const untouched = [
      packet("tcp", { ip: node, port: 40_000 }, server),
      packet("udp", { ip: node, port: 8472 }, { ip: peer, port: 8472 }),
      packet("tcp", { ip: pod, port: 40_000 }, { ip: remotePod, port: 80 }),
      packet("tcp", { ip: pod, port: 40_000 }, { ip: peer, port: 80 }),
      packet("tcp", { ip: hop, port: 40_000 }, server),
    ];
    for (const one of untouched) t.deepEqual(leave(one), one);
  });

  test.serial(title("what comes to the node and belongs to no mapping is the stack's"), (t) => {
    const strangers = [
      packet("tcp", server, { ip: node, port: 22 }),
      packet("udp", server, { ip: node, port: 5000 }),
      echo("request", { ip: server.ip, port: 7 }, { ip: node, port: 0 }),
      unreachable(server.ip, packet("udp", { ip: node, port: 5000 }, server, { data: Buffer.alloc(20) })),
    ];
    for (const one of strangers) t.is(arrive(one), `pass: ${text(one)}`);
  });

  test.serial(
    title("nobody outside may call himself a pod, of this node or another, or the node towards a pod"),
    async (t) => {
      const before = await bench.drops(DropReason.invalidSourceIp);
      const names = [otherPod, node, remotePod];
      for (const ip of names) {
        const result = bench.run("cil_from_netdev", packet("tcp", { ip, port: 1 }, { ip: pod, port: 80 }));
        t.is(verdictName(result.verdict), "drop");
      }
      t.is(await bench.drops(DropReason.invalidSourceIp), before + names.length);
    },
  );

  /** Takes every port of the node towards a server for the other pod, last used so many seconds ago. */
  async function exhaust(to: End, protocol: number, secondsAgo: number, flags: number): Promise<void> {
    const ports = Array.from({ length: lastPort - firstPort + 1 }, (_, i) => firstPort + i);
    const key = { source: to.ip, sourcePort: to.port, destination: node, protocol, flags: TupleFlag.in };
    const value = { created: 0n, lastUsed: (now() - secondsAgo) >>> 0, flags, address: otherPod };
    await bench.map(snatMap).updateBatch(
      ports.map(
        (port) =>
          [
            { ...key, destinationPort: port },
            { ...value, port },
          ] as const,
      ),
    );
  }

  test.serial(
    title("without a free port a packet is dropped and counted; ports idle for long are taken over"),
    async (t) => {
      const from = { ip: pod, port: 40_000 };
      const [open, closed, begun] = [0x10, 0x13, 0];
      const states = [
        { protocol: "tcp", number: 6, flags: open, lifetime: 21_600 },
        { protocol: "tcp", number: 6, flags: closed, lifetime: 60 },
        { protocol: "tcp", number: 6, flags: begun, lifetime: 60 },
        { protocol: "udp", number: 17, flags: 0, lifetime: 60 },
      ] as const;
      for (const [i, { protocol, number, flags, lifetime }] of states.entries()) {
        const to = { ip: world(20 + i), port: 80 };
        const before = await bench.drops(DropReason.noNatMapping);
        await exhaust(to, number, lifetime - 20, flags);
        t.is(bench.run("cil_to_netdev", packet(protocol, from, to)).verdict, Verdict.drop);
        t.is(await bench.drops(DropReason.noNatMapping), before + 1);

        await exhaust(to, number, lifetime + 20, flags);
        const out = leave(packet(protocol, from, to));
        t.is(arrive(answer(out)), `pod: ${protocol} ${endText(to)} > ${name(pod, 40_000)}`);
        // Whoever had the port finds that it is lost, and takes another.
        const { port } = decode(out).from;
        const theirs = leave(packet(protocol, { ip: otherPod, port }, to, { flags: "A" }));
        t.not(decode(theirs).from.port, port);
      }
    },
  );

  test.serial(title("a mapping that lost one of its entries is mended, and keeps its port"), (t) => {
    const map = bench.map(snatMap);
    const send = (flags: "S" | "A" | "F"): string =>
      text(leave(packet("tcp", { ip: pod, port: 46_000 }, server, { flags })));
    const out = leave(packet("tcp", { ip: pod, port: 46_000 }, server));
    const { port } = decode(out).from;
    const there = {
      source: pod,
      sourcePort: 46_000,
      destination: server.ip,
      destinationPort: 80,
      protocol: 6,
      flags: 0,
    };
    const back = {
      ...{ source: server.ip, sourcePort: 80, destination: node, destinationPort: port },
      ...{ protocol: 6, flags: TupleFlag.in },
    };
    const inside = `pod: tcp ${endText(server)} > ${name(pod, 46_000)}`;
    t.true(map.delete(there));
    t.is(send("A"), text(out));
    t.true(map.delete(back));
    // Entries are compared once a second, and when the connection's state changes.
    t.is(send("F"), text(out));
    t.is(arrive(answer(out, { flags: "A" })), inside);
    t.true(map.delete(there));
    t.is(arrive(answer(out, { flags: "F" })), inside);
    t.is(map.lookup(there)?.port, port);
  });

  test.serial(title("a pod that was reached under its own address answers under it"), (t) => {
    const client = { ip: world(50), port: 5000 };
    bench.rememberInbound(client, { ip: pod, port: 80 }, now() + 60);
    const reply = packet("tcp", { ip: pod, port: 80 }, client, { flags: "SA" });
    t.deepEqual(leave(reply), reply);
    const request = packet("tcp", client, { ip: pod, port: 80 }, { flags: "A", data: Buffer.alloc(20) });
    const complaint = unreachable(pod, request);
    t.deepEqual(leave(complaint), complaint);
    // Its own connection to the same place is another matter.
    t.is(decode(leave(packet("tcp", { ip: pod, port: 80 }, client))).from.ip, node);
  });
}
