/** Interfaces of programs attached to what calls them: interfaces and control groups. */
import type { Closeable, Program } from "./types.ts";

/** Where on an interface a program hangs, as seen by the interface. */
export type Direction = "ingress" | "egress";

/** How programs are attached: TCX links where the kernel has them, a clsact filter otherwise. */
export type AttachMode = "tcx" | "clsact";

/** A program in its place. */
export interface ProgramPlace extends Closeable {
  /** Id of the program that runs there now. */
  programId(): number;
  /** Atomically replaces the program; nothing passes without one. */
  update(program: Program): void;
  /** Ends the attachment, pin included. */
  detach(): void;
}

/** A program attached to an interface. */
export interface Attachment extends ProgramPlace {
  readonly mode: AttachMode;
  readonly ifindex: number;
  readonly direction: Direction;
}

export interface AttachSpec {
  readonly ifindex: number;
  readonly direction: Direction;
  readonly mode: AttachMode;
  /** Where the TCX link is pinned so that it survives the agent. Unused by clsact. */
  readonly pinPath: string;
}

/**
 * Calls of sockets that a program of a control group sees, with the numbers of `enum bpf_attach_type`
 * (include/uapi/linux/bpf.h). The names are those of libbpf's sections: "cgroup/connect4".
 */
export const CgroupAttachType = {
  connect4: 10,
  connect6: 11,
  post_bind4: 12,
  post_bind6: 13,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
  sock_release: 34,
} as const;
export type CgroupAttachType = keyof typeof CgroupAttachType;

export interface CgroupAttachSpec {
  /** Directory of the control group, on a cgroup2. It and the groups below it are covered. */
  readonly cgroup: string;
  readonly type: CgroupAttachType;
  /** Where the link is pinned so that it survives the agent. */
  readonly pinPath: string;
}

/** A program attached to a control group. Others may be attached besides it: all of them run. */
export interface CgroupAttachment extends ProgramPlace {
  readonly cgroup: string;
  readonly type: CgroupAttachType;
}
