/** The BPF file system: mounting it, and the directories and pins in it. */
import { lstatSync, mkdirSync, readdirSync, rmdirSync, rmSync, statfsSync, unlinkSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import { checkedErrno } from "./check.ts";
import { mount, umount2 } from "./ffi/libc.ts";

/** `BPF_FS_MAGIC` (include/uapi/linux/magic.h). */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Where systemd mounts the bpffs; sysfs around it takes no directories. */
const STANDARD_MOUNT = "/sys/fs/bpf";

/**
 * Makes `path` a directory on a bpffs. Where there is none yet, one is mounted: at /sys/fs/bpf for paths below
 * that, otherwise at `path` itself. True when this call mounted it.
 * @throws DatapathError
 */
export function ensureBpffs(path: string): boolean {
  const standard = path === STANDARD_MOUNT || path.startsWith(`${STANDARD_MOUNT}/`);
  if (standard && !isBpffs(STANDARD_MOUNT)) {
    mountBpffs(STANDARD_MOUNT);
    makePinDirectory(path);
    return true;
  }
  makePinDirectory(path);
  if (isBpffs(path)) return false;
  mountBpffs(path);
  return true;
}

function mountBpffs(path: string): void {
  checkedErrno(mount("bpf", path, "bpf", 0n, "mode=0700"), "mount bpffs at", path);
}

/** Unmounts the bpffs at `path`; a path that has none is no error. Pins in it end with it. @throws DatapathError */
export function unmountBpffs(path: string): void {
  if (!isBpffs(path)) return;
  checkedErrno(umount2(path, 0), "unmount bpffs at", path);
}

function isBpffs(path: string): boolean {
  try {
    // Node.js gives the magic number as a signed word on some platforms.
    return statfsSync(path).type >>> 0 === BPF_FS_MAGIC;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw DatapathError.from(error, "look at", path);
  }
}

/** Creates the directory and those above it. @throws DatapathError */
export function makePinDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw DatapathError.from(error, "create directory", path);
  }
}

/** Names in the directory, sorted; none when it does not exist. @throws DatapathError */
export function listPins(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw DatapathError.from(error, "list pins in", directory);
  }
}

/** Removes a pin or a directory: an empty one, unless `recursive`. Absent is no error. @throws DatapathError */
export function unpin(path: string, recursive = false): void {
  try {
    if (recursive) rmSync(path, { recursive: true, force: true });
    else if (lstatSync(path).isDirectory()) rmdirSync(path);
    else unlinkSync(path);
  } catch (error) {
    if (isAbsent(error)) return;
    throw DatapathError.from(error, "remove pin", path);
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
