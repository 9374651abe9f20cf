/**
 * Options of netlink sockets that the netlink package does not know. It does not show its sockets' descriptors
 * either, so a socket is found by its port: /proc lists the inodes of netlink sockets by port, and the inode of each
 * descriptor.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import { errno, getsockopt, setsockopt } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_MEMINFO = 55;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** SK_MEMINFO_VARS and SK_MEMINFO_DROPS of include/uapi/linux/sock_diag.h: 32-bit counters, drops last. */
const MEMINFO_BYTES = 36;
const MEMINFO_DROPS = 32;

/**
 * Descriptor of this process's netlink socket.
 * @param port the socket's own, in the thread's current network namespace
 * @param protocol rtnetlink unless told otherwise: each has ports of its own
 * @throws DatapathError
 */
export function descriptorOf(port: number, protocol = 0): number {
  const inode = inodeOf(port, protocol);
  for (const name of inode === undefined ? [] : readdirSync("/proc/self/fd")) {
    if (linkTarget(`/proc/self/fd/${name}`) === `socket:[${inode}]`) return Number(name);
  }
  throw new DatapathError({
    operation: "find",
    object: `netlink socket ${port}`,
    detail: "/proc does not show it",
  });
}

/** Columns: sk, Eth (protocol), Pid (port), Groups, Rmem, Wmem, Dump, Locks, Drops, Inode. */
function inodeOf(port: number, protocol: number): string | undefined {
  for (const line of readFileSync("/proc/thread-self/net/netlink", "utf8").split("\n")) {
    const columns = line.trim().split(/\s+/);
    if (columns[1] === String(protocol) && columns[2] === String(port)) return columns[9];
  }
  return undefined;
}

/** The descriptor that lists the directory is gone by the time it is looked at. */
function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Asks the kernel for its own words in errors ("Nexthop has invalid gateway"), and to honour the filters of dump
 * requests. Old kernels have neither; everything works all the same, with fewer words.
 */
export function requestExtendedAcks(fd: number): void {
  set(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
}

/**
 * Gives the socket room for what comes while the event loop is busy, and keeps an overrun from being an error of the
 * socket: the netlink package would end the process. What was lost shows in `droppedMessages`.
 * @throws DatapathError
 */
export function prepareForOverruns(fd: number, receiveBytes: number): void {
  // Refused without CAP_NET_ADMIN in the first user namespace; the usual size does for most.
  set(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBytes);
  if (set(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)) return;
  throw new DatapathError({
    operation: "set NETLINK_NO_ENOBUFS of",
    object: "netlink socket",
    errno: errno(),
  });
}

/** Messages that did not fit into the socket's buffer since it was opened. @throws DatapathError */
export function droppedMessages(fd: number): number {
  const info = Buffer.alloc(MEMINFO_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(info.length);
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, length) === 0) return info.readUInt32LE(MEMINFO_DROPS);
  throw new DatapathError({ operation: "read SO_MEMINFO of", object: "netlink socket", errno: errno() });
}

function set(fd: number, level: number, option: number, value: number): boolean {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return setsockopt(fd, level, option, bytes, bytes.length) === 0;
}
