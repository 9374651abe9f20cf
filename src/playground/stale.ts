// Worlds whose process was killed outright could not take themselves down. The next one does.

import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./command.ts";
import { removeNamespace } from "./namespaces.ts";
import { mountsBelow } from "./scratch.ts";

const ownerFile = "owner";
const worldDirectory = /^waggle-(wg[0-9a-f]{6})-/;

/** Identifies a process beyond its number, which may be used again: number, start time (proc(5), field 22), pid namespace. */
function identify(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may hold anything.
    const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return `${pid} ${startTime} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return undefined;
  }
}

/** Notes in a world's directory whose it is. */
export function markOwner(directory: string): void {
  writeFileSync(join(directory, ownerFile), identify(process.pid) ?? "");
}

/** True when the owner is gone. Worlds of other pid namespaces are not ours to judge. */
function abandoned(directory: string): boolean {
  const file = join(directory, ownerFile);
  if (!existsSync(file)) return false;
  const owner = readFileSync(file, "utf8");
  if (!owner.endsWith(readlinkSync("/proc/self/ns/pid"))) return false;
  return identify(Number.parseInt(owner, 10)) !== owner;
}

/** Takes down worlds whose process is gone. Returns their ids. */
export async function removeAbandonedWorlds(): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of readdirSync(tmpdir())) {
    const id = worldDirectory.exec(name)?.[1];
    const directory = join(tmpdir(), name);
    if (id === undefined || !abandoned(directory)) continue;
    const namespaces = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
    for (const namespace of namespaces.filter((one) => one.startsWith(`${id}-`)))
      await removeNamespace(namespace);
    for (const point of mountsBelow(directory)) await run(["umount", point]);
    await rm(directory, { recursive: true, force: true });
    removed.push(id);
  }
  return removed;
}
