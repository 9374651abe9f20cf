/** Links as rtnetlink messages: struct ifinfomsg and the attributes of include/uapi/linux/if_link.h. */
import { macFromBytes } from "../address.ts";
import type { LinkInfo, VxlanInfo } from "../types.ts";
import { parseAttributes, readString, readU32 } from "./message.ts";

/** Request types and those of notifications. */
export const LinkMessage = { newLink: 16, deleteLink: 17, getLink: 18, setLink: 19 } as const;

/** IFLA_*. */
export const Ifla = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  linkInfo: 18,
  group: 27,
  netNsFd: 28,
  extMask: 29,
  linkNetnsId: 37,
} as const;
/** IFLA_INFO_*. */
export const IflaInfo = { kind: 1, data: 2 } as const;
/** IFLA_VXLAN_*. */
export const IflaVxlan = { learning: 7, port: 15, collectMetadata: 25 } as const;

export const IFF_UP = 0x1;
export const IFF_NOARP = 0x80;

const IFINFOMSG = 16;
/** Other families' messages are about the link as a port of a bridge and the like. */
const AF_UNSPEC = 0;

/** struct ifinfomsg */
export function linkHeader(ifindex: number, flags = 0, change = 0): Buffer {
  const bytes = Buffer.alloc(IFINFOMSG);
  bytes.writeInt32LE(ifindex, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(change, 12);
  return bytes;
}

/** True for a message about a link itself. */
export function isLinkItself(payload: Buffer): boolean {
  return payload.readUInt8(0) === AF_UNSPEC;
}

/** The link that a message describes. @throws DatapathError for a malformed one */
export function parseLink(payload: Buffer): LinkInfo {
  const ifindex = payload.readInt32LE(4);
  const flags = payload.readUInt32LE(8);
  const attributes = parseAttributes(payload, IFINFOMSG);
  const info = attributes.get(Ifla.linkInfo);
  const kindAttributes = info === undefined ? undefined : parseAttributes(info);
  const kind = readString(kindAttributes?.get(IflaInfo.kind));
  const address = attributes.get(Ifla.address);
  const link = readU32(attributes.get(Ifla.link));
  const netnsId = attributes.get(Ifla.linkNetnsId)?.readInt32LE(0);
  const data = kindAttributes?.get(IflaInfo.data);
  return {
    ifindex,
    name: readString(attributes.get(Ifla.name)) ?? "",
    mac: address?.length === 6 ? macFromBytes(address) : "00:00:00:00:00:00",
    mtu: readU32(attributes.get(Ifla.mtu)) ?? 0,
    up: (flags & IFF_UP) !== 0,
    arp: (flags & IFF_NOARP) === 0,
    kind,
    // A device without a lower one names itself, or 0; the same number in another namespace is a peer.
    peerIfindex: link === 0 || (link === ifindex && netnsId === undefined) ? undefined : link,
    peerNetnsId: netnsId,
    ...(kind === "vxlan" && data !== undefined ? { vxlan: parseVxlan(data) } : {}),
  };
}

function parseVxlan(data: Buffer): VxlanInfo {
  const attributes = parseAttributes(data);
  return {
    port: attributes.get(IflaVxlan.port)?.readUInt16BE(0) ?? 0,
    metadata: attributes.get(IflaVxlan.collectMetadata)?.[0] === 1,
    learning: attributes.get(IflaVxlan.learning)?.[0] === 1,
  };
}
