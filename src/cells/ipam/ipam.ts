import { isIPv4 } from "node:net";
import { formatIpv4, parseCidr, parseIpv4 } from "../../datapath/address.ts";
import { invalidArgument, RefusalError, resourceExhausted } from "../errors.ts";
import { AddressPool } from "./pool.ts";
import type { Ipam } from "./types.ts";

/** What the pool is made of. */
export interface PodNetwork {
  /** "10.0.1.0/24" */
  readonly podCidr: string;
  /** Addresses that are nobody's to allocate, with who has them; those outside the network are ignored. */
  readonly reserved: readonly { readonly address: string; readonly owner: string }[];
}

/**
 * Pod addresses of one network. The network's own and its broadcast address are left out (RFC 1122, 3.2.1.3), except
 * in networks of one or two addresses, which have neither (RFC 3021). What is allocated is not stored: endpoints are,
 * and allocate their addresses again when the agent starts.
 */
export class PodIpam implements Ipam {
  #open: { readonly cidr: string; readonly pool: AddressPool; readonly reserved: number } | undefined;

  /** Makes the pool. @throws DatapathError INVALID_ARGUMENT when the network or an address is malformed */
  open(network: PodNetwork): void {
    const { address, prefixLength } = parseCidr(network.podCidr);
    const size = 2 ** (32 - prefixLength);
    const edge = prefixLength <= 30 ? 1 : 0;
    const pool = new AddressPool(parseIpv4(address) + edge, size - 2 * edge);
    let reserved = 0;
    for (const { address: text, owner } of network.reserved) {
      const number = parseIpv4(text);
      if (pool.contains(number) && pool.take(number, owner)) reserved += 1;
    }
    this.#open = { cidr: `${address}/${prefixLength}`, pool, reserved };
  }

  get capacity(): number {
    const { pool, reserved } = this.#opened();
    return pool.size - reserved;
  }

  get used(): number {
    const { pool, reserved } = this.#opened();
    return pool.used - reserved;
  }

  allocate(owner: string, wanted?: string): string {
    const { cidr, pool } = this.#opened();
    if (wanted === undefined) {
      const next = pool.takeNext(owner);
      if (next !== undefined) return formatIpv4(next);
      throw resourceExhausted(`all ${this.capacity} pod addresses of ${cidr} are in use`);
    }
    const address = this.#wanted(wanted, cidr, pool);
    if (pool.take(address, owner)) return formatIpv4(address);
    throw new RefusalError("ALREADY_EXISTS", `address ${wanted} is taken by ${pool.owner(address)}`);
  }

  release(address: string): void {
    const { pool } = this.#opened();
    if (isIPv4(address)) pool.release(parseIpv4(address));
  }

  owner(address: string): string | undefined {
    return isIPv4(address) ? this.#opened().pool.owner(parseIpv4(address)) : undefined;
  }

  #wanted(text: string, cidr: string, pool: AddressPool): number {
    const refuse = (description: string): RefusalError =>
      invalidArgument([{ field: "spec.ipv4", description }]);
    if (!isIPv4(text)) throw refuse(`${JSON.stringify(text)} is no IPv4 address`);
    const address = parseIpv4(text);
    if (!pool.contains(address)) throw refuse(`${text} is no address for a pod in ${cidr}`);
    return address;
  }

  #opened(): { readonly cidr: string; readonly pool: AddressPool; readonly reserved: number } {
    if (this.#open === undefined) throw new Error("pod addresses: used before the ipam cell has started");
    return this.#open;
  }
}
