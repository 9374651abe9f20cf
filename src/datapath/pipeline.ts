/**
 * The static shape of the datapath in `bpf/`: entry programs, the stages they tail-call, and the arrows between stages
 * that are hook points. The mirror of bpf/lib/slots.h; hook names are also the contract with plugin authors.
 */
import type { Direction } from "./types.ts";

/** Core objects, each with a plugin counterpart: `bpf/bpf_lxc.c` and a plugin's `hooks/lxc.c`. */
export type ObjectKind = "lxc" | "host" | "overlay";

/** What an instance of an object is attached to: a pod's host-side veth, a node device, cilium_host, or cilium_vxlan. */
export type AttachmentKind = "lxc" | "netdev" | "host" | "overlay";

/** Which way of a packet a hook point is on: from a pod, to a pod, or through the node's own devices. */
export type HookPath = "egress" | "ingress" | "host";

/** A program that the kernel calls on a device. */
export interface EntryProgram {
  /** C function name. */
  readonly program: string;
  readonly attachment: AttachmentKind;
  /** Side of the device, as the device sees it: packets of a pod come *in* at its lxc device. */
  readonly direction: Direction;
}

/** IP versions. Programs and hook points of a version that is switched off are not loaded. */
export type IpFamily = 4 | 6;

/** A program that other programs tail-call. */
export interface Stage {
  /** C function name. */
  readonly program: string;
  readonly family: IpFamily;
  /** Index in the instance's `cilium_calls`. */
  readonly slot: number;
}

/** An arrow between two stages at which plugins may stand. */
export interface HookPoint {
  /** Name in `HOOK(name)`, in the API and in the CLI. */
  readonly name: string;
  readonly object: ObjectKind;
  readonly family: IpFamily;
  /** The attachment whose instances hold this hook point. */
  readonly attachment: AttachmentKind;
  /** Index in `cilium_calls`; holds the target itself while no plugin is linked. */
  readonly slot: number;
  /** Stage that follows the last plugin. */
  readonly target: string;
  readonly path: HookPath;
  /** What is guaranteed at this point. */
  readonly description: string;
}

/** One of the core objects. */
export interface PipelineObject {
  readonly kind: ObjectKind;
  /** Core source, relative to the `bpf` directory. */
  readonly source: string;
  /** A plugin's source for this object's hooks, relative to the plugin's directory. */
  readonly pluginSource: string;
  readonly entries: readonly EntryProgram[];
  readonly stages: readonly Stage[];
  readonly hooks: readonly HookPoint[];
}

/** A way a packet can take in one run, from an entry program to the last stage. */
export interface TailCallPath {
  readonly name: string;
  /** Tail calls made without any plugin. */
  readonly coreCalls: number;
  /** Hook points passed, in order; each plugin linked there costs one more tail call. */
  readonly hooks: readonly string[];
}

/** Tail calls the kernel allows in one run (MAX_TAIL_CALL_CNT, include/linux/bpf.h). */
export const MAX_TAIL_CALLS = 33;

/** PROG_ARRAY of stages and hook points, one for each set of programs. */
export const CALLS_MAP = "cilium_calls";

/** Slots of `cilium_calls`. */
export const CALLS_SLOTS = 64;

/** What is IPv6 stands in `cilium_calls` this many slots behind its twin of IPv4. */
export const FAMILY_SLOTS = 32;

/** First slot of a family's part that is a hook point. */
export const FIRST_HOOK_SLOT = 16;

/** PROG_ARRAY through which the programs of node devices and of the tunnel reach those of pods. */
export const CALL_POLICY_MAP = "waggle_call_policy";

/** Slot of `waggle_call_policy` for POLICY_PROGRAM; the only one. */
export const CALL_POLICY_SLOT = 0;

/** The program of bpf_lxc.c that takes packets for any pod: the state names the endpoint. */
export const POLICY_PROGRAM = "cil_lxc_policy";

/** Slots of a plugin's `wg_chain_<hook>` PROG_ARRAY; more than a budget of MAX_TAIL_CALLS can use. */
export const CHAIN_SLOTS = 40;

