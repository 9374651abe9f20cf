import { closeSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import { errno, getsockopt, socket } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;
const COOKIE_BYTES = 8;

/** Cookie of the network namespace that the thread is in (Linux 5.14). @throws DatapathError */
export function readNetnsCookie(): bigint {
  // Any socket knows its namespace.
  const fd = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw failure();
  try {
    const cookie = Buffer.alloc(COOKIE_BYTES);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(COOKIE_BYTES);
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, length) !== 0) throw failure();
    return cookie.readBigUInt64LE();
  } finally {
    closeSync(fd);
  }
}

function failure(): DatapathError {
  return new DatapathError({
    operation: "read SO_NETNS_COOKIE of",
    object: "network namespace",
    errno: errno(),
  });
}
