import type { Direction } from "../types.ts";

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
