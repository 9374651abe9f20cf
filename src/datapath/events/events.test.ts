import test from "ava";
import { decodeEvent, formatEvent, formatPacket, summarisePacket } from "./index.ts";

const ETHERNET = "0a00000000010a00000000020800";
const IPV4_TCP = "4500003c1c4640004006b1e60a0001050a000109";
const TCP_SYN = "a028005000000001000000005002ffff00000000";
const frame = Buffer.from(ETHERNET + IPV4_TCP + TCP_SYN, "hex");

function record(type: number, subtype: number, size: number, fill: (buffer: Buffer) => void): Buffer {
  const header = Buffer.alloc(size);
  header.writeUInt8(type, 0);
  header.writeUInt8(subtype, 1);
  header.writeUInt16LE(12, 2);
  header.writeUInt32LE(0xabcd, 4);
  header.writeUInt32LE(1500, 8);
  header.writeUInt16LE(frame.length, 12);
  fill(header);
  // The kernel pads records to eight bytes.
  return Buffer.concat([header, frame, Buffer.alloc(5)]);
}

test("a drop notification names its reason, identities and place", (t) => {
  const event = decodeEvent(
    record(1, 133, 36, (b) => {
      b.writeUInt32LE(300, 16);
      b.writeUInt32LE(301, 20);
      b.writeUInt32LE(7, 24);
      b.writeUInt16LE(99, 28);
      b.writeUInt8(3, 30);
      b.writeInt8(-2, 31);
      b.writeUInt32LE(5, 32);
    }),
  );
  if (event.kind !== "drop") return t.fail(event.kind);
  t.is(event.reason, 133);
  t.is(event.source, 12);
  t.is(event.extError, -2);
  t.deepEqual(event.payload, frame);
  t.is(
    formatEvent(event),
    "xx drop (Policy denied, -2) flow 0xabcd from endpoint 12 to endpoint 7, ifindex 5, lxc_egress.h:99, " +
      "identity 300->301: 10.0.1.5:41000 -> 10.0.1.9:80 tcp SYN",
  );
});

test("a trace notification tells the point, the connection's state and the address before translation", (t) => {
  const event = decodeEvent(
    record(4, 0, 48, (b) => {
      b.writeUInt32LE(300, 16);
      b.writeUInt32LE(301, 20);
      b.writeUInt16LE(7, 24);
      b.writeUInt8(2, 26);
      b.writeUInt32LE(9, 28);
      Buffer.from([10, 96, 0, 1]).copy(b, 32);
    }),
  );
  if (event.kind !== "trace") return t.fail(event.kind);
  t.is(event.point, "to-endpoint");
  t.is(event.connection, "reply");
  t.is(event.originalIp, "10.96.0.1");
  t.true(formatEvent(event).startsWith("-> endpoint 7 flow 0xabcd, identity 300->301 state reply ifindex 9"));
});

test("a verdict notification says who was allowed or refused, and by which kind of rule", (t) => {
  const denied = decodeEvent(
    record(5, 0, 32, (b) => {
      b.writeUInt32LE(2, 16);
      b.writeInt32LE(-133, 20);
      b.writeUInt16LE(80, 24);
      b.writeUInt8(6, 26);
      b.writeUInt8(2 | (2 << 3) | 0x40, 27);
    }),
  );
  if (denied.kind !== "verdict") return t.fail(denied.kind);
  t.is(denied.action, "deny");
  t.is(denied.direction, "egress");
  t.is(denied.match, "L3-L4");
  t.true(denied.audited);
  t.regex(formatEvent(denied), /TCP port 80, egress, action deny \(Policy denied\), match L3-L4, audited/);
});

test("a record that is not understood is an unknown event, never an exception", (t) => {
  t.is(decodeEvent(Buffer.alloc(0)).kind, "unknown");
  t.is(decodeEvent(Buffer.from([1, 133, 0])).kind, "unknown");
  const debug = decodeEvent(record(2, 0, 24, () => {}));
  t.is(debug.kind, "unknown");
  t.regex(formatEvent(debug), /type 2/);
});

test("a decoded payload does not change when the ring's memory is reused", (t) => {
  const memory = record(1, 133, 36, () => {});
  const event = decodeEvent(memory);
  memory.fill(0xff);
  t.true(event.kind === "drop" && event.payload.equals(frame));
});

test("a packet is described as far as the capture goes", (t) => {
  t.is(formatPacket(frame.subarray(0, 10)), "(too short to say)");
  t.is(formatPacket(frame.subarray(0, 20)), "(too short to say)");
  t.is(formatPacket(frame.subarray(0, 34)), "10.0.1.5 -> 10.0.1.9 tcp");
  t.is(formatPacket(frame.subarray(0, 38)), "10.0.1.5:41000 -> 10.0.1.9:80 tcp");
  t.is(formatPacket(frame), "10.0.1.5:41000 -> 10.0.1.9:80 tcp SYN");
});

