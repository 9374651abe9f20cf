/**
 * The static shape of the datapath in `bpf/`: which programs enter it, which stages they tail-call, and the
 * arrows between stages that are hook points. Slots and names are the contract between the C sources
 * (bpf/lib/pipeline.h), the loader and the hook linker; hook names are also the contract with plugin authors.
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

/** A program that other programs tail-call. */
export interface Stage {
  /** C function name. */
  readonly program: string;
  /** Index in the instance's `cilium_calls`. */
  readonly slot: number;
}

/** An arrow between two stages at which plugins may stand. */
export interface HookPoint {
  /** Name in `HOOK(name)`, in the API and in the CLI. */
  readonly name: string;
  readonly object: ObjectKind;
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

/** PROG_ARRAY of stages and hook points, one for each attachment. */
export const CALLS_MAP = "cilium_calls";

/** Slots of `cilium_calls`. */
export const CALLS_SLOTS = 64;

/** What is IPv6 stands in `cilium_calls` this many slots behind its twin of IPv4. */
export const FAMILY_SLOTS = 32;

/** First slot of a family's part of `cilium_calls` that is a hook point. */
export const FIRST_HOOK_SLOT = 16;

/** PROG_ARRAY of the endpoints' ingress programs, indexed by endpoint id. */
export const CALL_POLICY_MAP = "cilium_call_policy";

/** The program of bpf_lxc.c that stands in `cilium_call_policy` at the endpoint's id. */
export const POLICY_PROGRAM = "cil_lxc_policy";

/** Slots of a plugin's `wg_chain_<hook>` PROG_ARRAY; more than a budget of MAX_TAIL_CALLS can use. */
export const CHAIN_SLOTS = 40;

/** Name prefix of the PROG_ARRAY that `HOOK()` declares for the next element of a chain. */
export const CHAIN_MAP_PREFIX = "wg_chain_";

/** Name prefix of the constant that holds the index of the next element of a chain. */
export const CHAIN_POSITION_PREFIX = "cfg_pos_";

/** Name prefix of the constant that holds an instance's index in `waggle_hook_stats`. */
export const HOOK_STATS_PREFIX = "cfg_slot_";

/** Name prefix of constants declared with PLUGIN_CONFIG. */
export const PLUGIN_CONFIG_PREFIX = "plugin_cfg_";

/** Map name prefixes that plugins may not use for maps of their own. */
export const RESERVED_MAP_PREFIXES = ["wg_", "cilium_", "waggle_"] as const;

function lxcHook(name: string, slot: number, target: string, path: HookPath, description: string): HookPoint {
  return { name, object: "lxc", attachment: "lxc", slot, target, path, description };
}

function overlayHook(name: string, slot: number, target: string, description: string): HookPoint {
  return { name, object: "overlay", attachment: "overlay", slot, target, path: "host", description };
}

function hostHook(
  name: string,
  attachment: AttachmentKind,
  slot: number,
  target: string,
  description: string,
): HookPoint {
  return { name, object: "host", attachment, slot, target, path: "host", description };
}

const LXC: PipelineObject = {
  kind: "lxc",
  source: "bpf_lxc.c",
  pluginSource: "hooks/lxc.c",
  entries: [
    { program: "cil_from_container", attachment: "lxc", direction: "ingress" },
    { program: "cil_to_container", attachment: "lxc", direction: "egress" },
  ],
  stages: [
    { slot: 0, program: "tail_service_v4" },
    { slot: 1, program: "tail_ct_egress_v4" },
    { slot: 2, program: "tail_policy_egress_v4" },
    { slot: 3, program: "tail_forward_v4" },
    { slot: 4, program: "tail_ct_ingress_v4" },
    { slot: 5, program: "tail_policy_ingress_v4" },
    { slot: 6, program: "tail_deliver_v4" },
    { slot: 7, program: "tail_arp" },
    { slot: 8, program: "tail_icmp_error_v4" },
  ],
  hooks: [
    lxcHook(
      "from_container_pre_service_v4",
      16,
      "tail_service_v4",
      "egress",
      "An IPv4 packet as the pod sent it, its source address checked; the destination may be a service.",
    ),
    lxcHook(
      "from_container_pre_ct_v4",
      17,
      "tail_ct_egress_v4",
      "egress",
      "Services are resolved: the destination is a backend. Connection tracking has not seen the packet.",
    ),
    lxcHook(
      "from_container_pre_policy_v4",
      18,
      "tail_policy_egress_v4",
      "egress",
      "The connection's state is known. The pod's egress policy has not been asked.",
    ),
    lxcHook(
      "from_container_pre_forward_v4",
      19,
      "tail_forward_v4",
      "egress",
      "Egress policy allows the packet; it goes to a local pod, to the host or out next.",
    ),
    lxcHook(
      "to_container_pre_ct_v4",
      20,
      "tail_ct_ingress_v4",
      "ingress",
      "A packet for this pod, whichever way it came; the source's identity is known.",
    ),
    lxcHook(
      "to_container_pre_policy_v4",
      21,
      "tail_policy_ingress_v4",
      "ingress",
      "The connection's state is known. The pod's ingress policy has not been asked.",
    ),
    lxcHook(
      "to_container_pre_deliver_v4",
      22,
      "tail_deliver_v4",
      "ingress",
      "Ingress policy allows the packet; reverse NAT and delivery to the pod come next.",
    ),
  ],
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
  stages: [
    { slot: 0, program: "tail_from_netdev_v4" },
    { slot: 1, program: "tail_to_netdev_v4" },
    { slot: 2, program: "tail_from_host_v4" },
    { slot: 3, program: "tail_to_host_v4" },
    { slot: 4, program: "tail_icmp_error_v4" },
    { slot: 5, program: "tail_translate_v4" },
    { slot: 6, program: "tail_nodeport_v4" },
    { slot: 7, program: "tail_masquerade_v4" },
  ],
  hooks: [
    hostHook(
      "from_netdev_v4",
      "netdev",
      16,
      "tail_from_netdev_v4",
      "An IPv4 packet that a node device received, before anything looked at its addresses.",
    ),
    hostHook(
      "to_netdev_v4",
      "netdev",
      17,
      "tail_to_netdev_v4",
      "An IPv4 packet that the stack routed out of a node device.",
    ),
    hostHook(
      "from_host_v4",
      "host",
      18,
      "tail_from_host_v4",
      "An IPv4 packet that the stack routed to cilium_host, for a pod of this node or of another.",
    ),
    hostHook(
      "to_host_v4",
      "host",
      19,
      "tail_to_host_v4",
      "An IPv4 packet of a pod, here or on another node, for the node itself, about to enter the stack.",
    ),
  ],
};

const OVERLAY: PipelineObject = {
  kind: "overlay",
  source: "bpf_overlay.c",
  pluginSource: "hooks/overlay.c",
  entries: [
    { program: "cil_from_overlay", attachment: "overlay", direction: "ingress" },
    { program: "cil_to_overlay", attachment: "overlay", direction: "egress" },
  ],
  stages: [
    { slot: 0, program: "tail_from_overlay_v4" },
    { slot: 1, program: "tail_to_overlay_v4" },
    { slot: 2, program: "tail_icmp_error_v4" },
  ],
  hooks: [
    overlayHook(
      "from_overlay_v4",
      16,
      "tail_from_overlay_v4",
      "An IPv4 packet that another node sent through the tunnel; the sender's identity is known.",
    ),
    overlayHook(
      "to_overlay_v4",
      17,
      "tail_to_overlay_v4",
      "An IPv4 packet about to leave for another node through the tunnel; the sender's identity is known.",
    ),
  ],
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

const POD_EGRESS_HOOKS = LXC.hooks.filter((hook) => hook.path === "egress").map((hook) => hook.name);
const POD_INGRESS_HOOKS = LXC.hooks.filter((hook) => hook.path === "ingress").map((hook) => hook.name);

/**
 * All ways through the programs that pass a hook point, each until the packet leaves BPF. A redirect or a
 * trip through the stack begins a new run, whose count starts at zero. The call through
 * `cilium_call_policy` into the destination's programs belongs to the run of the sender.
 */
export const TAIL_CALL_PATHS: readonly TailCallPath[] = [
  {
    name: "pod to pod on this node",
    // Four stages of the sender, its call into the destination's program, three stages there.
    coreCalls: POD_EGRESS_HOOKS.length + 1 + POD_INGRESS_HOOKS.length,
    hooks: [...POD_EGRESS_HOOKS, ...POD_INGRESS_HOOKS],
  },
  {
    name: "network to pod",
    // The stage, and for NodePorts two more that translate destination and source.
    coreCalls: 1 + 2 + 1 + POD_INGRESS_HOOKS.length,
    hooks: ["from_netdev_v4", ...POD_INGRESS_HOOKS],
  },
  { name: "stack to pod", coreCalls: POD_INGRESS_HOOKS.length, hooks: POD_INGRESS_HOOKS },
  // Up to the tunnel's device, where a new run begins.
  { name: "network to overlay", coreCalls: 1 + 2, hooks: ["from_netdev_v4"] },
  // The second call makes a new mapping of a masqueraded source.
  { name: "node to network", coreCalls: 2, hooks: ["to_netdev_v4"] },
  { name: "host to pod or overlay", coreCalls: 1, hooks: ["from_host_v4"] },
  { name: "pod to host", coreCalls: 1, hooks: ["to_host_v4"] },
  {
    name: "overlay to pod",
    coreCalls: 1 + 1 + POD_INGRESS_HOOKS.length,
    hooks: ["from_overlay_v4", ...POD_INGRESS_HOOKS],
  },
  { name: "to overlay", coreCalls: 1, hooks: ["to_overlay_v4"] },
];

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

/**
 * Tail calls along a path.
 * @param pluginsAt number of plugins linked at a hook point
 */
export function tailCallsOn(path: TailCallPath, pluginsAt: (hook: string) => number): number {
  return path.hooks.reduce((sum, hook) => sum + pluginsAt(hook), path.coreCalls);
}