/** Name prefix of the PROG_ARRAY that `HOOK()` declares for the next element of a chain. */
export const CHAIN_MAP_PREFIX = "wg_chain_";

/** Name prefix of the constant that holds the index of the next element of a chain. */
export const CHAIN_POSITION_PREFIX = "cfg_pos_";

/**
 * Name prefix of the constant that holds a hook program's rank: its place within each attachment's block of
 * `waggle_hook_stats`, the same at all attachments.
 */
export const HOOK_STATS_PREFIX = "cfg_slot_";

/** Records of `waggle_hook_stats` that an attachment has: as many hook programs can stand at an attachment. */
export const STATS_BLOCK = 64;

/**
 * Constant of bpf_host.c and bpf_overlay.c: first record of the attachment's block. Pods have theirs in
 * `waggle_endpoints`.
 */
export const STATS_BASE = "cfg_stats_base";

/** Name prefix of constants declared with PLUGIN_CONFIG. */
export const PLUGIN_CONFIG_PREFIX = "plugin_cfg_";

/** Map name prefixes that plugins may not use for maps of their own. */
export const RESERVED_MAP_PREFIXES = ["wg_", "cilium_", "waggle_"] as const;

/** What the two families have alike: a name without its suffix, and a slot within the family's part. */
type Twin = readonly [slot: number, name: string];

/** Programs that stand in `cilium_calls` once for each family: `tail_service_v4` and `tail_service_v6`. */
function stagesOf(families: readonly IpFamily[], twins: readonly Twin[]): readonly Stage[] {
  return families.flatMap((family) =>
    twins.map(([slot, name]) => ({ program: `${name}_v${family}`, family, slot: slotOf(family, slot) })),
  );
}

/** Hook points that stand before a stage of each family. `IP` in the description becomes "IPv4" or "IPv6". */
function hooksFor(
  families: readonly IpFamily[],
  object: ObjectKind,
  twins: readonly {
    readonly at: Twin;
    readonly target: string;
    readonly attachment: AttachmentKind;
    readonly path: HookPath;
    readonly description: string;
  }[],
): readonly HookPoint[] {
  return families.flatMap((family) =>
    twins.map(({ at: [slot, name], target, attachment, path, description }) => ({
      name: `${name}_v${family}`,
      object,
      family,
      attachment,
      slot: slotOf(family, slot),
      target: `${target}_v${family}`,
      path,
      description: description.replaceAll(/\bIP\b/g, `IPv${family}`),
    })),
  );
}

function slotOf(family: IpFamily, slot: number): number {
  return family === 4 ? slot : slot + FAMILY_SLOTS;
}

const FAMILIES: readonly IpFamily[] = [4, 6];
const egress = { attachment: "lxc", path: "egress" } as const;
const ingress = { attachment: "lxc", path: "ingress" } as const;
const netdev = { attachment: "netdev", path: "host" } as const;
const host = { attachment: "host", path: "host" } as const;
const overlay = { attachment: "overlay", path: "host" } as const;

