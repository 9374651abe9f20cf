/** Reading C's memory. */
import { libc, type Pointer } from "./libraries.ts";

const memcpy: (into: Buffer, from: Pointer<string>, size: number) => unknown = libc.func("memcpy", "void *", [
  "void *",
  "void *",
  "size_t",
]);

/** Copies `size` bytes out of C's memory. A view would dangle as soon as C frees or reuses it. */
export function copyFrom(pointer: Pointer<string>, size: number): Buffer {
  const copy = Buffer.allocUnsafe(size);
  if (size > 0) memcpy(copy, pointer, size);
  return copy;
}
