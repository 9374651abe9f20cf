import { constants } from "node:os";
import { familyOf, formatCidr, ipBytes, ipFromBytes, splitCidr } from "../address.ts";
import { isErrno } from "./links.ts";
import { attribute, Flag, parseAttributes } from "./message.ts";
import type { RtnlSocket } from "./socket.ts";

const RTM = { newAddress: 20, deleteAddress: 21, getAddress: 22 } as const;
/** IFA_* of include/uapi/linux/if_addr.h. */
const Ifa = { address: 1, local: 2 } as const;
const IFADDRMSG = 8;

/** AF_INET and AF_INET6. */
export function addressFamily(address: string): number {
  return familyOf(address) === 4 ? 2 : 10;
}

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly cidr: string;
}

function message(ifindex: number, cidr: string): Buffer {
  const { address, prefixLength } = splitCidr(cidr);
  const header = Buffer.alloc(IFADDRMSG);
  header.writeUInt8(addressFamily(address), 0);
  header.writeUInt8(prefixLength, 1);
  header.writeUInt32LE(ifindex, 4);
  const bytes = ipBytes(address);
  return Buffer.concat([header, attribute(Ifa.local, bytes), attribute(Ifa.address, bytes)]);
}

/** Addresses of both families, of one link or of all. */
export async function listAddresses(
  socket: RtnlSocket,
  ifindex: number | undefined,
): Promise<readonly InterfaceAddress[]> {
  const parts = await socket.dump({
    type: RTM.getAddress,
    payload: Buffer.alloc(IFADDRMSG),
    operation: "list",
    object: "addresses",
  });
  return parts
    .map(parseAddress)
    .filter((address) => address !== undefined)
    .filter((address) => ifindex === undefined || address.ifindex === ifindex);
}

function parseAddress(payload: Buffer): InterfaceAddress | undefined {
  const attributes = parseAttributes(payload, IFADDRMSG);
  // On point-to-point links IFA_ADDRESS is the other side; IPv6 has no IFA_LOCAL otherwise.
  const bytes = attributes.get(Ifa.local) ?? attributes.get(Ifa.address);
  if (bytes === undefined) return undefined;
  const cidr = formatCidr({ address: ipFromBytes(bytes), prefixLength: payload.readUInt8(1) });
  return { ifindex: payload.readUInt32LE(4), cidr };
}

/** Adds an address; one that is there already is no error. */
export async function addAddress(socket: RtnlSocket, ifindex: number, cidr: string): Promise<void> {
  try {
    await socket.request({
      type: RTM.newAddress,
      flags: Flag.create | Flag.exclusive,
      payload: message(ifindex, cidr),
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
      type: RTM.deleteAddress,
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
