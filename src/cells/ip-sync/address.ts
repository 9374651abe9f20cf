import { isIPv4 } from "node:net";
import { ipBytes, ipFromBytes } from "../../datapath/address.ts";
import type { Change } from "../../table/index.ts";
import type { IpCacheEntry } from "../ipcache/index.ts";
import type { SharedRow } from "../kvstore/index.ts";
import { hostPrefix } from "../node-config/index.ts";

/** Who has an address, and on which node; the address is the key. */
export interface PodAddress {
  readonly identity: number;
  /** IPv4 address of the node on the underlay, to encapsulate towards; "0.0.0.0" when it has none. */
  readonly node: string;
}

/** A change of a published address. */
export type AddressChange = Change<SharedRow<PodAddress>, string>;

/** Identities have 24 bits; 0 says nothing. */
const largestIdentity = 0xff_ffff;

/** Checks what another node has written. @throws Error, or DatapathError when the key is no address */
export function decodePodAddress(value: unknown, key: string): PodAddress {
  if (key !== addressKey(key)) throw new Error(`the key would be ${addressKey(key)}`);
  if (typeof value !== "object" || value === null) throw new Error("it is no object");
  const { identity, node } = value as { readonly identity?: unknown; readonly node?: unknown };
  if (!Number.isInteger(identity) || (identity as number) < 1 || (identity as number) > largestIdentity)
    throw new Error(`identity ${String(identity)} is not from 1 to ${largestIdentity}`);
  if (typeof node !== "string" || !isIPv4(node)) throw new Error(`node ${String(node)} is no IPv4 address`);
  return { identity: identity as number, node };
}

/** The text under which an address is shared: one for each address. @throws DatapathError INVALID_ARGUMENT */
export const addressKey = (address: string): string => ipFromBytes(ipBytes(address));

/** The IP cache's entry of another node's pod. With native routing, too, it names the node: such addresses are the cluster's. */
export function entryOf(key: string, { identity, node }: PodAddress): IpCacheEntry {
  return {
    prefix: hostPrefix(key),
    identity,
    tunnelEndpoint: node,
    encryptKey: 0,
    source: "kvstore",
  };
}
