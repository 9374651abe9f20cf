import { formatCidr, splitCidr, tryIpv4, tryPrefixLength } from "../address.ts";
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { FAMILY_IPV4, familyMember, unionAddress, unionBytes } from "./family.ts";
import { bytes, ipv4InUnion, named, padding, struct, transform, u8, u16, u32 } from "./layout.ts";

/** Bits of the key before the address that always take part in the match: cluster, padding, family. */
const STATIC_PREFIX_BITS = 32;

/** Key of `cilium_ipcache`: a prefix. */
export interface IpCacheKey {
  /** "10.0.1.5/32", "fd00:10:0:1::/64". */
  readonly prefix: string;
}

/** Value of `cilium_ipcache`: who is behind a prefix, and how to reach it. */
export interface RemoteEndpointInfo {
  readonly identity: number;
  /** IPv4 address of the node to encapsulate towards, whichever family the prefix has; "0.0.0.0" for none. */
  readonly tunnelEndpoint: string;
  /** Index of the key to encrypt with; 0 for none. */
  readonly encryptKey: number;
  readonly flags: number;
}

const ipcacheKey = transform(
  struct("ipcache_key", {
    prefixlen: u32,
    clusterId: u16,
    pad1: padding(1),
    family: u8,
    address: named("addr", bytes(16)),
  }),
  ({ prefix }: IpCacheKey) => {
    const { address, prefixLength } = splitCidr(prefix);
    return {
      prefixlen: STATIC_PREFIX_BITS + prefixLength,
      clusterId: 0,
      family: familyMember(address),
      address: unionBytes(address),
    };
  },
  ({ prefixlen, family, address }) => ({
    prefix: formatCidr({
      address: unionAddress(address, family),
      prefixLength: prefixlen - STATIC_PREFIX_BITS,
    }),
  }),
  ({ prefix }, into, offset) => {
    const slash = prefix.indexOf("/");
    const address = tryIpv4(prefix, slash < 0 ? prefix.length : slash);
    const length = slash < 0 ? 32 : tryPrefixLength(prefix, slash + 1, 32);
    if (address < 0 || length < 0) return false;
    put(into, offset, STATIC_PREFIX_BITS + length);
    put(into, offset + 4, FAMILY_IPV4 << 24);
    putAddress(into, offset + 8, address);
    return true;
  },
);

const remoteEndpointInfo = transform(
  struct("remote_endpoint_info", {
    secId: u32,
    tunnelEndpoint: named("tunnel_ipv4", ipv4InUnion),
    pad: padding(2),
    key: u8,
    flags: u8,
  }),
  (info: RemoteEndpointInfo) => ({
    secId: info.identity,
    tunnelEndpoint: info.tunnelEndpoint,
    key: info.encryptKey,
    flags: info.flags,
  }),
  (members) => ({
    identity: members.secId,
    tunnelEndpoint: members.tunnelEndpoint,
    encryptKey: members.key,
    flags: members.flags,
  }),
  ({ identity, tunnelEndpoint, encryptKey, flags }, into, offset) => {
    const tunnel = tryIpv4(tunnelEndpoint, tunnelEndpoint.length);
    // What does not fit is named by its member's type.
    if (tunnel < 0 || !isByte(encryptKey) || !isByte(flags) || identity !== identity >>> 0) return false;
    put(into, offset, identity);
    putAddress(into, offset + 4, tunnel);
    put(into, offset + 20, (flags << 24) | (encryptKey << 16));
    return true;
  },
);

const isByte = (value: number): boolean => value === (value & 0xff);

/** As `writeUInt32LE`, which checks once more what was checked before: a third of what 60,000 entries cost to encode. */
function put(into: Buffer, offset: number, value: number): void {
  into[offset] = value;
  into[offset + 1] = value >>> 8;
  into[offset + 2] = value >>> 16;
  into[offset + 3] = value >>> 24;
}

/** An IPv4 address in network order, and the twelve bytes that it leaves of a union with an IPv6 address. */
function putAddress(into: Buffer, offset: number, address: number): void {
  into[offset] = address >>> 24;
  into[offset + 1] = address >>> 16;
  into[offset + 2] = address >>> 8;
  into[offset + 3] = address;
  put(into, offset + 4, 0);
  put(into, offset + 8, 0);
  put(into, offset + 12, 0);
}

/** Prefix to identity. The agent writes, all programs read. */
export const ipcacheMap = defineMap<IpCacheKey, RemoteEndpointInfo>({
  name: "cilium_ipcache",
  type: MapType.lpmTrie,
  maxEntries: 512000,
  flags: 1,
  key: ipcacheKey,
  value: remoteEndpointInfo,
  formatKey: (key) => key.prefix,
  formatValue: (info) =>
    `identity=${info.identity} encryptkey=${info.encryptKey} tunnelendpoint=${info.tunnelEndpoint}`,
});
