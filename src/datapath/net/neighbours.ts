import { constants } from "node:os";
import { ipBytes, ipFromBytes, macBytes, macFromBytes } from "../address.ts";
import type { Neighbour } from "../types.ts";
import { addressFamily } from "./addresses.ts";
import { isErrno } from "./links.ts";
import { attribute, Flag, parseAttributes } from "./message.ts";
import type { RtnlSocket } from "./socket.ts";

const RTM = { newNeighbour: 28, deleteNeighbour: 29, getNeighbour: 30 } as const;
/** NDA_* and NUD_* of include/uapi/linux/neighbour.h. */
const Nda = { destination: 1, mac: 2, protocol: 12 } as const;
const NUD_REACHABLE = 0x02;
const NUD_FAILED = 0x20;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NDMSG = 12;

/** @param extra attributes besides the address */
function message(neighbour: Neighbour, state: number, extra: readonly Buffer[] = []): Buffer {
  const header = Buffer.alloc(NDMSG);
  header.writeUInt8(addressFamily(neighbour.address), 0);
  header.writeInt32LE(neighbour.ifindex, 4);
  header.writeUInt16LE(state, 8);
  return Buffer.concat([header, attribute(Nda.destination, ipBytes(neighbour.address)), ...extra]);
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
  const protocol = attributes.get(Nda.protocol)?.readUInt8();
  if (address === undefined || mac?.length !== 6 || (state & (NUD_FAILED | NUD_NOARP)) !== 0)
    return undefined;
  return {
    ifindex: payload.readInt32LE(4),
    address: ipFromBytes(address),
    mac: macFromBytes(mac),
    permanent: (state & NUD_PERMANENT) !== 0,
    ...(protocol === undefined ? {} : { protocol }),
  };
}

/**
 * Creates or replaces; without a protocol that of an entry there stays. Not permanent ones begin as reachable and age as
 * usual.
 */
export async function replaceNeighbour(socket: RtnlSocket, neighbour: Neighbour): Promise<void> {
  const state = neighbour.permanent === false ? NUD_REACHABLE : NUD_PERMANENT;
  const { mac, protocol } = neighbour;
  const extra = [
    attribute(Nda.mac, macBytes(mac)),
    ...(protocol === undefined ? [] : [attribute(Nda.protocol, Buffer.from([protocol]))]),
  ];
  await socket.request({
    type: RTM.newNeighbour,
    flags: Flag.create | Flag.replace,
    payload: message(neighbour, state, extra),
    operation: "replace neighbour",
    object: describe(neighbour),
  });
}

/** By device and address; False when it was not there. */
export async function deleteNeighbour(socket: RtnlSocket, neighbour: Neighbour): Promise<boolean> {
  try {
    await socket.request({
      type: RTM.deleteNeighbour,
      payload: message(neighbour, 0),
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
