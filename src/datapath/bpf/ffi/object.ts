/** Object files: `bpf_object__*`, `bpf_map__*` and BTF of bpf/libbpf.h. Pointers are NULL on failure, errno says why. */
import { libbpf, type Memory, type Pointer } from "./libraries.ts";
import { opts } from "./opts.ts";

export type ObjectPointer = Pointer<"bpf_object">;
export type ObjectMapPointer = Pointer<"bpf_map">;
export type BtfPointer = Pointer<"btf">;

/** Keeps no reference to the bytes after it returns. */
export const bpf_object__open_mem: (bytes: Buffer, size: number, opts: Memory) => ObjectPointer | null =
  libbpf.func("bpf_object__open_mem", "void *", ["void *", "size_t", "void *"]);

export const bpf_object__load: (object: ObjectPointer) => number = libbpf.func("bpf_object__load", "int", [
  "void *",
]);

export const bpf_object__close: (object: ObjectPointer) => void = libbpf.func("bpf_object__close", "void", [
  "void *",
]);

export const bpf_object__next_map: (
  object: ObjectPointer,
  previous: ObjectMapPointer | null,
) => ObjectMapPointer | null = libbpf.func("bpf_object__next_map", "void *", ["void *", "void *"]);

export const bpf_object__btf: (object: ObjectPointer) => BtfPointer | null = libbpf.func(
  "bpf_object__btf",
  "void *",
  ["void *"],
);

/** `size` is a `__u32` output. The memory belongs to the BTF object. */
export const btf__raw_data: (btf: BtfPointer, size: Buffer) => Pointer<"void"> | null = libbpf.func(
  "btf__raw_data",
  "void *",
  ["void *", "void *"],
);

export const bpf_map__name: (map: ObjectMapPointer) => string = libbpf.func("bpf_map__name", "str", [
  "void *",
]);

export const bpf_map__fd: (map: ObjectMapPointer) => number = libbpf.func("bpf_map__fd", "int", ["void *"]);

export const bpf_map__type: (map: ObjectMapPointer) => number = libbpf.func("bpf_map__type", "int", [
  "void *",
]);

export const bpf_map__key_size: (map: ObjectMapPointer) => number = libbpf.func(
  "bpf_map__key_size",
  "uint32",
  ["void *"],
);

export const bpf_map__value_size: (map: ObjectMapPointer) => number = libbpf.func(
  "bpf_map__value_size",
  "uint32",
  ["void *"],
);

export const bpf_map__max_entries: (map: ObjectMapPointer) => number = libbpf.func(
  "bpf_map__max_entries",
  "uint32",
  ["void *"],
);

export const bpf_map__map_flags: (map: ObjectMapPointer) => number = libbpf.func(
  "bpf_map__map_flags",
  "uint32",
  ["void *"],
);

/** True for the maps libbpf makes of `.rodata`, `.data`, `.bss` and the like. */
export const bpf_map__is_internal: (map: ObjectMapPointer) => boolean = libbpf.func(
  "bpf_map__is_internal",
  "bool",
  ["void *"],
);

/** `size` is a `size_t` output. The memory belongs to the object. */
export const bpf_map__initial_value: (map: ObjectMapPointer, size: Buffer) => Pointer<"void"> | null =
  libbpf.func("bpf_map__initial_value", "void *", ["void *", "void *"]);

export const bpf_map__set_initial_value: (map: ObjectMapPointer, data: Buffer, size: number) => number =
  libbpf.func("bpf_map__set_initial_value", "int", ["void *", "void *", "size_t"]);

/** Duplicates the descriptor. */
export const bpf_map__reuse_fd: (map: ObjectMapPointer, fd: number) => number = libbpf.func(
  "bpf_map__reuse_fd",
  "int",
  ["void *", "int"],
);

export const bpf_map__set_pin_path: (map: ObjectMapPointer, path: string | null) => number = libbpf.func(
  "bpf_map__set_pin_path",
  "int",
  ["void *", "str"],
);

/** `struct bpf_object_open_opts`: object_name at 8. `name` must stay alive during the call. */
export function objectOpenOpts(name: bigint): Buffer {
  return opts(80, [[8, 8, name]]);
}
