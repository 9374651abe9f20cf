/** What the tunnel's programs make of packets that a node sends: real VXLAN between two network namespaces. */
import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { DropReason } from "../../../src/datapath/drop-reasons.ts";
import { EpochTable } from "../../../src/datapath/maps/index.ts";
import { eventually } from "../../support/eventually.ts";
import { TemporaryBpffs } from "../bpf/fixtures/bpffs.ts";
import { NamespacePair } from "../bpf/fixtures/namespaces.ts";
import { Bench } from "./fixtures/bench.ts";
import { type Options, packet } from "./fixtures/packets.ts";
import { places } from "./fixtures/places.ts";

const receiver = "192.0.2.1";
const sender = "192.0.2.2";
const tunnelPort = 8472;
const worldIdentity = 2;
const remoteNodeIdentity = 6;

const namespaces = new NamespacePair();
const bpffs = new TemporaryBpffs(createBpfOps());
const bench = new Bench("overlay", { cfg_enable_ipv6: 1 });
test.after.always(() => {
  bench.close();
  bpffs.remove();
  namespaces.remove();
});

test.before(async () => {
  const inside = (...words: string[]): string =>
    execFileSync("ip", ["-n", namespaces.near, "-json", ...words], { encoding: "utf8" });
  inside("link", "add", "vxlan0", "type", "vxlan", "external", "dstport", String(tunnelPort));
  inside("link", "set", "vxlan0", "up");
  const [{ ifindex }] = JSON.parse(inside("link", "show", "dev", "vxlan0")) as [{ ifindex: number }];
  const programPin = bpffs.at("program");
  bench.pin("cil_from_overlay", programPin);
  const spec = { ifindex, direction: "ingress", mode: "tcx", pinPath: bpffs.at("link") } as const;
  const { error } = await namespaces.agent({ do: "attach", spec, programPin });
  if (error !== undefined) throw new Error(error);
});

/** Sends a frame through the tunnel in the name of `identity`. */
function send(identity: number, frame: Buffer): void {
  const header = Buffer.alloc(8);
  header[0] = 0x08; // the number is valid: RFC 7348, 5
  header.writeUInt32BE(identity * 256, 4);
  const program = `
    const socket = require("node:dgram").createSocket("udp4");
    socket.send(Buffer.from(process.argv[1], "hex"), ${tunnelPort}, "${receiver}", () => socket.close());`;
  const message = Buffer.concat([header, frame]).toString("hex");
  const far = `--net=/run/netns/${namespaces.far}`;
  execFileSync("nsenter", [far, process.execPath, "-e", program, message]);
}

for (const family of [4, 6] as const) {
  const { pod, otherPod, remotePod, node, server, world, peer } = places[family];
  const title = (words: string): string => `IPv${family}: ${words}`;
  /** A connection to a pod of this node. */
  const from = (ip: string, to: string = pod, options?: Options): Buffer =>
    packet("tcp", { ip, port: 1 }, { ip: to, port: 80 }, options);

  test.serial(title("only what may come from that node, for somebody here, gets to a pod"), async (t) => {
    bench.addPod(5, pod);
    bench.addPod(6, otherPod);
    bench.addNodeAddress(node);
    bench.addPrefix(remotePod, 2000, sender);
    bench.addPrefix(peer, 2001, "192.0.2.3");
    const cases = [
      { why: "no identity", identity: 0, frame: from(remotePod), reason: DropReason.invalidIdentity },
      {
        why: "a pod of this node",
        identity: 2000,
        frame: from(otherPod),
        reason: DropReason.invalidSourceIp,
      },
      { why: "this node", identity: 1, frame: from(node), reason: DropReason.invalidSourceIp },
      { why: "a pod of a third node", identity: 2001, frame: from(peer), reason: DropReason.invalidSourceIp },
      {
        why: "for nobody",
        identity: 2000,
        frame: from(remotePod, world(1)),
        reason: DropReason.unknownTarget,
      },
      {
        why: "the world, by a node that nobody knows",
        identity: worldIdentity,
        frame: from(server),
        reason: DropReason.unknownSender,
      },
      {
        why: "a pod that nobody knows, by such a node",
        identity: 2002,
        frame: from(world(2)),
        reason: DropReason.unknownSender,
      },
    ];
    for (const { why, identity, frame, reason } of cases) {
      const [dropped, delivered] = [await bench.drops(reason), bench.delivered];
      send(identity, frame);
      await eventually(`${why} is dropped`, async () => (await bench.drops(reason)) === dropped + 1);
      t.is(bench.delivered, delivered, why);
    }
    bench.addPrefix(sender, remoteNodeIdentity, sender);
    const invalid = await bench.drops(DropReason.invalidIdentity);
    send(1, from(server)); // the node calls an address its own that the table does not know
    await eventually(
      "reserved identities need the table",
      async () => (await bench.drops(DropReason.invalidIdentity)) === invalid + 1,
    );
    for (const [identity, ip] of [
      [2000, remotePod],
      [2002, world(2)], // on its way to the table
      [worldIdentity, server],
    ] as const) {
      const before = bench.delivered;
      send(identity, from(ip));
      await eventually(`${ip} is delivered`, () => bench.delivered === before + 1);
    }
    t.is(bench.lastSender, worldIdentity);
    bench.removePrefix(sender);
  });
}

for (const family of [4, 6] as const) {
  const { pod, remotePod } = places[family];

  test.serial(
    `IPv${family}: an address comes from the node that it was last behind, and no other`,
    async (t) => {
      const frame = packet("tcp", { ip: remotePod, port: 1 }, { ip: pod, port: 80 });
      bench.addPod(5, pod);
      for (const node of [sender, "192.0.2.3", sender]) {
        bench.addPrefix(remotePod, 2000, node);
        bench.advance(EpochTable.ipcache);
        for (let i = 0; i < 2; i += 1) {
          const [delivered, dropped] = [bench.delivered, await bench.drops(DropReason.invalidSourceIp)];
          send(2000, frame);
          const expected = node === sender ? [delivered + 1, dropped] : [delivered, dropped + 1];
          await eventually(`packet ${i} of a pod behind ${node}`, async () =>
            isDeepStrictEqual([bench.delivered, await bench.drops(DropReason.invalidSourceIp)], expected),
          );
        }
      }
      t.pass();
    },
  );
}

test.serial("what is no IP packet is dropped", async (t) => {
  const before = await bench.drops(DropReason.unknownL3);
  const arp = Buffer.concat([Buffer.alloc(12, 2), Buffer.from([0x08, 0x06]), Buffer.alloc(28)]);
  send(2000, arp);
  await eventually("ARP is dropped", async () => (await bench.drops(DropReason.unknownL3)) === before + 1);
  t.pass();
});
