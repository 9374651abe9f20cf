/** The system calls that moving between network namespaces needs and Node.js lacks. */
import koffi, { type KoffiFunc } from "koffi";

const libc = koffi.load("libc.so.6");

/** setns(2). On the calling thread only. */
export const setns: (fd: number, type: number) => number = libc.func("setns", "int", ["int", "int"]);

/** socket(2). */
export const socket: (domain: number, type: number, protocol: number) => number = libc.func("socket", "int", [
  "int",
  "int",
  "int",
]);

const sendFunction = libc.func("send", "long", ["int", "void *", "size_t", "int"]) as KoffiFunc<
  (fd: number, data: Buffer, size: number, flags: number) => number
>;

/** send(2) on a worker thread: what it takes meanwhile is not taken from the event loop. `data` must not change. */
export function sendAside(fd: number, data: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    sendFunction.async(fd, data, data.length, 0, (error: Error | null, result: number) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}

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