const LXC: PipelineObject = {
  kind: "lxc",
  source: "bpf_lxc.c",
  pluginSource: "hooks/lxc.c",
  entries: [
    { program: "cil_from_container", attachment: "lxc", direction: "ingress" },
    { program: "cil_to_container", attachment: "lxc", direction: "egress" },
  ],
  stages: [
    ...stagesOf(FAMILIES, [
      [0, "tail_service"],
      [1, "tail_ct_egress"],
      [2, "tail_policy_egress"],
      [3, "tail_forward"],
      [4, "tail_ct_ingress"],
      [5, "tail_policy_ingress"],
      [6, "tail_deliver"],
      [8, "tail_icmp_error"],
    ]),
    { slot: slotOf(4, 7), program: "tail_arp", family: 4 },
    { slot: slotOf(6, 7), program: "tail_ndp", family: 6 },
  ],
  hooks: hooksFor(FAMILIES, "lxc", [
    {
      ...egress,
      at: [16, "from_container_pre_service"],
      target: "tail_service",
      description:
        "An IP packet as the pod sent it, its source address checked; the destination may be a service.",
    },
    {
      ...egress,
      at: [17, "from_container_pre_ct"],
      target: "tail_ct_egress",
      description:
        "Services are resolved: the destination is a backend. Connection tracking has not seen the packet.",
    },
    {
      ...egress,
      at: [18, "from_container_pre_policy"],
      target: "tail_policy_egress",
      description: "The connection's state is known. The pod's egress policy has not been asked.",
    },
    {
      ...egress,
      at: [19, "from_container_pre_forward"],
      target: "tail_forward",
      description:
        "Egress policy allows the packet; it goes to a pod of this node or another, to the host or out next.",
    },
    {
      ...ingress,
      at: [20, "to_container_pre_ct"],
      target: "tail_ct_ingress",
      description: "A packet for this pod, whichever way it came; the source's identity is known.",
    },
    {
      ...ingress,
      at: [21, "to_container_pre_policy"],
      target: "tail_policy_ingress",
      description: "The connection's state is known. The pod's ingress policy has not been asked.",
    },
    {
      ...ingress,
      at: [22, "to_container_pre_deliver"],
      target: "tail_deliver",
      description: "Ingress policy allows the packet; reverse NAT and delivery to the pod come next.",
    },
  ]),
};

const HOST: PipelineObject = {
  kind: "host",
  source: "bpf_host.c",
  pluginSource: "hooks/host.c",
  entries: [
    { program: "cil_from_netdev", attachment: "netdev", direction: "ingress" },
    { program: "cil_to_netdev", attachment: "netdev", direction: "egress" },
    { program: "cil_from_host", attachment: "host", direction: "egress" },
    { program: "cil_to_host", attachment: "host", direction: "ingress" },
  ],
  stages: stagesOf(FAMILIES, [
    [0, "tail_from_netdev"],
    [1, "tail_to_netdev"],
    [2, "tail_from_host"],
    [3, "tail_to_host"],
    [4, "tail_icmp_error"],
    [5, "tail_translate"],
    [6, "tail_nodeport"],
    [7, "tail_nodeport_snat"],
    [8, "tail_masquerade"],
  ]),
  hooks: hooksFor(FAMILIES, "host", [
    {
      ...netdev,
      at: [16, "from_netdev"],
      target: "tail_from_netdev",
      description: "An IP packet that a node device received, before anything looked at its addresses.",
    },
    {
      ...netdev,
      at: [17, "to_netdev"],
      target: "tail_to_netdev",
      description: "An IP packet that the stack routed out of a node device.",
    },
    {
      ...host,
      at: [18, "from_host"],
      target: "tail_from_host",
      description: "An IP packet that the stack routed to cilium_host, for a pod of this node or of another.",
    },
    {
      ...host,
      at: [19, "to_host"],
      target: "tail_to_host",
      description:
        "An IP packet of a pod, here or on another node, for the node itself, about to enter the stack.",
    },
  ]),
};

const OVERLAY: PipelineObject = {
  kind: "overlay",
  source: "bpf_overlay.c",
  pluginSource: "hooks/overlay.c",
  entries: [
    { program: "cil_from_overlay", attachment: "overlay", direction: "ingress" },
    { program: "cil_to_overlay", attachment: "overlay", direction: "egress" },
  ],
  stages: stagesOf(FAMILIES, [
    [0, "tail_from_overlay"],
    [1, "tail_to_overlay"],
    [2, "tail_icmp_error"],
  ]),
  hooks: hooksFor(FAMILIES, "overlay", [
    {
      ...overlay,
      at: [16, "from_overlay"],
      target: "tail_from_overlay",
      description: "An IP packet that another node sent through the tunnel; the sender's identity is known.",
    },
    {
      ...overlay,
      at: [17, "to_overlay"],
      target: "tail_to_overlay",
      description:
        "An IP packet about to leave for another node through the tunnel; the sender's identity is known.",
    },
  ]),
};

/** The core objects by kind. */
export const PIPELINE: Readonly<Record<ObjectKind, PipelineObject>> = {
  lxc: LXC,
  host: HOST,
  overlay: OVERLAY,
};

