/**
 * Addresses as text and as bytes on the wire: IPv4 (RFC 791), IPv6 (RFC 4291), CIDR prefixes and MAC addresses.
 * Text is what the agent's tables, API and logs hold; bytes are what kernel maps and netlink hold.
 */
import { isIPv6 } from "node:net";
import { DatapathError } from "./errors.ts";

/** A prefix: network address (host bits are zero) and its length in bits. */
export interface Cidr {
  readonly address: string;
  readonly prefixLength: number;
}

function invalid(kind: string, text: string, detail: string): DatapathError {
  return new DatapathError({
    operation: `parse ${kind}`,
    object: JSON.stringify(text),
    detail,
    status: "INVALID_ARGUMENT",
  });
}

/**
 * IPv4 address as a number, 10.0.0.1 = 0x0a000001.
 * @throws DatapathError INVALID_ARGUMENT unless it is four decimal numbers with dots
 */
export function parseIpv4(text: string): number {
  const address = tryIpv4(text, text.length);
  if (address < 0) throw invalid("IPv4 address", text, "want four numbers from 0 to 255, with dots");
  return address;
}

/**
 * The IPv4 address that the first `end` characters are, as a number; -1 when they are none. One pass and nothing
 * allocated: tables of ten thousands of addresses are checked and encoded with it.
 */
export function tryIpv4(text: string, end: number): number {
  let address = 0;
  let octet = -1;
  let dots = 0;
  for (let at = 0; at < end; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit >= 0 && digit <= 9) {
      // No leading zeros, as in inet_pton(3): some readers take such numbers for octal.
      if (octet === 0) return -1;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return -1;
    } else {
      if (digit !== dot || octet < 0 || dots === 3) return -1;
      dots += 1;
      address = (address << 8) | octet;
      octet = -1;
    }
  }
  return dots === 3 && octet >= 0 ? ((address << 8) | octet) >>> 0 : -1;
}

/** "." as a digit. */
const dot = 0x2e - 0x30;

/** The prefix length that one to three digits from `start` to the end of the text write; -1 when they write none up to `max`. */
export function tryPrefixLength(text: string, start: number, max: number): number {
  const digits = text.length - start;
  if (digits < 1 || digits > 3) return -1;
  let length = 0;
  for (let at = start; at < text.length; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length <= max ? length : -1;
}

/** Text of an IPv4 address given as a number, most significant byte first. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/** Four bytes in network order. @throws DatapathError as parseIpv4 */
export function ipv4Bytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(parseIpv4(text));
  return bytes;
}

/** Value of a C `__be32` constant in `.rodata.config`: network-order bytes read as a little-endian number. */
export function ipv4Constant(text: string): number {
  return ipv4Bytes(text).readUInt32LE();
}

/** Text of four bytes in network order. */
export function ipv4FromBytes(bytes: Uint8Array, offset = 0): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

/** Sixteen bytes in network order. @throws DatapathError INVALID_ARGUMENT */
export function ipv6Bytes(text: string): Buffer {
  if (!isIPv6(text) || text.includes("%")) throw invalid("IPv6 address", text, "no such notation");
  const bytes = Buffer.alloc(16);
  const [head = "", tail] = embeddedIpv4AsHex(text).split("::");
  const words = (part: string): number[] => (part === "" ? [] : part.split(":").map((w) => parseInt(w, 16)));
  words(head).forEach((word, i) => {
    bytes.writeUInt16BE(word, i * 2);
  });
  const last = tail === undefined ? [] : words(tail);
  last.forEach((word, i) => {
    bytes.writeUInt16BE(word, 16 - (last.length - i) * 2);
  });
  return bytes;
}

/** "::ffff:10.0.0.1" → "::ffff:a00:1" */
function embeddedIpv4AsHex(text: string): string {
  const at = text.lastIndexOf(":") + 1;
  if (!text.includes(".")) return text;
  const address = parseIpv4(text.slice(at));
  return `${text.slice(0, at)}${(address >>> 16).toString(16)}:${(address & 0xffff).toString(16)}`;
}

