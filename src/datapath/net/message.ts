/**
 * Netlink messages as bytes: header, attributes, error and end (RFC 3549, include/uapi/linux/netlink.h).
 * Netlink is in host byte order.
 */
import { DatapathError } from "../errors.ts";

/** Flags of a message header. */
export const Flag = {
  request: 0x01,
  multi: 0x02,
  ack: 0x04,
  dumpInterrupted: 0x10,
  /** For requests that create. */
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  /** For requests that read: NLM_F_ROOT | NLM_F_MATCH. */
  dump: 0x300,
  /** In an error: only the request's header is quoted. */
  capped: 0x100,
  /** In an error or end: attributes follow. */
  ackAttributes: 0x200,
} as const;

/** Types that netlink itself uses. */
export const ControlType = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

const HEADER = 16;
const ATTRIBUTE_HEADER = 4;
/** Without the bits for "nested" and "network order". */
const ATTRIBUTE_TYPE = 0x3fff;
const NESTED = 0x8000;

/** One message received. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly payload: Buffer;
}

/** Attributes by type; the last one wins, as in the kernel. */
export type Attributes = ReadonlyMap<number, Buffer>;

function align(length: number): number {
  return (length + 3) & ~3;
}

/** A whole message, filled up to where another may follow. */
export function formatMessage(
  type: number,
  flags: number,
  seq: number,
  port: number,
  payload: Buffer,
): Buffer {
  const length = HEADER + payload.length;
  const message = Buffer.alloc(align(length));
  message.writeUInt32LE(length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(flags, 6);
  message.writeUInt32LE(seq, 8);
  message.writeUInt32LE(port, 12);
  payload.copy(message, HEADER);
  return message;
}

/** The messages of one datagram. @throws DatapathError when a length is impossible */
export function parseMessages(datagram: Buffer): readonly NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < HEADER || at + length > datagram.length) throw malformed(`message of ${length} bytes`);
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      seq: datagram.readUInt32LE(at + 8),
      payload: datagram.subarray(at + HEADER, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** An attribute with raw bytes. */
export function attribute(type: number, data: Buffer): Buffer {
  const length = ATTRIBUTE_HEADER + data.length;
  const bytes = Buffer.alloc(align(length));
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  data.copy(bytes, ATTRIBUTE_HEADER);
  return bytes;
}

/** An attribute with a 32-bit number. */
export function u32Attribute(type: number, value: number): Buffer {
  const data = Buffer.allocUnsafe(4);
  data.writeUInt32LE(value);
  return attribute(type, data);
}

/** An attribute with a NUL-terminated string. */
export function stringAttribute(type: number, value: string): Buffer {
  return attribute(type, Buffer.from(`${value}\0`, "utf8"));
}

/** An attribute that holds attributes. */
export function nested(type: number, ...content: readonly Buffer[]): Buffer {
  return attribute(type | NESTED, Buffer.concat(content));
}

/** Attributes in `data` from `offset` on. @throws DatapathError when a length is impossible */
export function parseAttributes(data: Buffer, offset = 0): Attributes {
  const attributes = new Map<number, Buffer>();
  for (let at = offset; at + ATTRIBUTE_HEADER <= data.length; ) {
    const length = data.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER || at + length > data.length)
      throw malformed(`attribute of ${length} bytes`);
    attributes.set(
      data.readUInt16LE(at + 2) & ATTRIBUTE_TYPE,
      data.subarray(at + ATTRIBUTE_HEADER, at + length),
    );
    at += align(length);
  }
  return attributes;
}

/** A 32-bit number, or undefined when the attribute is absent. */
export function readU32(data: Buffer | undefined): number | undefined {
  return data === undefined || data.length < 4 ? undefined : data.readUInt32LE(0);
}

/** A string without its terminating NUL, or undefined when the attribute is absent. */
export function readString(data: Buffer | undefined): string | undefined {
  if (data === undefined) return undefined;
  const end = data.indexOf(0);
  return data.toString("utf8", 0, end < 0 ? data.length : end);
}

/** What the kernel answered to a request: errno 0 is success. */
export interface Verdict {
  /** Positive. */
  readonly errno: number;
  /** The kernel's own words (extended acknowledgement), if any. */
  readonly words: string | undefined;
}

const EXT_ACK_MESSAGE = 1;

/** Reads an NLMSG_ERROR (also the acknowledgement) or NLMSG_DONE. */
export function parseVerdict(message: NetlinkMessage): Verdict {
  const { payload, flags, type } = message;
  if (payload.length < 4) return { errno: 0, words: undefined };
  const errno = -payload.readInt32LE(0);
  if ((flags & Flag.ackAttributes) === 0) return { errno, words: undefined };
  let at = 4;
  if (type === ControlType.error) {
    // The request is quoted: its header alone, or all of it.
    const quoted = payload.readUInt32LE(4);
    at += (flags & Flag.capped) !== 0 ? HEADER : align(quoted);
  }
  return { errno, words: readString(parseAttributes(payload, at).get(EXT_ACK_MESSAGE)) };
}

function malformed(detail: string): DatapathError {
  return new DatapathError({ operation: "parse", object: "netlink message", detail });
}
