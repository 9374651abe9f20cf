/**
 * Addresses as text and as bytes on the wire: IPv4 (RFC 791), IPv6 (RFC 4291), CIDR prefixes and MAC addresses.
 * Text is what the agent's tables, API and logs hold; bytes are what kernel maps and netlink hold.
 */
import { isIPv4, isIPv6 } from "node:net";
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
  if (!isIPv4(text)) throw invalid("IPv4 address", text, "want four numbers from 0 to 255, with dots");
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Text of an IPv4 address given as a number, most significant byte first. */
export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
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
  if (isIPv4(text)) return 4;
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
  const length = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > max) {
    throw invalid("prefix", text, `want a prefix length from 0 to ${max}`);
  }
  return { address, prefixLength: Number(length) };
}

/** Network of "10.0.1.5/24": 10.0.1.0, 24. @throws DatapathError INVALID_ARGUMENT */
export function parseCidr(text: string): Cidr {
  const { address, prefixLength } = splitCidr(text);
  const bytes = ipBytes(address);
  maskBytes(bytes, prefixLength);
  return { address: ipFromBytes(bytes), prefixLength };
}

/** "10.0.1.0/24" */
export function formatCidr(cidr: Cidr): string {
  return `${cidr.address}/${cidr.prefixLength}`;
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
