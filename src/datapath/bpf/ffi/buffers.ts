/** Perf and ring buffers: `perf_buffer__*` and `ring_buffer__*` of bpf/libbpf.h. */
import koffi from "koffi";
import { libbpf, type Memory, type Pointer } from "./libraries.ts";

export type PerfBufferPointer = Pointer<"perf_buffer">;
export type RingBufferPointer = Pointer<"ring_buffer">;
/** A C function pointer made of a JavaScript function. */
export type CallbackPointer = Pointer<"callback">;
type Data = Pointer<"void">;

export const perf_buffer__new: (
  mapFd: number,
  pages: number,
  onSample: CallbackPointer,
  onLost: CallbackPointer,
  context: null,
  opts: Memory,
) => PerfBufferPointer | null = libbpf.func("perf_buffer__new", "void *", [
  "int",
  "size_t",
  "void *",
  "void *",
  "void *",
  "void *",
]);

export const perf_buffer__free: (buffer: PerfBufferPointer) => void = libbpf.func(
  "perf_buffer__free",
  "void",
  ["void *"],
);

export const perf_buffer__consume: (buffer: PerfBufferPointer) => number = libbpf.func(
  "perf_buffer__consume",
  "int",
  ["void *"],
);

export const ring_buffer__new: (
  mapFd: number,
  onSample: CallbackPointer,
  context: null,
  opts: Memory,
) => RingBufferPointer | null = libbpf.func("ring_buffer__new", "void *", [
  "int",
  "void *",
  "void *",
  "void *",
]);

export const ring_buffer__free: (buffer: RingBufferPointer) => void = libbpf.func(
  "ring_buffer__free",
  "void",
  ["void *"],
);

export const ring_buffer__consume: (buffer: RingBufferPointer) => number = libbpf.func(
  "ring_buffer__consume",
  "int",
  ["void *"],
);

const perfSample = koffi.pointer(koffi.proto("void", ["void *", "int", "void *", "uint32"]));
const perfLost = koffi.pointer(koffi.proto("void", ["void *", "int", "uint64"]));
const ringSample = koffi.pointer(koffi.proto("int", ["void *", "void *", "size_t"]));

export function perfSampleCallback(
  callback: (context: unknown, cpu: number, data: Data, size: number) => void,
): CallbackPointer {
  return koffi.register(callback, perfSample) as CallbackPointer;
}

export function perfLostCallback(
  callback: (context: unknown, cpu: number, count: number) => void,
): CallbackPointer {
  return koffi.register(callback, perfLost) as CallbackPointer;
}

/** A negative result would end the reading; ours always return 0. */
export function ringSampleCallback(
  callback: (context: unknown, data: Data, size: number) => number,
): CallbackPointer {
  return koffi.register(callback, ringSample) as CallbackPointer;
}

export function unregisterCallback(callback: CallbackPointer): void {
  koffi.unregister(callback);
}
