import { constants } from "node:os";
import { DatapathError } from "../errors.ts";

/** The kernel's own ENOTSUPP, which has no name in user space. */
export const ENOTSUPP = 524;

export type ErrnoName = keyof typeof constants.errno | "ENOTSUPP";

/** Positive number of an errno by name. */
function errnoNumber(name: ErrnoName): number {
  return name === "ENOTSUPP" ? ENOTSUPP : constants.errno[name];
}

/** The error that a failing system call becomes. */
export function failure(operation: string, object: string, errno: ErrnoName, detail?: string): DatapathError {
  return new DatapathError({
    operation,
    object,
    errno: errnoNumber(errno),
    ...(detail === undefined ? {} : { detail }),
  });
}
