/** Programs: `bpf_program__*` of bpf/libbpf.h and `bpf_prog_*` of bpf/bpf.h. */
import { libbpf, type Pointer } from "./libraries.ts";
import type { ObjectPointer } from "./object.ts";
import { opts } from "./opts.ts";

export type ProgramPointer = Pointer<"bpf_program">;

export const bpf_object__next_program: (
  object: ObjectPointer,
  previous: ProgramPointer | null,
) => ProgramPointer | null = libbpf.func("bpf_object__next_program", "void *", ["void *", "void *"]);

export const bpf_program__name: (program: ProgramPointer) => string = libbpf.func(
  "bpf_program__name",
  "str",
  ["void *"],
);

export const bpf_program__section_name: (program: ProgramPointer) => string = libbpf.func(
  "bpf_program__section_name",
  "str",
  ["void *"],
);

export const bpf_program__insn_cnt: (program: ProgramPointer) => number = libbpf.func(
  "bpf_program__insn_cnt",
  "size_t",
  ["void *"],
);

/** Since the load these are the instructions that the kernel got, subprograms included. The memory belongs to the object. */
export const bpf_program__insns: (program: ProgramPointer) => Pointer<"bpf_insn"> = libbpf.func(
  "bpf_program__insns",
  "void *",
  ["void *"],
);

/** A descriptor or a negative errno. `insns` is an array of `count` `struct bpf_insn`. */
export const bpf_prog_load: (
  type: number,
  name: string,
  license: string,
  insns: Buffer,
  count: number,
  opts: Buffer | null,
) => number = libbpf.func("bpf_prog_load", "int", ["int", "str", "str", "void *", "size_t", "void *"]);

export const bpf_program__fd: (program: ProgramPointer) => number = libbpf.func("bpf_program__fd", "int", [
  "void *",
]);

export const bpf_program__set_autoload: (program: ProgramPointer, autoload: boolean) => number = libbpf.func(
  "bpf_program__set_autoload",
  "int",
  ["void *", "bool"],
);

/** libbpf writes to `log` during the load: it must stay alive until then. */
export const bpf_program__set_log_buf: (program: ProgramPointer, log: Buffer, size: number) => number =
  libbpf.func("bpf_program__set_log_buf", "int", ["void *", "void *", "size_t"]);

export const bpf_program__set_log_level: (program: ProgramPointer, level: number) => number = libbpf.func(
  "bpf_program__set_log_level",
  "int",
  ["void *", "uint32"],
);

export const bpf_prog_test_run_opts: (fd: number, opts: Buffer) => number = libbpf.func(
  "bpf_prog_test_run_opts",
  "int",
  ["int", "void *"],
);

export interface TestRunBuffers {
  readonly dataIn: bigint;
  readonly dataInSize: number;
  readonly dataOut: bigint;
  readonly dataOutSize: number;
  readonly contextIn: bigint;
  readonly contextInSize: number;
  readonly repeat: number;
}

/** `struct bpf_test_run_opts`. All buffers must stay alive during the call. */
export function testRunOpts(buffers: TestRunBuffers): Buffer {
  return opts(80, [
    [8, 8, buffers.dataIn],
    [16, 8, buffers.dataOut],
    [24, 4, buffers.dataInSize],
    [28, 4, buffers.dataOutSize],
    [32, 8, buffers.contextIn],
    [48, 4, buffers.contextInSize],
    [60, 4, buffers.repeat],
  ]);
}

/** What `bpf_prog_test_run_opts` wrote into its opts. */
export function testRunResults(filled: Buffer): {
  readonly dataOutSize: number;
  readonly returnValue: number;
  readonly durationNs: number;
} {
  return {
    dataOutSize: filled.readUInt32LE(28),
    returnValue: filled.readUInt32LE(56),
    durationNs: filled.readUInt32LE(64),
  };
}