test("ICMP, ARP and later fragments have words of their own", (t) => {
  const icmp = Buffer.from(frame);
  icmp[23] = 1;
  icmp[34] = 8;
  icmp[35] = 0;
  t.is(formatPacket(icmp), "10.0.1.5 -> 10.0.1.9 icmp EchoRequest");

  icmp[34] = 3;
  icmp[35] = 3;
  t.is(formatPacket(icmp), "10.0.1.5 -> 10.0.1.9 icmp DestinationUnreachable(Port)");
  icmp[34] = 200;
  t.is(formatPacket(icmp), "10.0.1.5 -> 10.0.1.9 icmp type 200 code 3");

  const fragment = Buffer.from(frame);
  fragment.writeUInt16BE(185, 20);
  t.is(formatPacket(fragment), "10.0.1.5 -> 10.0.1.9 tcp fragment");

  const arp = Buffer.from(
    "ffffffffffff0a00000000020806" + "0001080006040001" + "0a00000000020a000105" + "0000000000000a000101",
    "hex",
  );
  t.is(formatPacket(arp), "arp who-has 10.0.1.1 tell 10.0.1.5");

  const other = Buffer.from(frame);
  other.writeUInt16BE(0x88cc, 12);
  t.is(summarisePacket(other).kind, "ethernet");
});

const FROM = "fd000010000000000000000000000005";
const TO = "fd000010000000010000000000000009";

/** A frame of IPv6 with these headers after the fixed one. */
function ipv6(nextHeader: string, rest: string): Buffer {
  return Buffer.from(`0a00000000010a000000000286dd60000000ffff${nextHeader}40${FROM}${TO}${rest}`, "hex");
}

test("packets of IPv6 are described with what follows their extension headers", (t) => {
  const between = "[fd00:10::5]:41000 -> [fd00:10:0:1::9]:80";
  t.is(formatPacket(ipv6("06", TCP_SYN)), `${between} tcp SYN`);
  t.is(formatPacket(ipv6("11", "a0280050")), `${between} udp`);
  t.is(formatPacket(ipv6("84", "a0280050")), `${between} sctp`);
  const hopByHop = "3c00050200000000";
  const destination = `0601${"00".repeat(14)}`;
  t.is(formatPacket(ipv6("00", hopByHop + destination + TCP_SYN)), `${between} tcp SYN`);
  t.is(formatPacket(ipv6("2b", "0600")), "fd00:10::5 -> fd00:10:0:1::9 43", "the capture ends");
  t.is(formatPacket(ipv6("3b", "")), "fd00:10::5 -> fd00:10:0:1::9 59");
});

test("the first fragment of a datagram has ports, later ones have none", (t) => {
  t.is(formatPacket(ipv6("2c", "1100000100000007a0280050")), "[fd00:10::5]:41000 -> [fd00:10:0:1::9]:80 udp");
  const later = ipv6("2c", "1100058100000007a0280050");
  t.is(formatPacket(later), "fd00:10::5 -> fd00:10:0:1::9 udp fragment");
  t.like(summarisePacket(later), { version: 6, protocol: 17, laterFragment: true });
  t.is(formatPacket(ipv6("2c", "0600058100000007")), "fd00:10::5 -> fd00:10:0:1::9 tcp fragment");
});

test("ICMPv6 has words of its own, and neighbour discovery tells of whom", (t) => {
  const between = "fd00:10::5 -> fd00:10:0:1::9 icmpv6";
  t.is(formatPacket(ipv6("3a", "80000000")), `${between} EchoRequest`);
  t.is(formatPacket(ipv6("3a", "02000000")), `${between} PacketTooBig`);
  t.is(formatPacket(ipv6("3a", "01040000")), `${between} DestinationUnreachable(Port)`);
  t.is(formatPacket(ipv6("3a", "01090000")), `${between} DestinationUnreachable(code 9)`);
  t.is(
    formatPacket(ipv6("3a", `8700000000000000${TO}0101`)),
    `${between} NeighborSolicitation fd00:10:0:1::9`,
  );
  t.is(formatPacket(ipv6("3a", "8800")), `${between} NeighborAdvertisement`);
  t.is(formatPacket(ipv6("3a", "c807")), `${between} type 200 code 7`);
});

test("traces at the tunnel speak of the packet in it, and of an IPv6 address before translation", (t) => {
  const inner = ipv6("06", TCP_SYN);
  const trace = (point: number): string => {
    const header = record(4, point, 48, (b) => {
      b.writeUInt16LE(inner.length, 12);
      b.writeUInt8(0, 26);
      Buffer.from("fd000096".padEnd(32, "0"), "hex").copy(b, 32);
    });
    return formatEvent(decodeEvent(Buffer.concat([header.subarray(0, 48), inner])));
  };
  const rest =
    " flow 0xabcd, identity 0->0 state new ifindex 0 orig-ip fd00:96::: " +
    "[fd00:10::5]:41000 -> [fd00:10:0:1::9]:80 tcp SYN";
  t.is(trace(4), `-> overlay${rest}`);
  t.is(trace(9), `<- overlay${rest}`);
});

test("a verdict tells which family it was about", (t) => {
  const event = decodeEvent(record(5, 0, 32, (b) => b.writeUInt8(1 | 4 | (1 << 3), 27)));
  t.like(event, { kind: "verdict", ipv6: true, direction: "ingress", match: "L3-Only" });
});
