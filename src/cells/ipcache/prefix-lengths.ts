import {
  formatCidr,
  formatIpv4,
  ipFromBytes,
  ipv6Bytes,
  maskBytes,
  maskIpv4,
  tryIpv4,
  tryPrefixLength,
} from "../../datapath/address.ts";

/**
 * How many prefixes there are of each length. A longest-prefix search then asks the table itself, once for each length
 * in use, and no second index of all prefixes has to be kept.
 */
export class PrefixLengths {
  readonly #v4 = new Uint32Array(33);
  readonly #v6 = new Uint32Array(129);

  /** @param prefix in canonical form, as for all methods */
  add(prefix: string): void {
    this.#count(prefix, 1);
  }

  remove(prefix: string): void {
    this.#count(prefix, -1);
  }

  /** The prefixes that may hold the address, longest first. @param address of either family, without a zone */
  *candidates(address: string): IterableIterator<string> {
    const v4 = tryIpv4(address, address.length);
    if (v4 >= 0) {
      for (let length = 32; length >= 0; length -= 1) {
        if (this.#v4[length] === 0) continue;
        yield `${formatIpv4(maskIpv4(v4, length))}/${length}`;
      }
      return;
    }
    const bytes = ipv6Bytes(address);
    for (let length = 128; length >= 0; length -= 1) {
      if (this.#v6[length] === 0) continue;
      maskBytes(bytes, length);
      yield formatCidr({ address: ipFromBytes(bytes), prefixLength: length });
    }
  }

  #count(prefix: string, by: 1 | -1): void {
    const counts = prefix.includes(":") ? this.#v6 : this.#v4;
    counts[tryPrefixLength(prefix, prefix.indexOf("/") + 1, counts.length - 1)]! += by;
  }
}
