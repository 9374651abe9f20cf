/** Sockets of the C library, for one synchronous rtnetlink question. */
import { libc } from "./libraries.ts";

export const socket: (domain: number, type: number, protocol: number) => number = libc.func("socket", "int", [
  "int",
  "int",
  "int",
]);

export const send: (fd: number, data: Buffer, size: number, flags: number) => number = libc.func(
  "send",
  "long",
  ["int", "void *", "size_t", "int"],
);

export const recv: (fd: number, data: Buffer, size: number, flags: number) => number = libc.func(
  "recv",
  "long",
  ["int", "void *", "size_t", "int"],
);

export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const NETLINK_ROUTE = 0;
