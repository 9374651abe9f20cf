/** What is no single topic's: descriptors by id and pin, object info, statistics, CPUs, messages. */
import koffi from "koffi";
import { libbpf, type Pointer } from "./libraries.ts";

export const libbpf_num_possible_cpus: () => number = libbpf.func("libbpf_num_possible_cpus", "int", []);

export const bpf_obj_pin: (fd: number, path: string) => number = libbpf.func("bpf_obj_pin", "int", [
  "int",
  "str",
]);

export const bpf_obj_get: (path: string) => number = libbpf.func("bpf_obj_get", "int", ["str"]);

/** `length` is a `__u32`: room given, then bytes the kernel knows of. */
export const bpf_obj_get_info_by_fd: (fd: number, info: Buffer, length: Buffer) => number = libbpf.func(
  "bpf_obj_get_info_by_fd",
  "int",
  ["int", "void *", "void *"],
);

export const bpf_prog_get_fd_by_id: (id: number) => number = libbpf.func("bpf_prog_get_fd_by_id", "int", [
  "uint32",
]);

/** `BPF_STATS_RUN_TIME` is 0. The statistics stay on while the descriptor is open. */
export const bpf_enable_stats: (type: number) => number = libbpf.func("bpf_enable_stats", "int", ["int"]);

export type PrintFunction = Pointer<"libbpf_print_fn_t">;

export const libbpf_set_print: (print: PrintFunction | null) => PrintFunction | null = libbpf.func(
  "libbpf_set_print",
  "void *",
  ["void *"],
);

/** `int (*)(enum libbpf_print_level, const char *format, va_list)`; the va_list is a pointer on 64-bit ABIs. */
const printPrototype = koffi.pointer(koffi.proto("int", ["int", "void *", "void *"]));

/** Makes a C function pointer for `libbpf_set_print`, valid until the process ends. */
export function printFunction(
  callback: (level: number, format: Pointer<"char">, args: Pointer<"va_list">) => number,
): PrintFunction {
  return koffi.register(callback, printPrototype) as PrintFunction;
}

/** Address of a buffer's memory, for pointers inside structs. The caller keeps the buffer alive. */
export function addressOf(buffer: Buffer): bigint {
  return koffi.address(buffer);
}
