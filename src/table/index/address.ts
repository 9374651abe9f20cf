import { isIPv4, isIPv6 } from "node:net";
import { InvalidAddressError } from "../errors.ts";

/** An IPv4 or IPv6 address as 16-bit groups, most significant first: two or eight. */
export type AddressGroups = readonly number[];

/** A network: the groups of an address in it, and how many leading bits count. */
export interface Network {
  readonly groups: AddressGroups;
  readonly length: number;
}

/**
 * Reads an address in dotted decimal or in the forms of RFC 4291, section 2.2.
 *
 * @throws InvalidAddressError, also for an IPv6 address with a zone
 */
export function parseAddress(text: string): AddressGroups {
  if (isIPv4(text)) return groupsOfV4(text);
  if (!isIPv6(text)) throw new InvalidAddressError(text, "neither IPv4 nor IPv6");
  if (text.includes("%")) throw new InvalidAddressError(text, "it has a zone");
  const [head = "", tail] = text.split("::");
  const left = groupsOfV6(head);
  if (tail === undefined) return left;
  const right = groupsOfV6(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/**
 * Reads a network in CIDR notation (RFC 4632); without a length, the address alone.
 *
 * @throws InvalidAddressError
 */
export function parseNetwork(text: string): Network {
  const slash = text.indexOf("/");
  if (slash < 0) {
    const groups = parseAddress(text);
    return { groups, length: groups.length * 16 };
  }
  const groups = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  const length = /^\d{1,3}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(length <= groups.length * 16))
    throw new InvalidAddressError(text, "its prefix length is out of range");
  return { groups, length };
}

/**
 * The leading bits of an address as a string of 16-bit code units: equal for all addresses of a network, and
 * a better key for a `Map` than a BigInt, of which V8 hashes only the low 64 bits.
 */
export function networkKey(groups: AddressGroups, length: number): string {
  const whole = length >> 4;
  const rest = length & 15;
  let key = "";
  for (let i = 0; i < whole; i++) key += String.fromCharCode(groups[i]!);
  if (rest > 0) key += String.fromCharCode(groups[whole]! & (0xffff << (16 - rest)));
  return key;
}

/** Reads digit by digit: `split` and `Number` would take most of the time of writing a row with an address. */
function groupsOfV4(text: string): number[] {
  let bits = 0;
  let octet = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48; // '0'
    if (digit >= 0) octet = octet * 10 + digit;
    else {
      bits = (bits << 8) | octet;
      octet = 0;
    }
  }
  bits = (bits << 8) | octet;
  return [bits >>> 16, bits & 0xffff];
}

function groupsOfV6(text: string): number[] {
  if (text === "") return [];
  return text
    .split(":")
    .flatMap((part) => (part.includes(".") ? groupsOfV4(part) : [Number.parseInt(part, 16)]));
}
