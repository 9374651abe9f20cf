import { constants } from "node:os";
import { macBytes, macFromBytes } from "../address.ts";
import { DatapathError } from "../errors.ts";
import type { LinkInfo, VethSpec } from "../types.ts";
import { checkLinkName, isLinkName } from "./link-name.ts";
import {
  attribute,
  Flag,
  nested,
  parseAttributes,
  readString,
  readU32,
  stringAttribute,
  u32Attribute,
} from "./message.ts";
import type { RtnlSocket } from "./socket.ts";

const RTM = { newLink: 16, deleteLink: 17, getLink: 18, setLink: 19 } as const;

/** IFLA_* of include/uapi/linux/if_link.h. */
const Ifla = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  linkInfo: 18,
  netNsFd: 28,
  extMask: 29,
  linkNetnsId: 37,
} as const;
const InfoKind = 1;
const InfoData = 2;
const VethPeer = 1;

const IFF_UP = 0x1;
const IFF_NOARP = 0x80;
/** RTEXT_FILTER_SKIP_STATS: counters are half of a link's message. */
const SKIP_STATS = 8;

const IFINFOMSG = 16;

/** struct ifinfomsg */
function header(ifindex: number, flags = 0, change = 0): Buffer {
  const bytes = Buffer.alloc(IFINFOMSG);
  bytes.writeInt32LE(ifindex, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(change, 12);
  return bytes;
}

function parseLink(payload: Buffer): LinkInfo {
  const ifindex = payload.readInt32LE(4);
  const attributes = parseAttributes(payload, IFINFOMSG);
  const info = attributes.get(Ifla.linkInfo);
  const address = attributes.get(Ifla.address);
  const link = readU32(attributes.get(Ifla.link));
  const netnsId = attributes.get(Ifla.linkNetnsId)?.readInt32LE(0);
  return {
    ifindex,
    name: readString(attributes.get(Ifla.name)) ?? "",
    mac: address?.length === 6 ? macFromBytes(address) : "00:00:00:00:00:00",
    mtu: readU32(attributes.get(Ifla.mtu)) ?? 0,
    up: (payload.readUInt32LE(8) & IFF_UP) !== 0,
    kind: info === undefined ? undefined : readString(parseAttributes(info).get(InfoKind)),
    // A device without a lower one names itself, or 0; the same number in another namespace is a peer.
    peerIfindex: link === 0 || (link === ifindex && netnsId === undefined) ? undefined : link,
    peerNetnsId: netnsId,
  };
}

/** All links of the namespace. */
export async function listLinks(socket: RtnlSocket): Promise<readonly LinkInfo[]> {
  const payload = Buffer.concat([header(0), u32Attribute(Ifla.extMask, SKIP_STATS)]);
  const parts = await socket.dump({
    type: RTM.getLink,
    payload,
    operation: "list",
    object: "links",
  });
  return parts.map(parseLink);
}

/** One link by name or index; undefined when there is none. */
export async function findLink(socket: RtnlSocket, wanted: string | number): Promise<LinkInfo | undefined> {
  const byName = typeof wanted === "string";
  if (byName && !isLinkName(wanted)) return undefined;
  const payload = Buffer.concat([
    header(byName ? 0 : wanted),
    u32Attribute(Ifla.extMask, SKIP_STATS),
    ...(byName ? [stringAttribute(Ifla.name, wanted)] : []),
  ]);
  try {
    const [part] = await socket.request({
      type: RTM.getLink,
      payload,
      operation: "look up link",
      object: String(wanted),
    });
    return part === undefined ? undefined : parseLink(part);
  } catch (error) {
    if (isErrno(error, constants.errno.ENODEV)) return undefined;
    throw error;
  }
}

/** Creates a pair in one request: either both ends exist afterwards, or neither. */
export async function createVeth(
  socket: RtnlSocket,
  spec: VethSpec,
  peerNamespaceFd: number | undefined,
): Promise<void> {
  for (const name of [spec.name, spec.peerName]) checkLinkName("create veth pair", name);
  const end = (name: string, mac: string | undefined): readonly Buffer[] => [
    stringAttribute(Ifla.name, name),
    u32Attribute(Ifla.mtu, spec.mtu),
    ...(mac === undefined ? [] : [attribute(Ifla.address, macBytes(mac))]),
  ];
  const peer = Buffer.concat([
    header(0),
    ...end(spec.peerName, spec.peerMac),
    ...(peerNamespaceFd === undefined ? [] : [u32Attribute(Ifla.netNsFd, peerNamespaceFd)]),
  ]);
  await socket.request({
    type: RTM.newLink,
    flags: Flag.create | Flag.exclusive,
    payload: Buffer.concat([
      header(0),
      ...end(spec.name, spec.mac),
      nested(Ifla.linkInfo, stringAttribute(InfoKind, "veth"), nested(InfoData, attribute(VethPeer, peer))),
    ]),
    operation: "create veth pair",
    object: `${spec.name}/${spec.peerName}`,
  });
}

/** Deletes a link (of a veth pair: both ends). False when there was none. */
export async function deleteLink(socket: RtnlSocket, ifindex: number): Promise<boolean> {
  try {
    await socket.request({
      type: RTM.deleteLink,
      payload: header(ifindex),
      operation: "delete link",
      object: `ifindex ${ifindex}`,
    });
    return true;
  } catch (error) {
    if (isErrno(error, constants.errno.ENODEV)) return false;
    throw error;
  }
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  readonly name?: string;
  readonly arp?: boolean;
}

/** Changes a link in one request. */
export async function changeLink(socket: RtnlSocket, ifindex: number, change: LinkChange): Promise<void> {
  if (change.name !== undefined) checkLinkName("rename link", change.name);
  const flags = (change.up === true ? IFF_UP : 0) | (change.arp === false ? IFF_NOARP : 0);
  const mask = (change.up === undefined ? 0 : IFF_UP) | (change.arp === undefined ? 0 : IFF_NOARP);
  await socket.request({
    type: RTM.setLink,
    payload: Buffer.concat([
      header(ifindex, flags, mask),
      ...(change.mtu === undefined ? [] : [u32Attribute(Ifla.mtu, change.mtu)]),
      ...(change.mac === undefined ? [] : [attribute(Ifla.address, macBytes(change.mac))]),
      ...(change.name === undefined ? [] : [stringAttribute(Ifla.name, change.name)]),
    ]),
    operation: "change link",
    object: `ifindex ${ifindex}`,
  });
}

/** True for an error whose errno is this one. */
export function isErrno(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof DatapathError && error.errno !== undefined && codes.includes(error.errno);
}
