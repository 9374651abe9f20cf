/** The cgroup2 file system: finding it, and mounting one where there is none. */
import { mkdirSync, readFileSync, statfsSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import { checkedErrno } from "./check.ts";
import { mount, umount2 } from "./ffi/libc.ts";

/** `CGROUP2_SUPER_MAGIC` (include/uapi/linux/magic.h). */
const CGROUP2_MAGIC = 0x63677270;

/**
 * Mount point of the whole cgroup2 hierarchy. Hybrid machines have it in a corner (/sys/fs/cgroup/unified) beside the
 * controllers of the first version. Bind mounts of a part of it, as containers have, do not count: a program attached
 * there would miss everybody else's sockets. Undefined when there is none.
 * @throws DatapathError
 */
export function findCgroup2(): string | undefined {
  try {
    return cgroup2Mounts(readFileSync("/proc/self/mountinfo", "utf8"))[0];
  } catch (error) {
    throw DatapathError.from(error, "read", "/proc/self/mountinfo");
  }
}

/**
 * Mount points of whole cgroup2 hierarchies, shortest first.
 * @param mountinfo as in proc(5): id, parent, device, root, mount point, options, optional fields, "-", type, …
 */
export function cgroup2Mounts(mountinfo: string): readonly string[] {
  const points: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const [place = "", type = ""] = line.split(" - ");
    const [, , , root, point] = place.split(" ");
    if (type.startsWith("cgroup2 ") && root === "/" && point !== undefined) points.push(unquote(point));
  }
  return points.sort((a, b) => a.length - b.length);
}

/** Spaces and the like are written in octal. */
function unquote(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** Makes `path` a mount of cgroup2, if it is none yet. True when this call mounted it. @throws DatapathError */
export function ensureCgroup2(path: string): boolean {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw DatapathError.from(error, "create directory", path);
  }
  if (isCgroup2(path)) return false;
  checkedErrno(mount("none", path, "cgroup2", 0n, null), "mount cgroup2 at", path);
  return true;
}

/** Unmounts what `ensureCgroup2` mounted; a path that has none is no error. @throws DatapathError */
export function unmountCgroup2(path: string): void {
  if (isCgroup2(path)) checkedErrno(umount2(path, 0), "unmount cgroup2 at", path);
}

/** @throws DatapathError unless the path is a group on a cgroup2 */
export function requireCgroup2(path: string): void {
  if (isCgroup2(path)) return;
  throw new DatapathError({
    operation: "use control group",
    object: path,
    detail: "there is no such group on a cgroup2",
    status: "FAILED_PRECONDITION",
  });
}

function isCgroup2(path: string): boolean {
  try {
    return statfsSync(path).type >>> 0 === CGROUP2_MAGIC;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw DatapathError.from(error, "look at", path);
  }
}
