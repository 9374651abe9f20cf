// What this machine lets us do. Asked before a world is built, so that the answer is a sentence and not a stack.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKernelDatapath, MapType } from "../datapath/index.ts";
import { CommandError, run } from "./command.ts";

/** What may be done here; reasons are for people. */
export interface Capabilities {
  /** Network namespaces can be made. */
  readonly namespaces: { readonly ok: boolean; readonly reason: string };
  /** BPF maps can be made, and a bpffs be mounted to pin them on. */
  readonly bpf: { readonly ok: boolean; readonly reason: string };
}

const yes = { ok: true, reason: "" } as const;
const no = (reason: string) => ({ ok: false, reason }) as const;

/** Makes a named one, as worlds do: containers often permit namespaces, but not the mount that a name takes. */
async function namespaces(): Promise<Capabilities["namespaces"]> {
  const name = `wgprobe${randomBytes(4).toString("hex")}`;
  try {
    await run(["ip", "netns", "add", name]);
    await run(["ip", "netns", "delete", name]);
    return yes;
  } catch (error) {
    return no(error instanceof CommandError ? error.message : String(error));
  }
}

/** Makes a one-entry map, and mounts a bpffs in a mount namespace that ends with the attempt. */
async function bpf(): Promise<Capabilities["bpf"]> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-probe-"));
  try {
    const datapath = createKernelDatapath({ cacheDir: directory });
    try {
      datapath.bpf
        .createMap({ name: "waggle_probe", type: MapType.array, keySize: 4, valueSize: 4, maxEntries: 1 })
        .close();
    } finally {
      datapath.close();
    }
    await run(["unshare", "--mount", "mount", "-t", "bpf", "bpf", directory]);
    return yes;
  } catch (error) {
    return no((error instanceof Error ? error.message : String(error)).split("\n")[0]!);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Finds out what is permitted. Takes some 50 ms and leaves nothing behind. */
export async function probeCapabilities(): Promise<Capabilities> {
  if (process.getuid?.() !== 0) {
    const reason = "not root: run it as root, or in a privileged container";
    return { namespaces: no(reason), bpf: no(reason) };
  }
  const [mayNamespaces, mayBpf] = await Promise.all([namespaces(), bpf()]);
  return { namespaces: mayNamespaces, bpf: mayBpf };
}
