import { isIP } from "node:net";
import { familyOf, formatCidr, ipBytes, ipFromBytes, parseCidr } from "../../datapath/address.ts";
import { invalidArgument, RefusalError, resourceExhausted } from "../errors.ts";
import type { PoolUse } from "./types.ts";

/** An address that is nobody's to allocate, with who has it. */
export interface ReservedAddress {
  readonly address: string;
  readonly owner: string;
}

/** How many of a network's addresses are given to those who ask for none in particular: more than a node has pods. */
const mostGiven = 1n << 20n;

/**
 * The addresses of one pod CIDR, with an owner each. What costs memory is what was handed out, so a /64 works as well
 * as a /30.
 *
 * Left out are IPv4's network and broadcast address (RFC 1122, 3.2.1.3), except in networks of one or two addresses,
 * which have neither (RFC 3021), and IPv6's anycast address of all routers, the first one (RFC 4291, 2.6.1).
 */
export class AddressPool {
  readonly cidr: string;
  readonly family: 4 | 6;
  readonly #first: bigint;
  readonly #end: bigint;
  readonly #owners = new Map<bigint, string>();
  readonly #reserved: number;
  /** The first address that has never been next. */
  #fresh: bigint;
  /** Released addresses, the longest unused first: they rest until there is no fresh one left. */
  readonly #resting = new Set<bigint>();

  /**
   * @param reserved those outside the network, and of the other family, are ignored
   * @throws DatapathError INVALID_ARGUMENT when the network is malformed
   */
  constructor(cidr: string, reserved: readonly ReservedAddress[]) {
    const { address, prefixLength } = parseCidr(cidr);
    this.cidr = formatCidr({ address, prefixLength });
    this.family = familyOf(address);
    const bits = this.family === 4 ? 32 : 128;
    const [below, above] = prefixLength > bits - 2 ? [0n, 0n] : [1n, this.family === 4 ? 1n : 0n];
    const network = numberOf(address);
    this.#first = network + below;
    this.#end = network + (1n << BigInt(bits - prefixLength)) - above;
    this.#fresh = this.#first;
    for (const { address: text, owner } of reserved) {
      const number = this.#numberIn(text);
      if (number !== undefined) this.#owners.set(number, owner);
    }
    this.#reserved = this.#owners.size;
  }

  get use(): PoolUse {
    const capacity = Number(this.#end - this.#first) - this.#reserved;
    return { cidr: this.cidr, used: this.#owners.size - this.#reserved, capacity };
  }

  /** Undefined for an address that nobody has. */
  owner(address: string): string | undefined {
    const number = this.#numberIn(address);
    return number === undefined ? undefined : this.#owners.get(number);
  }

  /**
   * Takes an address that is asked for.
   * @throws RefusalError INVALID_ARGUMENT when it is none of this network, ALREADY_EXISTS when somebody has it
   */
  take(address: string, owner: string): string {
    const number = this.#numberIn(address);
    if (number === undefined) {
      const description = `${JSON.stringify(address)} is no address for a pod in ${this.cidr}`;
      throw invalidArgument([{ field: `spec.ipv${this.family}`, description }]);
    }
    const holder = this.#owners.get(number);
    if (holder !== undefined) {
      throw new RefusalError("ALREADY_EXISTS", `address ${address} is taken by ${holder}`);
    }
    return this.#give(number, owner);
  }

  /** Takes an address that was never used if there is one, otherwise the one unused longest. @throws RefusalError */
  takeNext(owner: string): string {
    const end = this.#first + mostGiven < this.#end ? this.#first + mostGiven : this.#end;
    while (this.#fresh < end) {
      const number = this.#fresh++;
      if (!this.#owners.has(number)) return this.#give(number, owner);
    }
    for (const number of this.#resting) return this.#give(number, owner);
    throw resourceExhausted(`all ${this.use.capacity} pod addresses of ${this.cidr} are in use`);
  }

  /** Harmless for an address that nobody has. */
  release(address: string): void {
    const number = this.#numberIn(address);
    if (number === undefined || !this.#owners.delete(number)) return;
    if (number < this.#fresh) this.#resting.add(number);
  }

  #give(number: bigint, owner: string): string {
    this.#owners.set(number, owner);
    this.#resting.delete(number);
    const digits = this.family === 4 ? 8 : 32;
    return ipFromBytes(Buffer.from(number.toString(16).padStart(digits, "0"), "hex"));
  }

  /** The address as a number, if it is one of this network's. */
  #numberIn(text: string): bigint | undefined {
    if (isIP(text) !== this.family || text.includes("%")) return undefined;
    const number = numberOf(text);
    return number >= this.#first && number < this.#end ? number : undefined;
  }
}

const numberOf = (address: string): bigint => BigInt(`0x${ipBytes(address).toString("hex")}`);
