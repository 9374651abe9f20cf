import { isIPv6 } from "node:net";
import { invalidArgument } from "../errors.ts";
import { AddressPool, type ReservedAddress } from "./pool.ts";
import type { Ipam, PodAddresses, PoolUse, WantedAddresses } from "./types.ts";

/** What the pools are made of. */
export interface PodNetworks {
  /** "10.0.1.0/24" */
  readonly podCidr: string;
  /** "fd00:10:0:1::/64", or undefined for pods without IPv6. */
  readonly podCidrV6: string | undefined;
  /** Addresses that are nobody's to allocate, with who has them; those outside the networks are ignored. */
  readonly reserved: readonly ReservedAddress[];
}

/**
 * Pod addresses of one network a family. What is allocated is not stored: endpoints are, and allocate their addresses
 * again when the agent starts.
 */
export class PodIpam implements Ipam {
  #pools: { readonly ipv4: AddressPool; readonly ipv6: AddressPool | undefined } | undefined;

  /** Makes the pools. @throws DatapathError INVALID_ARGUMENT when a network is malformed */
  open({ podCidr, podCidrV6, reserved }: PodNetworks): void {
    this.#pools = {
      ipv4: new AddressPool(podCidr, reserved),
      ipv6: podCidrV6 === undefined ? undefined : new AddressPool(podCidrV6, reserved),
    };
  }

  get pools(): readonly PoolUse[] {
    return this.#all().map(({ use }) => use);
  }

  allocate(owner: string, wanted: WantedAddresses = {}): PodAddresses {
    const ipv6 = this.#opened().ipv6 === undefined && wanted.ipv6 === undefined ? "" : wanted.ipv6;
    return this.#take(owner, wanted.ipv4, ipv6);
  }

  restore(owner: string, { ipv4, ipv6 }: PodAddresses): void {
    this.#take(owner, ipv4, ipv6);
  }

  release({ ipv4, ipv6 }: PodAddresses): void {
    const pools = this.#opened();
    pools.ipv4.release(ipv4);
    pools.ipv6?.release(ipv6);
  }

  owner(address: string): string | undefined {
    const { ipv4, ipv6 } = this.#opened();
    return isIPv6(address) ? ipv6?.owner(address) : ipv4.owner(address);
  }

  /** @param wantedV6 undefined: the next free one; empty: none */
  #take(owner: string, wantedV4: string | undefined, wantedV6: string | undefined): PodAddresses {
    const pools = this.#opened();
    const ipv4 = takeFrom(pools.ipv4, owner, wantedV4);
    if (wantedV6 === "") return { ipv4, ipv6: "" };
    try {
      if (pools.ipv6 === undefined) {
        throw invalidArgument([{ field: "spec.ipv6", description: "this node has no IPv6 pod CIDR" }]);
      }
      return { ipv4, ipv6: takeFrom(pools.ipv6, owner, wantedV6) };
    } catch (error) {
      pools.ipv4.release(ipv4);
      throw error;
    }
  }

  #all(): readonly AddressPool[] {
    const { ipv4, ipv6 } = this.#opened();
    return ipv6 === undefined ? [ipv4] : [ipv4, ipv6];
  }

  #opened(): { readonly ipv4: AddressPool; readonly ipv6: AddressPool | undefined } {
    if (this.#pools === undefined) throw new Error("pod addresses: used before the ipam cell has started");
    return this.#pools;
  }
}

const takeFrom = (pool: AddressPool, owner: string, wanted: string | undefined): string =>
  wanted === undefined ? pool.takeNext(owner) : pool.take(wanted, owner);
