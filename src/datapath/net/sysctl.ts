import { readFileSync, writeFileSync } from "node:fs";
import { DatapathError } from "../errors.ts";

const ROOT = "/proc/sys/net";

/**
 * Path of a key below /proc/sys/net. With a slash in it, slashes separate, so that an interface's name may
 * contain dots; otherwise dots do.
 * @throws DatapathError INVALID_ARGUMENT for what would lead elsewhere
 */
export function sysctlPath(key: string): string {
  const parts = key.split(key.includes("/") ? "/" : ".");
  if (parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"))) {
    throw new DatapathError({
      operation: "name sysctl",
      object: JSON.stringify(key),
      detail: 'want a key such as "ipv4.ip_forward" or "ipv4/conf/lxc1/rp_filter"',
      status: "INVALID_ARGUMENT",
    });
  }
  return [ROOT, ...parts].join("/");
}

/** Value without its newline. Of the namespace that the thread is in. @throws DatapathError */
export function readSysctl(key: string): string {
  const path = sysctlPath(key);
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch (cause) {
    throw failure("read sysctl", key, cause);
  }
}

/** In the namespace that the thread is in. @throws DatapathError */
export function writeSysctl(key: string, value: string): void {
  const path = sysctlPath(key);
  try {
    writeFileSync(path, value);
  } catch (cause) {
    throw failure(`write ${JSON.stringify(value)} to sysctl`, key, cause);
  }
}

function failure(operation: string, key: string, cause: unknown): DatapathError {
  const errno = (cause as NodeJS.ErrnoException).errno;
  return new DatapathError({
    operation,
    object: key,
    cause,
    ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
  });
}