/** The kinds of core objects, in the order of their hook points. */
export const OBJECT_KINDS: readonly ObjectKind[] = ["lxc", "host", "overlay"];

/** Every hook point, in the order of the objects and slots. */
export const HOOK_POINTS: readonly HookPoint[] = OBJECT_KINDS.flatMap((kind) => PIPELINE[kind].hooks);

const HOOK_BY_NAME: ReadonlyMap<string, HookPoint> = new Map(HOOK_POINTS.map((hook) => [hook.name, hook]));

/** The ways of one family's packets, named after it unless it is IPv4. */
function pathsOf(family: IpFamily): readonly TailCallPath[] {
  const hooksOn = (path: HookPath): readonly string[] =>
    LXC.hooks.filter((hook) => hook.path === path && hook.family === family).map(({ name }) => name);
  const fromPod = hooksOn("egress");
  const toPod = hooksOn("ingress");
  const named = (name: string): string => (family === 4 ? name : `${name}, IPv6`);
  return [
    {
      name: named("pod to pod on this node"),
      // Four stages of the sender, the last of which begins the destination's three.
      coreCalls: fromPod.length + toPod.length,
      hooks: [...fromPod, ...toPod],
    },
    {
      name: named("network to pod"),
      // The stage, and for NodePorts three more: what is it, which backend, in whose name.
      coreCalls: 1 + 3 + 1 + toPod.length,
      hooks: [`from_netdev_v${family}`, ...toPod],
    },
    { name: named("stack to pod"), coreCalls: toPod.length, hooks: toPod },
    // Up to the tunnel's device, where a new run begins.
    { name: named("network to overlay"), coreCalls: 1 + 3, hooks: [`from_netdev_v${family}`] },
    // The second call makes a new mapping of a masqueraded source.
    { name: named("node to network"), coreCalls: 2, hooks: [`to_netdev_v${family}`] },
    { name: named("host to pod or overlay"), coreCalls: 1, hooks: [`from_host_v${family}`] },
    { name: named("pod to host"), coreCalls: 1, hooks: [`to_host_v${family}`] },
    {
      name: named("overlay to pod"),
      coreCalls: 1 + 1 + toPod.length,
      hooks: [`from_overlay_v${family}`, ...toPod],
    },
    { name: named("to overlay"), coreCalls: 1, hooks: [`to_overlay_v${family}`] },
  ];
}

/**
 * All ways through the programs that pass a hook point, each until the packet leaves BPF. A redirect or a
 * trip through the stack begins a new run, whose count starts at zero. The call through
 * `waggle_call_policy` into the pods' programs belongs to the run of the sender.
 */
export const TAIL_CALL_PATHS: readonly TailCallPath[] = FAMILIES.flatMap(pathsOf);

/** The path that costs the most tail calls without plugins. */
export const WORST_PATH: TailCallPath = TAIL_CALL_PATHS.reduce((worst, path) =>
  path.coreCalls > worst.coreCalls ? path : worst,
);

/** The hook point of that name, or undefined. */
export function hookPoint(name: string): HookPoint | undefined {
  return HOOK_BY_NAME.get(name);
}

/** Hook points that instances on this kind of attachment hold. */
export function hooksOf(attachment: AttachmentKind): readonly HookPoint[] {
  return HOOK_POINTS.filter((hook) => hook.attachment === attachment);
}

/** The object whose programs run on this kind of attachment. */
export function objectOf(attachment: AttachmentKind): PipelineObject {
  return PIPELINE[attachment === "netdev" ? "host" : attachment];
}

/** Entry programs of this kind of attachment. */
export function entriesOf(attachment: AttachmentKind): readonly EntryProgram[] {
  return objectOf(attachment).entries.filter((entry) => entry.attachment === attachment);
}

/** Tail calls along a path; `pluginsAt` is the number of plugins linked at a hook point. */
export function tailCallsOn(path: TailCallPath, pluginsAt: (hook: string) => number): number {
  return path.hooks.reduce((sum, hook) => sum + pluginsAt(hook), path.coreCalls);
}
