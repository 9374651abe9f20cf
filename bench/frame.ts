// A frame as a pod sends it.

const bytesOf = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");

/** The ones' complement checksum of RFC 1071, of an even number of bytes. */
function checksum(data: Buffer): number {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += data.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

export interface FrameEnds {
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** IPv4 addresses. */
  readonly source: string;
  readonly destination: string;
}

/** Longest time to live: a frame that is sent round and round loses one with every round. */
export const mostHops = 255;

/** A UDP datagram over IPv4 of 64 bytes in all, without a UDP checksum (RFC 768 allows it). */
export function udpFrame({ sourceMac, destinationMac, source, destination }: FrameEnds): Buffer {
  const frame = Buffer.alloc(64);
  bytesOf(destinationMac).copy(frame, 0);
  bytesOf(sourceMac).copy(frame, 6);
  frame.writeUInt16BE(0x0800, 12);
  const ip = frame.subarray(14, 34);
  ip[0] = 0x45;
  ip.writeUInt16BE(frame.length - 14, 2);
  ip[8] = mostHops;
  ip[9] = 17;
  ip.set(source.split(".").map(Number), 12);
  ip.set(destination.split(".").map(Number), 16);
  ip.writeUInt16BE(checksum(ip), 10);
  frame.writeUInt16BE(40_000, 34);
  frame.writeUInt16BE(40_001, 36);
  frame.writeUInt16BE(frame.length - 34, 38);
  return frame;
}
