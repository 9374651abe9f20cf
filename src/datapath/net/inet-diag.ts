/** Sockets of a namespace over sock_diag (include/uapi/linux/sock_diag.h, inet_diag.h). */
import { constants } from "node:os";
import { ipFromBytes, ipv4FromBytes } from "../address.ts";
import { DatapathError } from "../errors.ts";
import type { UdpSocket } from "../types.ts";
import { isErrno } from "./links.ts";
import type { RtnlSocket } from "./socket.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_UDP = 17;
/** A connected socket of UDP is "established" (net/ipv4/udp.c). */
const TCP_ESTABLISHED = 1;

/** `struct inet_diag_req_v2`: family, protocol, extensions, states, then the socket's id. */
const REQUEST = 8;
/** `struct inet_diag_msg`: family, state, timer, then the socket's id. */
const ID_OFFSET = 4;
/** `struct inet_diag_sockid`. */
const ID = { size: 48, remotePort: 2, remote: 20, cookie: 40 } as const;

const MAPPED_PREFIX = Buffer.from("00000000000000000000ffff", "hex");

function request(family: number, id: Buffer): Buffer {
  const header = Buffer.alloc(REQUEST);
  header.writeUInt8(family, 0);
  header.writeUInt8(IPPROTO_UDP, 1);
  header.writeUInt32LE(1 << TCP_ESTABLISHED, 4);
  return Buffer.concat([header, id]);
}

/** See `NetOps.connectedUdpSockets`. @throws DatapathError */
export async function listConnectedUdp(socket: RtnlSocket): Promise<readonly UdpSocket[]> {
  const sockets: UdpSocket[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const parts = await socket.dump({
      type: SOCK_DIAG_BY_FAMILY,
      payload: request(family, Buffer.alloc(ID.size)),
      operation: "list",
      object: "sockets of UDP",
    });
    sockets.push(...parts.map(parseSocket).filter((one) => one !== undefined));
  }
  return sockets;
}

/** See `NetOps.abortUdpSocket`. @throws DatapathError */
export async function abortUdp(socket: RtnlSocket, { id, remoteAddress }: UdpSocket): Promise<boolean> {
  try {
    await socket.request({
      type: SOCK_DESTROY,
      payload: request(id.readUInt8(0), id.subarray(1)),
      operation: "abort",
      object: `socket of UDP to ${remoteAddress}`,
    });
    return true;
  } catch (error) {
    // ESTALE: the place was taken by another socket.
    if (isErrno(error, constants.errno.ENOENT) || isErrno(error, constants.errno.ESTALE)) return false;
    throw error;
  }
}

function parseSocket(payload: Buffer): UdpSocket | undefined {
  const end = ID_OFFSET + ID.size;
  if (payload.length < end) {
    throw new DatapathError({
      operation: "parse",
      object: "description of a socket",
      detail: `${payload.length} bytes`,
    });
  }
  const family = payload.readUInt8(0);
  const id = payload.subarray(ID_OFFSET, end);
  const remotePort = id.readUInt16BE(ID.remotePort);
  if (remotePort === 0) return undefined;
  return {
    id: Buffer.concat([Buffer.from([family]), id]),
    cookie: id.readBigUInt64LE(ID.cookie),
    remoteAddress: addressOf(family, id.subarray(ID.remote, ID.remote + 16)),
    remotePort,
  };
}

/** A socket of IPv6 that speaks IPv4 has a mapped address (RFC 4291, 2.5.5.2). */
function addressOf(family: number, bytes: Buffer): string {
  if (family === AF_INET) return ipv4FromBytes(bytes);
  const mapped = bytes.subarray(0, MAPPED_PREFIX.length).equals(MAPPED_PREFIX);
  return mapped ? ipv4FromBytes(bytes, MAPPED_PREFIX.length) : ipFromBytes(bytes);
}
