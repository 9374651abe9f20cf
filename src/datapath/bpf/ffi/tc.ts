/** Traffic control filters: `bpf_tc_*` of bpf/libbpf.h. These speak rtnetlink in the caller's network namespace. */
import { libbpf } from "./libraries.ts";
import { opts } from "./opts.ts";

export const bpf_tc_hook_create: (hook: Buffer) => number = libbpf.func("bpf_tc_hook_create", "int", [
  "void *",
]);

export const bpf_tc_hook_destroy: (hook: Buffer) => number = libbpf.func("bpf_tc_hook_destroy", "int", [
  "void *",
]);

export const bpf_tc_attach: (hook: Buffer, opts: Buffer) => number = libbpf.func("bpf_tc_attach", "int", [
  "void *",
  "void *",
]);

export const bpf_tc_detach: (hook: Buffer, opts: Buffer) => number = libbpf.func("bpf_tc_detach", "int", [
  "void *",
  "void *",
]);

export const bpf_tc_query: (hook: Buffer, opts: Buffer) => number = libbpf.func("bpf_tc_query", "int", [
  "void *",
  "void *",
]);

export const BPF_TC_INGRESS = 1;
export const BPF_TC_EGRESS = 2;
export const BPF_TC_F_REPLACE = 1;

/** `struct bpf_tc_hook`: ifindex at 8, attach_point at 12. */
export function tcHook(ifindex: number, attachPoint: number): Buffer {
  return opts(24, [
    [8, 4, ifindex],
    [12, 4, attachPoint],
  ]);
}

/** `struct bpf_tc_opts`: prog_fd at 8, flags 12, prog_id 16, handle 20, priority 24. */
export function tcOpts(fields: {
  readonly programFd?: number;
  readonly flags?: number;
  readonly handle: number;
  readonly priority: number;
}): Buffer {
  return opts(32, [
    [8, 4, fields.programFd ?? 0],
    [12, 4, fields.flags ?? 0],
    [20, 4, fields.handle],
    [24, 4, fields.priority],
  ]);
}

/** Program id that `bpf_tc_query` and `bpf_tc_attach` write into their opts. */
export function tcProgramId(filled: Buffer): number {
  return filled.readUInt32LE(16);
}
