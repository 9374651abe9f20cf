/** The two shared libraries the datapath calls. Everything else in this folder declares their functions. */
import koffi, { type KoffiFunc, type LibraryHandle, type TypeObject } from "koffi";
import { DatapathError } from "../../errors.ts";

type CType = string | TypeObject;
type Bound = KoffiFunc<(...values: unknown[]) => unknown>;

/** A shared library whose functions can be declared before it is there. */
export interface Library {
  /**
   * Declares a C function; `F` is its TypeScript signature. The library is loaded at the first call of any of
   * its functions, so that importing the datapath needs no libbpf where only its fake is used.
   */
  func<F>(name: string, result: CType, parameters: readonly CType[]): F;
}

function lazyLibrary(file: string): Library {
  let handle: LibraryHandle | undefined;
  return {
    func<F>(name: string, result: CType, parameters: readonly CType[]): F {
      let bound: Bound | undefined;
      const bind = (): Bound => {
        handle ??= loadLibrary(file);
        return handle.func(name, result, [...parameters]);
      };
      const call = (...values: unknown[]): unknown => {
        bound ??= bind();
        return bound(...values);
      };
      const async = (...values: unknown[]): unknown => {
        bound ??= bind();
        return (bound.async as (...all: unknown[]) => unknown)(...values);
      };
      return Object.assign(call, { async }) as F;
    },
  };
}

function loadLibrary(file: string): LibraryHandle {
  try {
    return koffi.load(file);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const operation = "load shared library";
    throw new DatapathError({ operation, object: file, detail, cause: error, status: "FAILED_PRECONDITION" });
  }
}

/**
 * libbpf 1.x; the major version in the file name is the ABI's. Since 1.0 it is always "strict": integers are
 * negative errnos on failure, pointers are NULL with the reason in errno.
 */
export const libbpf: Library = lazyLibrary("libbpf.so.1");

export const libc: Library = lazyLibrary("libc.so.6");

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
