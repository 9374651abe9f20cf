import { existsSync, readdirSync, statSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { endpointAttachment, podPrograms } from "../cells/hook-linker/attachment-names.ts";
import { hostDeviceName, overlayDeviceName } from "../cells/node-config/own-devices.ts";
import { routeProtocol } from "../cells/node-config/routes.ts";
import { ownCgroupMount } from "../cells/socket-lb/index.ts";
import { createKernelDatapath, type Datapath } from "../datapath/index.ts";
import { devicesMap } from "../datapath/maps/index.ts";
import type { CleanupRequest, Step, Trace } from "./types.ts";

/** Directories of pins that an agent makes below its root. */
const pinDirectories = ["attachments", "sockets", "policy", "plugins", "globals"] as const;

/** Files that the kernel itself puts into every bpffs (kernel/bpf/preload). */
const kernelMade: readonly string[] = ["maps.debug", "progs.debug"];

const listed = (directory: string): readonly string[] =>
  existsSync(directory) ? readdirSync(directory) : [];

/** A device that an agent makes, with the kind that tells it from another one of that name. */
interface MadeDevice {
  readonly name: string;
  readonly kind: "veth" | "vxlan";
}

/** "lxc-12" → the devices an agent makes for it; none for devices that were there before. */
function madeDevices({ attachment, device }: Trace): readonly MadeDevice[] {
  const endpoint = /^lxc-(\d+)$/.exec(attachment);
  if (endpoint !== null) return device === `lxc${endpoint[1]}` ? [{ name: device, kind: "veth" }] : [];
  if (attachment !== `host-${hostDeviceName}`) return [];
  return [
    { name: hostDeviceName, kind: "veth" },
    { name: overlayDeviceName, kind: "vxlan" },
  ];
}

/** Pods' devices by the pinned map that leads packets from them to their endpoints. */
async function podTraces(bpfRoot: string, datapath: Datapath): Promise<readonly Trace[]> {
  const path = join(bpfRoot, "globals", devicesMap.name);
  const map = existsSync(path) ? datapath.bpf.openPinnedMap(path) : undefined;
  if (map === undefined) return [];
  try {
    const traces: Trace[] = [];
    for (const [ifindex, id] of await datapath.bpf.typed(map, devicesMap).entries()) {
      const device = (await datapath.net.linkByIndex(ifindex))?.name;
      // Which of them it is, its filters tell.
      if (device !== undefined) traces.push({ attachment: endpointAttachment(id), device, mode: "clsact" });
    }
    return traces;
  } finally {
    map.close();
  }
}

/** Attachments by the state, and those that only their pins tell of. */
async function allTraces(
  bpfRoot: string,
  known: readonly Trace[],
  datapath: Datapath,
): Promise<readonly Trace[]> {
  const state = new Set(known.map(({ attachment }) => attachment));
  const pods = (await podTraces(bpfRoot, datapath)).filter(({ attachment }) => !state.has(attachment));
  const names = new Set([...state, ...pods.map(({ attachment }) => attachment), podPrograms]);
  const pinned = listed(join(bpfRoot, "attachments"))
    .filter((name) => !names.has(name))
    .map((attachment) => ({
      attachment,
      device: attachment.replace(/^lxc-/, "lxc").replace(/^(netdev|host|overlay)-/, ""),
      mode: undefined,
    }));
  return [...known, ...pods, ...pinned];
}

async function removeFilters(datapath: Datapath, traces: readonly Trace[], step: Step): Promise<void> {
  for (const { device, attachment, mode } of traces) {
    // TCX links end with their pins; filters belong to the device and stay.
    if (mode !== "clsact") continue;
    const link = await datapath.net.linkByName(device);
    if (link === undefined) continue;
    for (const direction of ["ingress", "egress"] as const) {
      const spec = { ifindex: link.ifindex, direction, mode, pinPath: join("/", attachment) };
      const found = datapath.bpf.openAttachment(spec);
      if (found !== undefined)
        await step({ kind: "filter", name: `${direction} of ${device}` }, () => found.detach());
    }
  }
}

async function removeDevices(datapath: Datapath, traces: readonly Trace[], step: Step): Promise<void> {
  for (const { name, kind } of traces.flatMap(madeDevices)) {
    const link = await datapath.net.linkByName(name);
    // A device of another kind has the name by chance.
    if (link?.kind !== kind) continue;
    await step({ kind: "device", name }, async () => void (await datapath.net.deleteLink(link.ifindex)));
  }
}

/** Those over devices that an agent has not made, as to the pods of other nodes in native routing. */
async function removeRoutes(datapath: Datapath, step: Step): Promise<void> {
  for (const route of await datapath.net.routes()) {
    if (route.protocol !== routeProtocol) continue;
    await step(
      { kind: "route", name: route.destination },
      async () => void (await datapath.net.deleteRoute(route)),
    );
  }
}

/** True when something is mounted exactly there. */
const isMountPoint = (path: string): boolean => statSync(path).dev !== statSync(dirname(path)).dev;

async function removePins(
  { bpfRoot, dryRun }: CleanupRequest,
  datapath: Datapath,
  step: Step,
): Promise<void> {
  if (!existsSync(bpfRoot)) return;
  for (const name of pinDirectories.filter((one) => existsSync(join(bpfRoot, one)))) {
    const path = join(bpfRoot, name);
    // bpffs keeps no sizes and no links out: a plain recursive removal unpins everything in it.
    await step({ kind: "pins", name: path }, () => rm(path, { recursive: true, force: true }));
  }
  const foreign = listed(bpfRoot)
    .filter((name) => !kernelMade.includes(name))
    .filter((name) => !dryRun || !pinDirectories.some((own) => own === name));
  if (foreign.length > 0) return;
  if (isMountPoint(bpfRoot))
    await step({ kind: "mount", name: bpfRoot }, () => datapath.bpf.unmountBpffs(bpfRoot));
  if (dryRun || !isMountPoint(bpfRoot))
    await step({ kind: "directory", name: bpfRoot }, () => rmdir(bpfRoot));
}

/** Unmounts the agent's own cgroup2 hierarchy. The machine's groups are behind it: nothing in it may be removed. */
async function removeCgroupMount(
  { stateDir }: CleanupRequest,
  datapath: Datapath,
  step: Step,
): Promise<void> {
  const path = ownCgroupMount(stateDir);
  if (!existsSync(path)) return;
  if (isMountPoint(path)) await step({ kind: "mount", name: path }, () => datapath.bpf.unmountCgroup2(path));
  await step({ kind: "directory", name: path }, () => rmdir(path));
}

/** Removes filters, routes, devices, pins and mounts. Nothing happens where neither state nor pins speak of an agent. */
export async function cleanKernel(
  request: CleanupRequest,
  known: readonly Trace[],
  step: Step,
): Promise<void> {
  const pinned = pinDirectories.some((name) => existsSync(join(request.bpfRoot, name)));
  if (known.length === 0 && !pinned && !existsSync(ownCgroupMount(request.stateDir))) return;
  const datapath = createKernelDatapath({ cacheDir: tmpdir() });
  try {
    const traces = await allTraces(request.bpfRoot, known, datapath);
    await removeFilters(datapath, traces, step);
    await removeRoutes(datapath, step);
    await removeDevices(datapath, traces, step);
    await removePins(request, datapath, step);
    await removeCgroupMount(request, datapath, step);
  } finally {
    datapath.close();
  }
}
