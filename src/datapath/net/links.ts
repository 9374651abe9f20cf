import { constants } from "node:os";
import { macBytes } from "../address.ts";
import { DatapathError } from "../errors.ts";
import type { LinkChange, LinkInfo, VethSpec, VxlanSpec } from "../types.ts";
import {
  IFF_NOARP,
  IFF_UP,
  Ifla,
  IflaInfo,
  IflaVxlan,
  LinkMessage,
  linkHeader,
  parseLink,
} from "./link-message.ts";
import { checkLinkName, isLinkName } from "./link-name.ts";
import { attribute, Flag, nested, stringAttribute, u32Attribute } from "./message.ts";
import type { RtnlSocket } from "./socket.ts";
import { checkVxlanSpec } from "./vxlan-spec.ts";

const VethPeer = 1;

/** RTEXT_FILTER_SKIP_STATS: counters are half of a link's message. */
const SKIP_STATS = 8;

/** All links of the namespace. */
export async function listLinks(socket: RtnlSocket): Promise<readonly LinkInfo[]> {
  const payload = Buffer.concat([linkHeader(0), u32Attribute(Ifla.extMask, SKIP_STATS)]);
  const parts = await socket.dump({
    type: LinkMessage.getLink,
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
    linkHeader(byName ? 0 : wanted),
    u32Attribute(Ifla.extMask, SKIP_STATS),
    ...(byName ? [stringAttribute(Ifla.name, wanted)] : []),
  ]);
  try {
    const [part] = await socket.request({
      type: LinkMessage.getLink,
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
    linkHeader(0),
    ...end(spec.peerName, spec.peerMac),
    ...(peerNamespaceFd === undefined ? [] : [u32Attribute(Ifla.netNsFd, peerNamespaceFd)]),
  ]);
  await socket.request({
    type: LinkMessage.newLink,
    flags: Flag.create | Flag.exclusive,
    payload: Buffer.concat([
      linkHeader(spec.ifindex ?? 0),
      ...end(spec.name, spec.mac),
      nested(
        Ifla.linkInfo,
        stringAttribute(IflaInfo.kind, "veth"),
        nested(IflaInfo.data, attribute(VethPeer, peer)),
      ),
    ]),
    operation: "create veth pair",
    object: `${spec.name}/${spec.peerName}`,
  });
}

/**
 * Creates a VXLAN device in metadata mode. Checksums are the kernel's defaults: over IPv4 each packet's metadata says
 * whether it gets one, and those without are accepted.
 */
export async function createVxlan(socket: RtnlSocket, spec: VxlanSpec): Promise<void> {
  checkVxlanSpec(spec);
  await socket.request({
    type: LinkMessage.newLink,
    flags: Flag.create | Flag.exclusive,
    payload: Buffer.concat([
      linkHeader(spec.ifindex ?? 0),
      stringAttribute(Ifla.name, spec.name),
      u32Attribute(Ifla.mtu, spec.mtu),
      ...(spec.mac === undefined ? [] : [attribute(Ifla.address, macBytes(spec.mac))]),
      nested(
        Ifla.linkInfo,
        stringAttribute(IflaInfo.kind, "vxlan"),
        nested(
          IflaInfo.data,
          attribute(IflaVxlan.collectMetadata, Buffer.from([1])),
          attribute(IflaVxlan.learning, Buffer.from([0])),
          attribute(IflaVxlan.port, portBytes(spec.port)),
        ),
      ),
    ]),
    operation: "create VXLAN device",
    object: `${spec.name} on port ${spec.port}`,
  });
}

/** Deletes a link (of a veth pair: both ends). False when there was none. */
export async function deleteLink(socket: RtnlSocket, ifindex: number): Promise<boolean> {
  try {
    await socket.request({
      type: LinkMessage.deleteLink,
      payload: linkHeader(ifindex),
      operation: "delete link",
      object: `ifindex ${ifindex}`,
    });
    return true;
  } catch (error) {
    if (isErrno(error, constants.errno.ENODEV)) return false;
    throw error;
  }
}

/** Changes a link in one request. */
export async function changeLink(socket: RtnlSocket, ifindex: number, change: LinkChange): Promise<void> {
  if (change.name !== undefined) checkLinkName("rename link", change.name);
  const flags = (change.up === true ? IFF_UP : 0) | (change.arp === false ? IFF_NOARP : 0);
  const mask = (change.up === undefined ? 0 : IFF_UP) | (change.arp === undefined ? 0 : IFF_NOARP);
  await socket.request({
    type: LinkMessage.setLink,
    payload: Buffer.concat([
      linkHeader(ifindex, flags, mask),
      ...(change.mtu === undefined ? [] : [u32Attribute(Ifla.mtu, change.mtu)]),
      ...(change.mac === undefined ? [] : [attribute(Ifla.address, macBytes(change.mac))]),
      ...(change.name === undefined ? [] : [stringAttribute(Ifla.name, change.name)]),
    ]),
    operation: "change link",
    object: `ifindex ${ifindex}`,
  });
}

function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(port);
  return bytes;
}

/** True for an error whose errno is this one. */
export function isErrno(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof DatapathError && error.errno !== undefined && codes.includes(error.errno);
}