/** Text of sixteen bytes, with the longest run of zero groups shortened (RFC 5952). */
export function ipv6FromBytes(bytes: Uint8Array, offset = 0): string {
  const words = Array.from(
    { length: 8 },
    (_, i) => (bytes[offset + 2 * i]! << 8) | bytes[offset + 2 * i + 1]!,
  );
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const hex = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(":");
  if (start < 0) return hex(words);
  return `${hex(words.slice(0, start))}::${hex(words.slice(start + length))}`;
}

/** Address family of an address in text. @throws DatapathError INVALID_ARGUMENT when it is neither */
export function familyOf(text: string): 4 | 6 {
  if (tryIpv4(text, text.length) >= 0) return 4;
  if (isIPv6(text)) return 6;
  throw invalid("IP address", text, "neither IPv4 nor IPv6");
}

/** Network-order bytes of an address of either family. @throws DatapathError INVALID_ARGUMENT */
export function ipBytes(text: string): Buffer {
  return familyOf(text) === 4 ? ipv4Bytes(text) : ipv6Bytes(text);
}

/** Text of 4 or 16 network-order bytes. */
export function ipFromBytes(bytes: Uint8Array): string {
  return bytes.length === 4 ? ipv4FromBytes(bytes) : ipv6FromBytes(bytes);
}

/**
 * Address and prefix length of "10.0.1.5/24", host bits kept as written; without a slash the whole address.
 * @throws DatapathError INVALID_ARGUMENT
 */
export function splitCidr(text: string): Cidr {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const max = familyOf(address) === 4 ? 32 : 128;
  if (slash < 0) return { address, prefixLength: max };
  const prefixLength = tryPrefixLength(text, slash + 1, max);
  if (prefixLength < 0) throw invalid("prefix", text, `want a prefix length from 0 to ${max}`);
  return { address, prefixLength };
}

/** Network of "10.0.1.5/24": 10.0.1.0, 24. @throws DatapathError INVALID_ARGUMENT */
export function parseCidr(text: string): Cidr {
  const { address, prefixLength } = splitCidr(text);
  const v4 = tryIpv4(address, address.length);
  if (v4 >= 0) {
    const network = maskIpv4(v4, prefixLength);
    return { address: network === v4 ? address : formatIpv4(network), prefixLength };
  }
  const bytes = ipv6Bytes(address);
  maskBytes(bytes, prefixLength);
  return { address: ipFromBytes(bytes), prefixLength };
}

/** "10.0.1.0/24" */
export function formatCidr(cidr: Cidr): string {
  return `${cidr.address}/${cidr.prefixLength}`;
}

/** The IPv4 address, a number, with all bits after the first `prefixLength` zero. */
export function maskIpv4(address: number, prefixLength: number): number {
  // Shifting by 32 shifts by nothing.
  return prefixLength === 0 ? 0 : (address & (-1 << (32 - prefixLength))) >>> 0;
}

/** Zeroes all bits after the first `prefixLength`, in place. */
export function maskBytes(bytes: Buffer, prefixLength: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const bits = Math.min(8, Math.max(0, prefixLength - i * 8));
    bytes[i] = bytes[i]! & (0xff00 >>> bits) & 0xff;
  }
}

/** True when the prefix contains the address; false for different families. @throws DatapathError INVALID_ARGUMENT */
export function cidrContains(cidr: string, address: string): boolean {
  const network = parseCidr(cidr);
  if (familyOf(network.address) !== familyOf(address)) return false;
  return parseCidr(`${address}/${network.prefixLength}`).address === network.address;
}

/** Whether two networks have an address in common. @throws DatapathError INVALID_ARGUMENT */
export function cidrsOverlap(a: string, b: string): boolean {
  return cidrContains(a, parseCidr(b).address) || cidrContains(b, parseCidr(a).address);
}

/** Six bytes of "0a:00:27:00:00:01"; upper and lower case. @throws DatapathError INVALID_ARGUMENT */
export function macBytes(text: string): Buffer {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw invalid("MAC address", text, "want six two-digit hexadecimal numbers, with colons");
  }
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

/** "0a:00:27:00:00:01" */
export function macFromBytes(bytes: Uint8Array, offset = 0): string {
  return Array.from(bytes.subarray(offset, offset + 6), (byte) => byte.toString(16).padStart(2, "0")).join(
    ":",
  );
}
