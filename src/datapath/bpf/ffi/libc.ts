/** The C library: descriptors, mounts, and what has no function of its own in Node.js. */
import { libc, type Pointer } from "./libraries.ts";

export const close: (fd: number) => number = libc.func("close", "int", ["int"]);

/** `fcntl(fd, cmd, int)`: the variadic third argument of all commands used here is an int. */
export const fcntl: (fd: number, command: number, _type: "int", argument: number) => number = libc.func(
  "fcntl",
  "int",
  ["int", "int", "..."],
);

export const mount: (
  source: string,
  target: string,
  type: string,
  flags: bigint,
  data: string | null,
) => number = libc.func("mount", "int", ["str", "str", "str", "ulong", "str"]);

export const umount2: (target: string, flags: number) => number = libc.func("umount2", "int", ["str", "int"]);

export const vsnprintf: (
  into: Buffer,
  size: number,
  format: Pointer<"char">,
  args: Pointer<"va_list">,
) => number = libc.func("vsnprintf", "int", ["void *", "size_t", "void *", "void *"]);

/** `F_DUPFD_CLOEXEC` of fcntl.h. */
export const F_DUPFD_CLOEXEC = 1030;
