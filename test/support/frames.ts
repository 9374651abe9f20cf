// Ethernet frames put together by hand, right and wrong ones.

import { ipv6Bytes } from "../../src/datapath/address.ts";
import type { World } from "../../src/playground/index.ts";
import { peerArgv } from "./programs.ts";

const bytesOf = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");
const word = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff]);

export const EtherType = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;

/** An Ethernet frame. */
export const frame = (to: string, from: string, etherType: number, payload: Buffer): Buffer =>
  Buffer.concat([bytesOf(to), bytesOf(from), word(etherType), payload]);

/** The ones' complement checksum of RFC 1071. */
export function checksum(data: Buffer): number {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += (data[at]! << 8) | (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/** Fields of an IPv4 header; what is left out is as it should be. */
export interface Ipv4Fields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly version?: number;
  /** In words of four bytes. */
  readonly headerLength?: number;
  readonly totalLength?: number;
  readonly id?: number;
  /** In units of eight bytes. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  readonly ttl?: number;
}

/** An IPv4 packet with a valid header checksum. */
export function ipv4(fields: Ipv4Fields, payload: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header[0] = ((fields.version ?? 4) << 4) | (fields.headerLength ?? 5);
  header.writeUInt16BE(fields.totalLength ?? 20 + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 1, 4);
  header.writeUInt16BE((fields.moreFragments === true ? 0x2000 : 0) | (fields.fragmentOffset ?? 0), 6);
  header[8] = fields.ttl ?? 64;
  header[9] = fields.protocol;
  header.set(fields.source.split(".").map(Number), 12);
  header.set(fields.destination.split(".").map(Number), 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** Fields of an IPv6 header; what is left out is as it should be. */
export interface Ipv6Fields {
  readonly source: string;
  readonly destination: string;
  /** Of what is right behind this header. */
  readonly nextHeader: number;
  readonly version?: number;
  readonly payloadLength?: number;
  readonly hopLimit?: number;
}

/** An IPv6 packet. */
export function ipv6(fields: Ipv6Fields, payload: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header[0] = (fields.version ?? 6) << 4;
  header.writeUInt16BE(fields.payloadLength ?? payload.length, 4);
  header[6] = fields.nextHeader;
  header[7] = fields.hopLimit ?? 64;
  header.set(ipv6Bytes(fields.source), 8);
  header.set(ipv6Bytes(fields.destination), 24);
  return Buffer.concat([header, payload]);
}

/** An extension header of options, all padding: `units` of eight bytes, before what is of kind `nextHeader`. */
export function ipv6Options(nextHeader: number, units = 1): Buffer {
  const header = Buffer.alloc(units * 8);
  header[0] = nextHeader;
  header[1] = units - 1;
  return header;
}

/** A fragment header; the offset is in units of eight bytes. */
export function ipv6Fragment(nextHeader: number, id: number, offset: number, more: boolean): Buffer {
  const header = Buffer.alloc(8);
  header[0] = nextHeader;
  header.writeUInt16BE((offset << 3) | (more ? 1 : 0), 2);
  header.writeUInt32BE(id, 4);
  return header;
}

/** A neighbour solicitation for `target` (RFC 4861, 4.3) with a checksum that is right. */
export function neighbourSolicitation(source: string, destination: string, target: string): Buffer {
  const message = Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), ipv6Bytes(target)]);
  const pseudo = Buffer.concat([
    ipv6Bytes(source),
    ipv6Bytes(destination),
    Buffer.from([0, 0, 0, message.length, 0, 0, 0, 58]),
  ]);
  message.writeUInt16BE(checksum(Buffer.concat([pseudo, message])), 2);
  return ipv6({ source, destination, nextHeader: 58, hopLimit: 255 }, message);
}

/** A UDP datagram without checksum, which IPv4 allows. */
export const udp = (sourcePort: number, destinationPort: number, data: Buffer): Buffer =>
  Buffer.concat([word(sourcePort), word(destinationPort), word(8 + data.length), word(0), data]);

/** A TCP SYN; its checksum is wrong, which is nothing that a datapath looks at. */
export function tcpSyn(sourcePort: number, destinationPort: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header[12] = 5 << 4;
  header[13] = 0x02;
  return header;
}

/** Sends frames out of an interface, as they are. Resolves to how many the kernel took. @throws CommandError */
export async function sendFrames(
  world: World,
  from: string,
  frames: readonly Buffer[],
  device = "eth0",
): Promise<number> {
  const input = frames.map((one) => one.toString("hex")).join("\n");
  return Number(await world.run(from, peerArgv("frames", device), { input }));
}

/** Numbers from 0 (inclusive) to 1 (exclusive), the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A damaged copy: some bytes behind the Ethernet header are changed, and sometimes the end is cut off.
 * Headers are hit more often than what follows them.
 */
export function damage(whole: Buffer, next: () => number): Buffer {
  const headers = 14;
  const copy = Buffer.from(whole);
  const changes = 1 + Math.floor(next() * 4);
  for (let change = 0; change < changes; change++) {
    const reach = next() < 0.8 ? Math.min(44, copy.length - headers) : copy.length - headers;
    copy[headers + Math.floor(next() * reach)] = Math.floor(next() * 256);
  }
  return next() < 0.3 ? copy.subarray(0, headers + Math.floor(next() * (copy.length - headers))) : copy;
}
