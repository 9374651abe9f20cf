import { DatapathError } from "../errors.ts";

/** True for a name that the kernel takes as it is: IFNAMSIZ with its NUL is 16, and "%" would be numbered. */
export function isLinkName(name: string): boolean {
  return Buffer.byteLength(name) < 16 && /^[^/:%\s\0]+$/.test(name) && name !== "." && name !== "..";
}

/** @throws DatapathError INVALID_ARGUMENT */
export function checkLinkName(operation: string, name: string): void {
  if (isLinkName(name)) return;
  throw new DatapathError({
    operation,
    object: JSON.stringify(name),
    detail: 'want 1 to 15 bytes without "/", ":", "%" or spaces',
    status: "INVALID_ARGUMENT",
  });
}
