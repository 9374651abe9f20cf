import { ipv4FromBytes, ipv6FromBytes } from "../address.ts";
import { reasonName } from "../drop-reasons.ts";
import type {
  ConnectionState,
  DatapathEvent,
  DropEvent,
  EventHeader,
  ObservationPoint,
  PolicyMatch,
  TraceEvent,
  VerdictEvent,
} from "./types.ts";

/** Type byte of a notification (Cilium's CILIUM_NOTIFY_*). */
export const NotificationType = { drop: 1, debug: 2, capture: 3, trace: 4, verdict: 5 } as const;

/** Bytes before the payload. */
export const NOTIFICATION_SIZE = { header: 16, drop: 36, trace: 48, verdict: 32 } as const;

const POINTS: ReadonlyMap<number, ObservationPoint> = new Map([
  [0, "to-endpoint"],
  [1, "to-proxy"],
  [2, "to-host"],
  [3, "to-stack"],
  [4, "to-overlay"],
  [5, "from-endpoint"],
  [7, "from-host"],
  [8, "from-stack"],
  [9, "from-overlay"],
  [10, "from-network"],
  [11, "to-network"],
]);

/** enum ct_status of bpf/lib/conntrack.h; the top bit of the byte says "encrypted" in Cilium. */
const CONNECTIONS: readonly ConnectionState[] = ["new", "established", "reply", "related"];
const REASON_BITS = 0x7f;

const MATCHES: readonly PolicyMatch[] = [
  "none",
  "L3-Only",
  "L3-L4",
  "L4-Only",
  "all",
  "L3-Proto",
  "Proto-Only",
];

/**
 * Decodes one record of `cilium_events`. Never throws: what is not understood is an event of kind
 * "unknown", for a reader of notifications must outlive one bad record.
 */
export function decodeEvent(record: Buffer): DatapathEvent {
  const type = record[0];
  switch (type) {
    case NotificationType.drop:
      if (record.length >= NOTIFICATION_SIZE.drop) return decodeDrop(record);
      break;
    case NotificationType.trace:
      if (record.length >= NOTIFICATION_SIZE.trace) return decodeTrace(record);
      break;
    case NotificationType.verdict:
      if (record.length >= NOTIFICATION_SIZE.verdict) return decodeVerdict(record);
      break;
    case undefined:
      return { kind: "unknown", type: -1, raw: Buffer.alloc(0) };
  }
  return {
    kind: "unknown",
    type: record.length < NOTIFICATION_SIZE.header ? -1 : type,
    raw: Buffer.from(record),
  };
}

/** The common header: type, subtype, source, hash, original and captured length, versions. */
function decodeHeader(record: Buffer, size: number): EventHeader {
  const captured = record.readUInt16LE(12);
  return {
    source: record.readUInt16LE(2),
    hash: record.readUInt32LE(4),
    originalLength: record.readUInt32LE(8),
    // A copy: the record is a view of memory that the next event overwrites. The kernel pads records.
    payload: Buffer.from(record.subarray(size, Math.min(record.length, size + captured))),
  };
}

function decodeDrop(record: Buffer): DropEvent {
  const reason = record.readUInt8(1);
  return {
    kind: "drop",
    ...decodeHeader(record, NOTIFICATION_SIZE.drop),
    reason,
    reasonName: reasonName(reason),
    sourceIdentity: record.readUInt32LE(16),
    destinationIdentity: record.readUInt32LE(20),
    destinationEndpoint: record.readUInt32LE(24),
    line: record.readUInt16LE(28),
    file: record.readUInt8(30),
    extError: record.readInt8(31),
    ifindex: record.readUInt32LE(32),
  };
}

function decodeTrace(record: Buffer): TraceEvent {
  const header = decodeHeader(record, NOTIFICATION_SIZE.trace);
  return {
    kind: "trace",
    ...header,
    point: POINTS.get(record.readUInt8(1)) ?? "unknown",
    sourceIdentity: record.readUInt32LE(16),
    destinationIdentity: record.readUInt32LE(20),
    destinationEndpoint: record.readUInt16LE(24),
    connection: CONNECTIONS[record.readUInt8(26) & REASON_BITS] ?? "unknown",
    ifindex: record.readUInt32LE(28),
    originalIp: decodeOriginalIp(record.subarray(32, 48), isIpv6(header.payload)),
  };
}

/** All zeros: none. IPv4 lies in the first four bytes. */
function decodeOriginalIp(bytes: Buffer, ipv6: boolean): string | undefined {
  if (bytes.every((byte) => byte === 0)) return undefined;
  return ipv6 ? ipv6FromBytes(bytes) : ipv4FromBytes(bytes);
}

/** By the type in the Ethernet header. */
function isIpv6(frame: Buffer): boolean {
  return frame.length >= 14 && frame.readUInt16BE(12) === 0x86dd;
}

function decodeVerdict(record: Buffer): VerdictEvent {
  const verdict = record.readInt32LE(20);
  // dir:2 ipv6:1 match_type:3 audited:1, from the lowest bit.
  const bits = record.readUInt8(27);
  return {
    kind: "verdict",
    ...decodeHeader(record, NOTIFICATION_SIZE.verdict),
    remoteIdentity: record.readUInt32LE(16),
    verdict,
    action: verdict < 0 ? "deny" : verdict === 0 ? "allow" : "redirect",
    reasonName: verdict < 0 ? reasonName(verdict) : "",
    destinationPort: record.readUInt16LE(24),
    protocol: record.readUInt8(26),
    direction: (bits & 3) === 2 ? "egress" : "ingress",
    ipv6: (bits & 4) !== 0,
    match: MATCHES[(bits >>> 3) & 7] ?? "unknown",
    audited: (bits & 0x40) !== 0,
    authType: record.readUInt8(28),
  };
}
