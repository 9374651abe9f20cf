import { existsSync, readFileSync } from "node:fs";
import { readdir, rm, rmdir, unlink } from "node:fs/promises";
import { createConnection } from "node:net";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endpointDevice } from "../cells/endpoints/device.ts";
import type { Endpoint } from "../cells/endpoints/types.ts";
import { endpointAttachment, podPrograms } from "../cells/hook-linker/attachment-names.ts";
import type { InstallRecord } from "../cells/loader/install-plan.ts";
import { ownCgroupMount } from "../cells/socket-lb/index.ts";
import { LmdbStateStore, StateLockedError } from "../cells/state/index.ts";
import { AgentRunningError, type CleanupRequest, type Step, type Trace } from "./types.ts";

const stateFile = "state.mdb";
/** What an agent puts into its state directory; anything else is not ours to remove. */
const ours = (name: string): boolean =>
  name === "cache" || name.startsWith(stateFile) || name.startsWith("agent.lock");

const stopTimeoutMs = 20_000;

/** True for a process that is an agent: its number may have passed on to another one meanwhile. */
function isAgent(pid: number): boolean {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return argv.includes("agent") && argv.some((word) => /(^|\/)(waggle|main\.[jt]s)$/.test(word));
  } catch {
    return false;
  }
}

async function lockHolder(stateDir: string): Promise<{ readonly pid: number | undefined } | undefined> {
  if (!existsSync(join(stateDir, "agent.lock"))) return undefined;
  const store = new LmdbStateStore(stateDir);
  try {
    await store.open();
    return undefined;
  } catch (error) {
    if (error instanceof StateLockedError) return { pid: error.pid };
    // Damaged state is nobody's: it is reported by inspectState.
    return undefined;
  } finally {
    await store.close();
  }
}

/** Makes sure that no agent runs. @throws AgentRunningError */
export async function stopAgent({ stateDir, force }: CleanupRequest): Promise<void> {
  const holder = await lockHolder(stateDir);
  if (holder === undefined) return;
  if (!force) throw new AgentRunningError(stateDir, holder.pid);
  const { pid } = holder;
  if (pid === undefined || !isAgent(pid)) {
    throw new AgentRunningError(
      stateDir,
      undefined,
      "it does not show among the processes here, so it cannot be stopped from here",
    );
  }
  process.kill(pid, "SIGTERM");
  const deadline = Date.now() + stopTimeoutMs;
  while (isAgent(pid)) {
    if (Date.now() > deadline)
      throw new AgentRunningError(stateDir, pid, `it did not stop within ${stopTimeoutMs} ms of SIGTERM`);
    await sleep(50);
  }
}

/** Reads which attachments there were. State that is damaged is no obstacle, but worth a word. */
export async function inspectState(
  stateDir: string,
): Promise<{ readonly traces: readonly Trace[]; readonly unreadable: string | undefined }> {
  if (!existsSync(join(stateDir, stateFile))) return { traces: [], unreadable: undefined };
  const store = new LmdbStateStore(stateDir);
  try {
    await store.open();
    const records = store.collection<InstallRecord>("attachments").all();
    const devices = records
      .map(({ key, value }) => ({ attachment: key, device: value.device, mode: value.mode }))
      // The programs of all pods have no device: those of each endpoint follow.
      .filter(({ device }) => device !== "");
    const mode = records.find(({ key }) => key === podPrograms)?.value.mode;
    const endpoints = store.collection<Endpoint>("endpoints").all();
    const pods = endpoints.map(({ value: { id, spec, hostInterface } }) => ({
      attachment: endpointAttachment(id),
      device: hostInterface || (spec.hostInterface ?? endpointDevice(id)),
      mode,
    }));
    return { traces: [...devices, ...pods], unreadable: undefined };
  } catch (error) {
    return { traces: [], unreadable: error instanceof Error ? error.message : String(error) };
  } finally {
    await store.close();
  }
}

const answers = (socket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = createConnection(socket);
    connection.once("connect", () => resolve(true)).once("error", () => resolve(false));
    connection.once("connect", () => connection.destroy());
  });

/** Removes the state directory's content and, when nothing else is in it, the directory; and a dead socket. */
export async function removeState({ stateDir, socket }: CleanupRequest, step: Step): Promise<void> {
  if (existsSync(socket) && !(await answers(socket))) {
    await step({ kind: "socket", name: socket }, () => unlink(socket));
  }
  if (!existsSync(join(stateDir, stateFile))) return;
  // The mount of control groups went with the kernel's things, or would go in a dry run.
  const mount = basename(ownCgroupMount(stateDir));
  const names = (await readdir(stateDir)).filter((name) => name !== mount);
  for (const name of names.filter(ours)) {
    const path = join(stateDir, name);
    const kind = name === "cache" ? "directory" : "file";
    await step({ kind, name: path }, () => rm(path, { recursive: true, force: true }));
  }
  if (names.every(ours)) await step({ kind: "directory", name: stateDir }, () => rmdir(stateDir));
}
