/** The two shared libraries the datapath calls. Everything else in this folder declares their functions. */
import koffi, { type LibraryHandle } from "koffi";

/** libbpf 1.x; the major version in the file name is the ABI's. */
export const libbpf: LibraryHandle = koffi.load("libbpf.so.1");

export const libc: LibraryHandle = koffi.load("libc.so.6");

/**
 * A C pointer. koffi hands pointers over as untyped BigInts; the brand keeps a `bpf_map *` from being
 * passed where a `bpf_program *` belongs. `null` is NULL.
 */
export type Pointer<Name extends string> = bigint & { readonly __pointee: Name };

/** Memory of JavaScript's given to C for the duration of a call. */
export type Memory = Buffer | null;

/** errno of the calling thread as left by the last C function called. Read it before any other call. */
export function errno(): number {
  return koffi.errno();
}
