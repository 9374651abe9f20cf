// The directory of a world. Each node in it has state, a socket, a log, and a bpffs of its own, so that agents cannot
// see each other's pins.

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./command.ts";
import type { Undo } from "./undo.ts";

/** Where a node keeps its files. */
export interface Scratch {
  readonly directory: string;
  readonly stateDir: string;
  /** Mount point of the node's bpffs; an empty directory where BPF is not used. */
  readonly bpfRoot: string;
  readonly socket: string;
  readonly log: string;
}

/** Longest path of a Unix socket (sun_path, unix(7)), its terminating zero left out. */
const socketPathLimit = 107;

/** Undoes the escapes of /proc/self/mountinfo (proc(5)): \040 for a space and the like. */
const unescapeMount = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Mount points at or below `directory`, deepest first. */
export function mountsBelow(directory: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => unescapeMount(line.split(" ")[4] ?? ""))
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .sort((a, b) => b.length - a.length);
}

/** Makes the directory of a world. */
export async function makeDirectory(id: string, undo: Undo): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `waggle-${id}-`));
  undo.add(`directory ${directory}`, () => rm(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * Lays out what a node keeps in `directory`, and mounts a bpffs there when `bpf` is wanted.
 * @throws CommandError when it may not; Error when the directory's path is too long for a socket
 */
export async function makeScratch(directory: string, bpf: boolean, undo: Undo): Promise<Scratch> {
  const scratch: Scratch = {
    directory,
    stateDir: join(directory, "state"),
    bpfRoot: join(directory, "bpf"),
    socket: join(directory, "waggle.sock"),
    log: join(directory, "agent.log"),
  };
  if (Buffer.byteLength(scratch.socket) > socketPathLimit) {
    throw new Error(
      `${scratch.socket} is too long for a Unix socket (${socketPathLimit} bytes): set TMPDIR to a shorter directory`,
    );
  }
  await mkdir(scratch.stateDir, { recursive: true });
  await mkdir(scratch.bpfRoot);
  if (bpf) {
    undo.add(`bpffs ${scratch.bpfRoot}`, async () => {
      for (const point of mountsBelow(directory)) await run(["umount", point]);
    });
    await run(["mount", "-t", "bpf", "-o", "mode=700", "bpf", scratch.bpfRoot]);
  }
  return scratch;
}

/** Mounts a file system in memory, of so many bytes at most, in a directory that it makes. @throws CommandError */
export async function mountMemory(directory: string, bytes: number, undo: Undo): Promise<void> {
  await mkdir(directory);
  undo.add(`memory ${directory}`, async () => {
    for (const point of mountsBelow(directory)) await run(["umount", point]);
  });
  await run(["mount", "-t", "tmpfs", "-o", `mode=700,size=${bytes}`, "waggle-etcd", directory]);
}

/** Removes the directory at once, for a process that is about to exit. */
export function removeScratchNow(directory: string): void {
  for (const point of mountsBelow(directory)) execFileSync("umount", ["--lazy", point], { stdio: "ignore" });
  rmSync(directory, { recursive: true, force: true });
}
