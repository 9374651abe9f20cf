import { constants } from "node:os";
import { familyOf, formatCidr, ipBytes, ipFromBytes, splitCidr } from "../address.ts";
import type { AddressOptions, InterfaceAddress, NetScope } from "../types.ts";
import { isErrno } from "./links.ts";
import { attribute, Flag, parseAttributes, readU32, u32Attribute } from "./message.ts";
import type { RtnlSocket } from "./socket.ts";

/** Request types and those of notifications. */
export const AddressMessage = { newAddress: 20, deleteAddress: 21, getAddress: 22 } as const;
/** IFA_* of include/uapi/linux/if_addr.h. */
const Ifa = { address: 1, local: 2, flags: 8 } as const;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
const IFADDRMSG = 8;
/** RT_SCOPE_* of include/uapi/linux/rtnetlink.h. */
const SCOPES: ReadonlyMap<number, NetScope> = new Map([
  [0, "global"],
  [200, "site"],
  [253, "link"],
  [254, "host"],
]);

/** AF_INET and AF_INET6. */
export function addressFamily(address: string): number {
  return familyOf(address) === 4 ? 2 : 10;
}

function message(ifindex: number, cidr: string, flags = 0): Buffer {
  const { address, prefixLength } = splitCidr(cidr);
  const header = Buffer.alloc(IFADDRMSG);
  header.writeUInt8(addressFamily(address), 0);
  header.writeUInt8(prefixLength, 1);
  header.writeUInt32LE(ifindex, 4);
  const bytes = ipBytes(address);
  return Buffer.concat([
    header,
    attribute(Ifa.local, bytes),
    attribute(Ifa.address, bytes),
    ...(flags === 0 ? [] : [u32Attribute(Ifa.flags, flags)]),
  ]);
}

/** Addresses of both families, of one link or of all. */
export async function listAddresses(
  socket: RtnlSocket,
  ifindex: number | undefined,
): Promise<readonly InterfaceAddress[]> {
  const parts = await socket.dump({
    type: AddressMessage.getAddress,
    payload: Buffer.alloc(IFADDRMSG),
    operation: "list",
    object: "addresses",
  });
  return parts
    .map(parseAddress)
    .filter((address) => address !== undefined)
    .filter((address) => ifindex === undefined || address.ifindex === ifindex);
}

/** The address that a message describes; undefined for one without. @throws DatapathError for a malformed one */
export function parseAddress(payload: Buffer): InterfaceAddress | undefined {
  const attributes = parseAttributes(payload, IFADDRMSG);
  // On point-to-point links IFA_ADDRESS is the other side; IPv6 has no IFA_LOCAL otherwise.
  const bytes = attributes.get(Ifa.local) ?? attributes.get(Ifa.address);
  if (bytes === undefined) return undefined;
  const cidr = formatCidr({ address: ipFromBytes(bytes), prefixLength: payload.readUInt8(1) });
  const scope = SCOPES.get(payload.readUInt8(3));
  // The header has room for eight flags, the attribute for all.
  const flags = readU32(attributes.get(Ifa.flags)) ?? payload.readUInt8(2);
  return {
    ifindex: payload.readUInt32LE(4),
    cidr,
    ...(scope === undefined ? {} : { scope }),
    ...((flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0 ? {} : { tentative: true as const }),
  };
}

/** Adds an address; one that is there already is no error. */
export async function addAddress(
  socket: RtnlSocket,
  ifindex: number,
  cidr: string,
  options: AddressOptions = {},
): Promise<void> {
  try {
    await socket.request({
      type: AddressMessage.newAddress,
      flags: Flag.create | Flag.exclusive,
      payload: message(ifindex, cidr, options.nodad === true ? IFA_F_NODAD : 0),
      operation: "add address",
      object: `${cidr} to ifindex ${ifindex}`,
    });
  } catch (error) {
    if (!isErrno(error, constants.errno.EEXIST)) throw error;
  }
}

/** False when the link, or the address on it, was not there. */
export async function deleteAddress(socket: RtnlSocket, ifindex: number, cidr: string): Promise<boolean> {
  try {
    await socket.request({
      type: AddressMessage.deleteAddress,
      payload: message(ifindex, cidr),
      operation: "delete address",
      object: `${cidr} from ifindex ${ifindex}`,
    });
    return true;
  } catch (error) {
    if (isErrno(error, constants.errno.EADDRNOTAVAIL, constants.errno.ENODEV)) return false;
    throw error;
  }
}
