import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setsockopt } from "./libc.ts";

const SOL_NETLINK = 270;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/**
 * Asks the kernel for its own words in errors ("Nexthop has invalid gateway"), and to honour the filters
 * of dump requests. The netlink package does not show its sockets' descriptors, so the socket is found by
 * its port: /proc lists the inodes of netlink sockets by port, and the inode of each descriptor.
 * Without either option everything works all the same, with fewer words; so there is no error.
 *
 * @param port the socket's own, in the thread's current network namespace
 */
export function requestExtendedAcks(port: number): void {
  const fd = descriptorOf(port);
  if (fd === undefined) return;
  const one = Buffer.from([1, 0, 0, 0]);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, one, one.length);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, one, one.length);
}

function descriptorOf(port: number): number | undefined {
  const inode = inodeOf(port);
  if (inode === undefined) return undefined;
  for (const name of readdirSync("/proc/self/fd")) {
    if (linkTarget(`/proc/self/fd/${name}`) === `socket:[${inode}]`) return Number(name);
  }
  return undefined;
}

/** Columns: sk, Eth (protocol), Pid (port), Groups, Rmem, Wmem, Dump, Locks, Drops, Inode. */
function inodeOf(port: number): string | undefined {
  for (const line of readFileSync("/proc/thread-self/net/netlink", "utf8").split("\n")) {
    const columns = line.trim().split(/\s+/);
    if (columns[1] === "0" && columns[2] === String(port)) return columns[9];
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
