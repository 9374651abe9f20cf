/** Maps: `bpf_map_*` of bpf/bpf.h. All return 0 or a descriptor, or a negative errno. */
import { libbpf, type Memory } from "./libraries.ts";
import { opts } from "./opts.ts";

export const bpf_map_create: (
  type: number,
  name: string | null,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  opts: Memory,
) => number = libbpf.func("bpf_map_create", "int", ["int", "str", "uint32", "uint32", "uint32", "void *"]);

export const bpf_map_update_elem: (fd: number, key: Buffer, value: Buffer, flags: number) => number =
  libbpf.func("bpf_map_update_elem", "int", ["int", "void *", "void *", "uint64"]);

export const bpf_map_lookup_elem: (fd: number, key: Buffer, value: Buffer) => number = libbpf.func(
  "bpf_map_lookup_elem",
  "int",
  ["int", "void *", "void *"],
);

export const bpf_map_delete_elem: (fd: number, key: Buffer) => number = libbpf.func(
  "bpf_map_delete_elem",
  "int",
  ["int", "void *"],
);

export const bpf_map_get_next_key: (fd: number, key: Memory, next: Buffer) => number = libbpf.func(
  "bpf_map_get_next_key",
  "int",
  ["int", "void *", "void *"],
);

/** `count` is a `__u32`: entries given, then entries done. */
export const bpf_map_update_batch: (
  fd: number,
  keys: Buffer,
  values: Buffer,
  count: Buffer,
  opts: Memory,
) => number = libbpf.func("bpf_map_update_batch", "int", ["int", "void *", "void *", "void *", "void *"]);

export const bpf_map_delete_batch: (fd: number, keys: Buffer, count: Buffer, opts: Memory) => number =
  libbpf.func("bpf_map_delete_batch", "int", ["int", "void *", "void *", "void *"]);

export const bpf_map_lookup_batch: (
  fd: number,
  inBatch: Memory,
  outBatch: Buffer,
  keys: Buffer,
  values: Buffer,
  count: Buffer,
  opts: Memory,
) => number = libbpf.func("bpf_map_lookup_batch", "int", [
  "int",
  "void *",
  "void *",
  "void *",
  "void *",
  "void *",
  "void *",
]);

/** `struct bpf_map_create_opts`: inner_map_fd at 24, map_flags at 28. */
export function mapCreateOpts(fields: { readonly flags?: number; readonly innerMapFd?: number }): Buffer {
  return opts(48, [
    [24, 4, fields.innerMapFd ?? 0],
    [28, 4, fields.flags ?? 0],
  ]);
}
