/** Links and queries: `bpf_link_*` and `bpf_prog_query_opts` of bpf/bpf.h. */
import { libbpf, type Memory } from "./libraries.ts";
import { opts } from "./opts.ts";

/** `target` is an ifindex, in the caller's network namespace, or a control group's descriptor. */
export const bpf_link_create: (
  programFd: number,
  target: number,
  attachType: number,
  opts: Memory,
) => number = libbpf.func("bpf_link_create", "int", ["int", "int", "int", "void *"]);

export const bpf_link_update: (linkFd: number, programFd: number, opts: Memory) => number = libbpf.func(
  "bpf_link_update",
  "int",
  ["int", "int", "void *"],
);

export const bpf_link_detach: (linkFd: number) => number = libbpf.func("bpf_link_detach", "int", ["int"]);

export const bpf_prog_query_opts: (target: number, attachType: number, opts: Buffer) => number = libbpf.func(
  "bpf_prog_query_opts",
  "int",
  ["int", "int", "void *"],
);

/** `struct bpf_prog_query_opts` that asks for nothing but whether the question is understood. */
export function progQueryOpts(): Buffer {
  return opts(40, []);
}

/** `enum bpf_attach_type`, Linux 6.6. libbpf 1.1 does not know them and passes them through. */
export const BPF_TCX_INGRESS = 46;
export const BPF_TCX_EGRESS = 47;
/** `enum bpf_link_type`. */
export const BPF_LINK_TYPE_CGROUP = 3;
export const BPF_LINK_TYPE_TCX = 11;
