import { constants } from "node:os";
import { ipBytes, ipFromBytes, macBytes, macFromBytes } from "../address.ts";
import type { Neighbour } from "../types.ts";
import { addressFamily } from "./addresses.ts";
import { isErrno } from "./links.ts";
import { attribute, Flag, parseAttributes } from "./message.ts";
import type { RtnlSocket } from "./socket.ts";

const RTM = { newNeighbour: 28, deleteNeighbour: 29, getNeighbour: 30 } as const;
/** NDA_* and NUD_* of include/uapi/linux/neighbour.h. */
const Nda = { destination: 1, mac: 2 } as const;
const NUD_REACHABLE = 0x02;
const NUD_FAILED = 0x20;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NDMSG = 12;

function message(neighbour: Neighbour, state: number, withMac: boolean): Buffer {
  const header = Buffer.alloc(NDMSG);
  header.writeUInt8(addressFamily(neighbour.address), 0);
  header.writeInt32LE(neighbour.ifindex, 4);
  header.writeUInt16LE(state, 8);
  return Buffer.concat([
    header,
    attribute(Nda.destination, ipBytes(neighbour.address)),
    ...(withMac ? [attribute(Nda.mac, macBytes(neighbour.mac))] : []),
  ]);
}

/** Neighbours whose MAC address is known, of both families; multicast mappings and failures are left out. */
export async function listNeighbours(
  socket: RtnlSocket,
  ifindex: number | undefined,
): Promise<readonly Neighbour[]> {
  const parts = await socket.dump({
    type: RTM.getNeighbour,
    payload: Buffer.alloc(NDMSG),
    operation: "list",
    object: "neighbours",
  });
  return parts
    .map(parseNeighbour)
    .filter((neighbour) => neighbour !== undefined)
    .filter((neighbour) => ifindex === undefined || neighbour.ifindex === ifindex);
}

function parseNeighbour(payload: Buffer): Neighbour | undefined {
  const state = payload.readUInt16LE(8);
  const attributes = parseAttributes(payload, NDMSG);
  const address = attributes.get(Nda.destination);
  const mac = attributes.get(Nda.mac);
  if (address === undefined || mac?.length !== 6 || (state & (NUD_FAILED | NUD_NOARP)) !== 0)
    return undefined;
  return {
    ifindex: payload.readInt32LE(4),
    address: ipFromBytes(address),
    mac: macFromBytes(mac),
    permanent: (state & NUD_PERMANENT) !== 0,
  };
}

/** Creates or replaces. Not permanent ones begin as reachable and age as usual. */
export async function replaceNeighbour(socket: RtnlSocket, neighbour: Neighbour): Promise<void> {
  const state = neighbour.permanent === false ? NUD_REACHABLE : NUD_PERMANENT;
  await socket.request({
    type: RTM.newNeighbour,
    flags: Flag.create | Flag.replace,
    payload: message(neighbour, state, true),
    operation: "replace neighbour",
    object: describe(neighbour),
  });
}

/** By device and address; False when it was not there. */
export async function deleteNeighbour(socket: RtnlSocket, neighbour: Neighbour): Promise<boolean> {
  try {
    await socket.request({
      type: RTM.deleteNeighbour,
      payload: message(neighbour, 0, false),
      operation: "delete neighbour",
      object: describe(neighbour),
    });
    return true;
  } catch (error) {
    if (isErrno(error, constants.errno.ENOENT, constants.errno.ENODEV)) return false;
    throw error;
  }
}

function describe(neighbour: Neighbour): string {
  return `${neighbour.address} dev ifindex ${neighbour.ifindex}`;
}
