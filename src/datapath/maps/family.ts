/** Addresses of either family in one member: sixteen bytes, with the family in another member of the struct. */
import { familyOf, ipBytes, ipv4FromBytes, ipv6FromBytes } from "../address.ts";
import { ipv4, ipv6 } from "./layout.ts";

/** Address family in keys that can hold either kind of address. */
export const FAMILY_IPV4 = 1;
export const FAMILY_IPV6 = 2;

/** The family member for an address. @throws DatapathError INVALID_ARGUMENT when it is none */
export function familyMember(address: string): number {
  return familyOf(address) === 4 ? FAMILY_IPV4 : FAMILY_IPV6;
}

/** Sixteen bytes: an IPv4 address lies in the first four. @throws DatapathError INVALID_ARGUMENT */
export function unionBytes(address: string): Buffer {
  const bytes = Buffer.alloc(16);
  ipBytes(address).copy(bytes);
  return bytes;
}

/** Text of what `unionBytes` made, or the datapath. */
export function unionAddress(bytes: Buffer, family: number): string {
  return family === FAMILY_IPV6 ? ipv6FromBytes(bytes) : ipv4FromBytes(bytes);
}

/** The member type of one family's addresses. */
export function addressOf(family: 4 | 6): typeof ipv4 {
  return family === 4 ? ipv4 : ipv6;
}
