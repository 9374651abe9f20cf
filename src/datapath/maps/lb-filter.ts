/** Addresses without services, so that packets to them need not be looked for in the services' maps. */
import { familyOf, ipv6Bytes, parseIpv4 } from "../address.ts";
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { u32, u64 } from "./layout.ts";

/** As in bpf/lib/lb_filter.h. */
const FILTER_BITS = 20;

/** Words of 64 bits in `waggle_no_services`. */
export const LB_FILTER_WORDS = 2 ** (FILTER_BITS - 6);

/**
 * A bit for each hash of an address (`lbFilterBit`), set when no frontend of either family has such an address: programs
 * look for services wherever it is clear, as in a map that nobody has written yet. The agent writes; bpf_lxc and bpf_host
 * read.
 */
export const lbFilterMap = defineMap<number, bigint>({
  name: "waggle_no_services",
  type: MapType.array,
  maxEntries: LB_FILTER_WORDS,
  key: u32,
  value: u64,
  formatKey: String,
  formatValue: (bits) => `0x${bits.toString(16).padStart(16, "0")}`,
});

/** The golden ratio of bpf/lib/hash.h, in halves. */
const HIGH = 0x9e3779b9;
const LOW = 0x7f4a7c15;

/** Upper half of the product of two numbers of 32 bits. */
function upperProduct(left: number, right: number): number {
  const [a, b] = [left >>> 16, left & 0xffff];
  const [c, d] = [right >>> 16, right & 0xffff];
  const middle = b * c + ((b * d) >>> 16);
  const other = a * d + (middle % 0x10000);
  return (a * c + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000)) >>> 0;
}

/** Of the bytes of an IPv4 address as the programs read it: a word with the first byte lowest. */
const swap = (word: number): number =>
  ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;

/** Upper half of the product of a number, given in halves, and the golden ratio. */
const upperOfMix = (high: number, low: number): number =>
  (upperProduct(low, LOW) + Math.imul(low, HIGH) + Math.imul(high, LOW)) >>> 0;

/** Lower half of hash_mix(), when `upper` is its upper one. */
const lowerOfMix = (upper: number, low: number): number => (Math.imul(low, LOW) ^ upper) >>> 0;

/**
 * The bit of `waggle_no_services` that stands for an address: the upper bits of the lower half of its hash in the programs
 * (`hash_addr_v4`, `hash_addr_v6`).
 *
 * @throws DatapathError INVALID_ARGUMENT when it is none
 */
export function lbFilterBit(address: string): number {
  if (familyOf(address) === 4) {
    const word = swap(parseIpv4(address));
    return lowerOfMix(upperOfMix(0, word), word) >>> (32 - FILTER_BITS);
  }
  const bytes = ipv6Bytes(address);
  const [firstLow, firstHigh] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
  const upper = upperOfMix(firstHigh, firstLow);
  const low = (lowerOfMix(upper, firstLow) ^ bytes.readUInt32LE(8)) >>> 0;
  const high = (upper ^ bytes.readUInt32LE(12)) >>> 0;
  return lowerOfMix(upperOfMix(high, low), low) >>> (32 - FILTER_BITS);
}
