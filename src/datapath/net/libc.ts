/** The system calls that moving between network namespaces needs and Node.js lacks. */
import koffi from "koffi";

const libc = koffi.load("libc.so.6");

/** setns(2). On the calling thread only. */
export const setns: (fd: number, type: number) => number = libc.func("setns", "int", ["int", "int"]);

/** socket(2). */
export const socket: (domain: number, type: number, protocol: number) => number = libc.func("socket", "int", [
  "int",
  "int",
  "int",
]);

/** setsockopt(2). */
export const setsockopt: (
  fd: number,
  level: number,
  option: number,
  value: Buffer,
  length: number,
) => number = libc.func("setsockopt", "int", ["int", "int", "int", "void *", "uint32"]);

/** getsockopt(2). `length` is a `socklen_t`: room given, then bytes written. */
export const getsockopt: (
  fd: number,
  level: number,
  option: number,
  value: Buffer,
  length: Buffer,
) => number = libc.func("getsockopt", "int", ["int", "int", "int", "void *", "void *"]);

/** errno of this thread's last call. Read it before any other call. */
export function errno(): number {
  return koffi.errno();
}

/** CLONE_NEWNET of linux/sched.h. */
export const CLONE_NEWNET = 0x40000000;
