/**
 * The first headers of a captured frame: Ethernet, ARP, IPv4 (RFC 791), IPv6 (RFC 8200), TCP, UDP, ICMP, ICMPv6.
 * A capture may end anywhere; what is not there is undefined.
 */
import { ipv4FromBytes, ipv6FromBytes, macFromBytes } from "../address.ts";
import { Protocol } from "../maps/names.ts";

export interface TransportSummary {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** TCP flags by name, in the order of the header: "SYN", "ACK". */
  readonly tcpFlags?: readonly string[];
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** Whose neighbour entry an ICMPv6 neighbour solicitation or advertisement is about (RFC 4861). */
  readonly neighbour?: string;
}

/** What a frame is, as far as the capture shows. */
export type PacketSummary =
  | { readonly kind: "truncated" }
  | {
      readonly kind: "ethernet";
      readonly source: string;
      readonly destination: string;
      readonly etherType: number;
    }
  | {
      readonly kind: "arp";
      readonly operation: "request" | "reply" | number;
      readonly sender: string;
      readonly target: string;
    }
  | ({
      readonly kind: "ip";
      readonly version: 4 | 6;
      readonly source: string;
      readonly destination: string;
      /** IPv4 protocol, or what follows the extension headers of IPv6, as far as the capture shows. */
      readonly protocol: number;
      readonly ttl: number;
      /** True for any fragment but the first: there are no ports. */
      readonly laterFragment: boolean;
    } & TransportSummary);

const ETHERNET = 14;
const IPV6_HEADER = 40;
/** IPv6's own: hop-by-hop options, routing, fragment, destination options. */
const FRAGMENT_HEADER = 44;
const EXTENSION_HEADERS: ReadonlySet<number> = new Set([0, 43, FRAGMENT_HEADER, 60]);
/** ICMPv6 types. */
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"] as const;

/** Parses the start of an Ethernet frame. Never throws. */
export function summarisePacket(frame: Buffer): PacketSummary {
  if (frame.length < ETHERNET) return { kind: "truncated" };
  const etherType = frame.readUInt16BE(12);
  const body = frame.subarray(ETHERNET);
  switch (etherType) {
    case 0x0800:
      return parseIpv4(body);
    case 0x0806:
      return parseArp(body);
    case 0x86dd:
      return parseIpv6(body);
    default:
      return {
        kind: "ethernet",
        source: macFromBytes(frame, 6),
        destination: macFromBytes(frame, 0),
        etherType,
      };
  }
}

function parseIpv4(body: Buffer): PacketSummary {
  const headerLength = (body.length === 0 ? 0 : body[0]! & 0xf) * 4;
  if (body.length < 20 || headerLength < 20) return { kind: "truncated" };
  const protocol = body[9]!;
  const laterFragment = (body.readUInt16BE(6) & 0x1fff) !== 0;
  return {
    kind: "ip",
    version: 4,
    source: ipv4FromBytes(body, 12),
    destination: ipv4FromBytes(body, 16),
    protocol,
    ttl: body[8]!,
    laterFragment,
    ...(laterFragment ? {} : parseTransport(protocol, body.subarray(headerLength))),
  };
}

function parseIpv6(body: Buffer): PacketSummary {
  if (body.length < IPV6_HEADER) return { kind: "truncated" };
  const { protocol, offset, laterFragment } = skipExtensionHeaders(body);
  return {
    kind: "ip",
    version: 6,
    source: ipv6FromBytes(body, 8),
    destination: ipv6FromBytes(body, 24),
    protocol,
    ttl: body[7]!,
    laterFragment,
    ...(laterFragment ? {} : parseTransport(protocol, body.subarray(offset))),
  };
}

/** To the first header that is none of RFC 8200's extension headers, or to the end of the capture. */
function skipExtensionHeaders(body: Buffer): {
  readonly protocol: number;
  readonly offset: number;
  readonly laterFragment: boolean;
} {
  let protocol = body[6]!;
  let offset = IPV6_HEADER;
  let laterFragment = false;
  // Each header takes eight bytes at least, so this ends; later fragments have nothing behind their header to read.
  while (EXTENSION_HEADERS.has(protocol) && offset + 8 <= body.length && !laterFragment) {
    const isFragment = protocol === FRAGMENT_HEADER;
    laterFragment = isFragment && (body.readUInt16BE(offset + 2) & 0xfff8) !== 0;
    protocol = body[offset]!;
    offset += isFragment ? 8 : 8 * (body[offset + 1]! + 1);
  }
  return { protocol, offset, laterFragment };
}

function parseArp(body: Buffer): PacketSummary {
  if (body.length < 28) return { kind: "truncated" };
  const code = body.readUInt16BE(6);
  return {
    kind: "arp",
    operation: code === 1 ? "request" : code === 2 ? "reply" : code,
    sender: ipv4FromBytes(body, 14),
    target: ipv4FromBytes(body, 24),
  };
}

function parseTransport(protocol: number, header: Buffer): TransportSummary {
  switch (protocol) {
    case Protocol.tcp:
      return header.length < 14
        ? parsePorts(header)
        : { ...parsePorts(header), tcpFlags: flagNames(header[13]!) };
    case Protocol.udp:
    case Protocol.sctp:
      return parsePorts(header);
    case Protocol.icmp:
      return header.length < 2 ? {} : { icmpType: header[0]!, icmpCode: header[1]! };
    case Protocol.icmpv6:
      return parseIcmpv6(header);
    default:
      return {};
  }
}

function parseIcmpv6(header: Buffer): TransportSummary {
  if (header.length < 2) return {};
  const [icmpType, icmpCode] = [header[0]!, header[1]!];
  const isNeighbour = icmpType === NEIGHBOUR_SOLICITATION || icmpType === NEIGHBOUR_ADVERTISEMENT;
  if (!isNeighbour || header.length < 24) return { icmpType, icmpCode };
  return { icmpType, icmpCode, neighbour: ipv6FromBytes(header, 8) };
}

function parsePorts(header: Buffer): TransportSummary {
  if (header.length < 4) return {};
  return { sourcePort: header.readUInt16BE(0), destinationPort: header.readUInt16BE(2) };
}

function flagNames(bits: number): readonly string[] {
  return TCP_FLAGS.filter((_, i) => (bits & (1 << i)) !== 0);
}
