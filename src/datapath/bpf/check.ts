/** Turns what C functions return into values or `DatapathError`s. */
import { DatapathError } from "../errors.ts";
import { errno } from "./ffi/libraries.ts";

/**
 * A libbpf result: zero or positive is passed on, a negative errno is thrown.
 * @throws DatapathError
 */
export function checked(result: number, operation: string, object: string, detail?: string): number {
  if (result >= 0) return result;
  throw new DatapathError({ operation, object, errno: -result, ...(detail === undefined ? {} : { detail }) });
}

/**
 * A result of the C library, which returns -1 and leaves the reason in errno. Must be called straight
 * after the function, before anything else can change errno.
 * @throws DatapathError
 */
export function checkedErrno(result: number, operation: string, object: string): number {
  if (result !== -1) return result;
  throw new DatapathError({ operation, object, errno: errno() });
}

/** @throws DatapathError when `actual` bytes were given where `expected` are needed. */
export function checkSize(what: string, object: string, actual: number, expected: number): void {
  if (actual === expected) return;
  throw new DatapathError({
    operation: `use ${what} of`,
    object,
    detail: `${actual} bytes given, ${expected} needed`,
    status: "INVALID_ARGUMENT",
  });
}
