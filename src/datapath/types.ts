/**
 * The datapath's interfaces: everything the agent asks of the kernel, behind types that the kernel
 * implementation (libbpf and rtnetlink) and the in-memory fake both satisfy. Cells import only these.
 */
import type {
  AttachMode,
  Attachment,
  AttachSpec,
  CgroupAttachment,
  CgroupAttachSpec,
} from "./attach-types.ts";
import type { NetNamespace, NetOps } from "./net-types.ts";

export * from "./attach-types.ts";
export type * from "./net-types.ts";

/** An object that holds a kernel resource; closing twice is harmless. */
export interface Closeable {
  close(): void;
}

/** Kernel map types used here, with the numbers of `enum bpf_map_type` (include/uapi/linux/bpf.h). */
export const MapType = {
  hash: 1,
  array: 2,
  progArray: 3,
  perfEventArray: 4,
  percpuHash: 5,
  percpuArray: 6,
  lruHash: 9,
  lpmTrie: 11,
  arrayOfMaps: 12,
  ringbuf: 27,
} as const;
export type MapType = (typeof MapType)[keyof typeof MapType];

/** What defines a map in the kernel. Sizes in bytes. */
export interface MapSpec {
  /** Name of the map in the C source and of its pin. The kernel keeps the first 15 bytes. */
  readonly name: string;
  readonly type: MapType;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** `BPF_F_*` creation flags; LPM tries need 1 (BPF_F_NO_PREALLOC). */
  readonly flags?: number;
  /**
   * What the maps in an array of maps are like; needed to create one. The kernel does not tell it of a map that is
   * opened, and takes inner maps with any `maxEntries`.
   */
  readonly inner?: MapSpec;
}

/** Encodes and decodes one fixed-size C struct. */
export interface Codec<T> {
  /** Bytes, padding included. */
  readonly size: number;
  encode(value: T, into: Buffer, offset: number): void;
  decode(from: Buffer, offset: number): T;
}

/** A map as the agent knows it: kernel layout, codecs, and the words the CLI prints. */
export interface TypedMapSpec<K, V> extends MapSpec {
  readonly key: Codec<K>;
  readonly value: Codec<V>;
  /** One line each, in the columns of `waggle map get`. */
  formatKey(key: K): string;
  formatValue(value: V): string;
}

/** Facts about a loaded map (`struct bpf_map_info`). */
export interface MapInfo {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** Semantics of an update: create or replace, only create (EEXIST), only replace (ENOENT). */
export type UpdateMode = "any" | "noexist" | "exist";

/** Keys, and the value of each, one behind the other. */
export interface PackedEntries {
  readonly keys: Buffer;
  readonly values: Buffer;
}

/** An open map with raw keys and values. All sizes are checked before the kernel sees them. */
export interface RawMap extends Closeable {
  readonly spec: MapSpec;
  readonly info: MapInfo;
  /** @throws DatapathError */
  update(key: Buffer, value: Buffer, mode?: UpdateMode): void;
  /** The value (per-CPU maps: all CPUs' values one after another, each padded to 8 bytes), or undefined. */
  lookup(key: Buffer): Buffer | undefined;
  /** False when there was no such key. */
  delete(key: Buffer): boolean;
  /** Updates with as few system calls as the kernel allows; yields to the event loop between chunks. */
  updateBatch(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void>;
  /**
   * The same with keys, and values, one behind the other. Large batches are written on another thread: neither buffer
   * may change until the promise settles.
   */
  updatePacked(keys: Buffer, values: Buffer): Promise<void>;
  /** Deletes what is there; absent keys are no error. Resolves to the number deleted. */
  deleteBatch(keys: readonly Buffer[]): Promise<number>;
  /** Keys as of a walk that may miss or repeat entries changed meanwhile: cheap where values are large. */
  keys(): Promise<readonly Buffer[]>;
  /** All entries as of a walk that may miss or repeat entries changed meanwhile. */
  entries(): Promise<readonly { readonly key: Buffer; readonly value: Buffer }[]>;
  pin(path: string): void;
}

/** An open map with typed keys and values. For per-CPU maps `V` is one CPU's value. */
export interface BpfMap<K, V> extends Closeable {
  readonly spec: TypedMapSpec<K, V>;
  readonly raw: RawMap;
  readonly info: MapInfo;
  /** In a per-CPU map the value goes to every CPU. */
  update(key: K, value: V, mode?: UpdateMode): void;
  /** @throws DatapathError for per-CPU maps, as `entries` does: one CPU's value is not the map's */
  lookup(key: K): V | undefined;
  /** One value per possible CPU; only for per-CPU maps. */
  lookupPerCpu(key: K): readonly V[] | undefined;
  delete(key: K): boolean;
  updateBatch(entries: readonly (readonly [K, V])[]): Promise<void>;
  /**
   * What `RawMap.updatePacked` takes, made of rows one at a time: nothing is kept of them.
   *
   * @throws DatapathError INVALID_ARGUMENT when a row cannot be encoded
   */
  packRows<R>(rows: readonly R[], toKey: (row: R) => K, toValue: (row: R) => V): PackedEntries;
  deleteBatch(keys: readonly K[]): Promise<number>;
  keys(): Promise<readonly K[]>;
  entries(): Promise<readonly (readonly [K, V])[]>;
  entriesPerCpu(): Promise<readonly (readonly [K, readonly V[]])[]>;
}

/** Facts about a loaded program (`struct bpf_prog_info`). */
export interface ProgramInfo {
  readonly id: number;
  /** At most 15 bytes. */
  readonly name: string;
  readonly type: number;
  /** SHA-1 prefix of the instructions, 16 hex digits. */
  readonly tag: string;
  readonly xlatedBytes: number;
  readonly jitedBytes: number;
  /** Instructions the verifier walked. */
  readonly verifiedInsns: number;
  readonly mapIds: readonly number[];
  /** Total run time and runs; zero unless the kernel's BPF statistics are on. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
}

/** What a program does to packets, as far as its instructions tell. */
export interface ProgramEffects {
  /** It changes a packet's bytes or length, or cannot be told not to. */
  readonly writesPackets: boolean;
  /**
   * Words of `ctx->cb` (0 to 4) that it certainly stores to; there may be more. `clears`: zero, and to that word
   * alone.
   */
  readonly controlStores: readonly { readonly word: number; readonly clears: boolean }[];
}

/** A loaded program. */
export interface Program extends Closeable {
  readonly id: number;
  /** Name in the C source. */
  readonly name: string;
  info(): ProgramInfo;
  pin(path: string): void;
  /** BPF_PROG_TEST_RUN. `data` is an Ethernet frame; `context` a `struct __sk_buff`. */
  testRun(input: TestRunInput): TestRunResult;
}

export interface TestRunInput {
  readonly data: Buffer;
  readonly repeat?: number;
  readonly ifindex?: number;
  readonly mark?: number;
  readonly cb?: readonly [number, number, number, number, number];
}

export interface TestRunResult {
  readonly returnValue: number;
  readonly data: Buffer;
  /** Average nanoseconds a run. */
  readonly durationNs: number;
}

/** What to load from one compiled object. */
export interface CollectionSpec {
  /** Path of the ELF object. */
  readonly object: string;
  /** Programs to load, by C function name; all others are left out. Undefined: all. */
  readonly programs?: readonly string[];
  /** Programs not to load, whether `programs` names them or not: those of an address family that is off. Unknown names are ignored. */
  readonly skipPrograms?: readonly string[];
  /** Values of `const volatile` variables in `.rodata*`, by C name. Unknown names are an error. */
  readonly constants?: Readonly<Record<string, number | bigint | Buffer>>;
  /** Open maps to use for maps of the object, by C name. Unknown names are ignored; another `maxEntries` is no mismatch. */
  readonly maps?: Readonly<Record<string, RawMap>>;
  /** Ask the verifier for its statistics (stack depth, states): slower, for reports. */
  readonly verifierStats?: boolean;
}

/** What a compiled object contains, read without loading it. */
export interface ObjectDescription {
  readonly programs: readonly { readonly name: string; readonly section: string; readonly insns: number }[];
  /** Maps declared in `.maps`; internal data sections are listed in `dataSections`. */
  readonly maps: readonly MapSpec[];
  /** Names of internal data maps present: `.rodata.config`, `.rodata`, `.data`, `.bss`. */
  readonly dataSections: readonly string[];
  /** `const volatile` variables of `.rodata*` sections with size in bytes. */
  readonly constants: readonly { readonly name: string; readonly size: number; readonly section: string }[];
  /** Structs of the object's BTF: name to size and member offsets (bytes) and sizes. */
  struct(name: string): StructLayout | undefined;
}

export interface StructLayout {
  readonly name: string;
  readonly size: number;
  readonly members: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
}

export interface Collection extends Closeable {
  readonly programs: ReadonlyMap<string, Program>;
  /** Maps the object created itself (those not given in `maps`), internal ones left out. */
  readonly maps: ReadonlyMap<string, RawMap>;
  /** Per program, with `verifierStats`: instructions processed, stack depth in bytes summed over its functions. */
  readonly stats: ReadonlyMap<string, { readonly insnsProcessed: number; readonly stackDepth: number }>;
}

/** Everything BPF. All paths of pins are absolute and on a mounted bpffs. */
export interface BpfOps {
  readonly cpus: number;
  /** Which attach modes this kernel has, best first. */
  attachModes(): readonly AttachMode[];
  /** Mounts a bpffs at `path` when none is there. True when this call mounted it. */
  ensureBpffs(path: string): boolean;
  unmountBpffs(path: string): void;
  createMap(spec: MapSpec): RawMap;
  /** Opens the pin when its layout fits, otherwise creates and pins. @throws MapLayoutError on a mismatch. */
  ensurePinnedMap(spec: MapSpec, path: string): RawMap;
  openPinnedMap(path: string): RawMap | undefined;
  typed<K, V>(raw: RawMap, spec: TypedMapSpec<K, V>): BpfMap<K, V>;
  describeObject(object: string): ObjectDescription;
  /** @throws VerifierError with the log, MapLayoutError, DatapathError */
  load(spec: CollectionSpec): Collection;
  /**
   * As `load`, on other threads, as many at once as there are CPUs: the verifier takes a tenth of a second and more for
   * the programs of a pod. Statistics are not to be had.
   * @throws VerifierError with the log, MapLayoutError, DatapathError
   */
  loadAside(spec: CollectionSpec): Promise<Collection>;
  /**
   * Loads the programs and lets go of them at once, off the event loop: verifying a hostile program takes seconds. What
   * they do to packets holds for these constants and this kernel; what is reached by tail calls through given maps is
   * not part of it.
   * @throws VerifierError with the log, MapLayoutError, DatapathError
   */
  verify(spec: CollectionSpec): Promise<ReadonlyMap<string, ProgramEffects>>;
  openPinnedProgram(path: string): Program | undefined;
  programById(id: number): Program | undefined;
  /** Puts a program into a PROG_ARRAY slot. */
  setProgram(array: RawMap, slot: number, program: Program): void;
  clearProgram(array: RawMap, slot: number): void;
  /** Ids in the slots of a PROG_ARRAY, by a system call a slot; empty slots are absent. */
  programIds(array: RawMap): ReadonlyMap<number, number>;
  /**
   * Puts a map into a slot of an array of maps, in place of what was there: a program meets the old map or the new
   * one. Resolves once no program that was running at the call can be using the old one: the kernel waits for a
   * grace period, off the event loop. Both maps may be closed meanwhile. A slot reads as the inner map's id (u32).
   * @throws DatapathError when the inner map is not like the array's template (EINVAL)
   */
  setInnerMap(outer: RawMap, slot: number, inner: RawMap): Promise<void>;
  /** Empties a slot; waits as `setInnerMap` does. An empty one is no error. */
  clearInnerMap(outer: RawMap, slot: number): Promise<void>;
  /** Attaches, replacing what this spec attached before (pinned link or filter). */
  attach(spec: AttachSpec, program: Program): Attachment;
  /**
   * As `attach`, off the event loop: the kernel makes a TCX link in a grace period, and keeps the network's
   * configuration locked meanwhile. Both `spec` and `program` may be of no use to anybody by the time it settles.
   */
  attachAside(spec: AttachSpec, program: Program): Promise<Attachment>;
  /** Ends what `openAttachment` would open, in the same way; nothing there is no error. */
  detachAside(spec: AttachSpec): Promise<void>;
  /**
   * The attachment made earlier by `attach` with this spec, or undefined: also when its interface is gone, in
   * which case the link's pin stays until `unpin` or the next `attach`.
   */
  openAttachment(spec: AttachSpec): Attachment | undefined;
  /**
   * Where this process sees the root of the cgroup2 hierarchy, also on machines that mount the controllers of the
   * first version beside it; undefined when it is mounted nowhere, or in parts only.
   */
  findCgroup2(): string | undefined;
  /** Mounts the cgroup2 hierarchy at `path` when none is there. True when this call mounted it. */
  ensureCgroup2(path: string): boolean;
  unmountCgroup2(path: string): void;
  /** Attaches, replacing what this spec attached before. */
  attachCgroup(spec: CgroupAttachSpec, program: Program): CgroupAttachment;
  /** The attachment made earlier by `attachCgroup` with this spec, or undefined: also when its group is gone. */
  openCgroupAttachment(spec: CgroupAttachSpec): CgroupAttachment | undefined;
  /** Resolves when every packet that was in a BPF program at the call has left it (an RCU grace period). */
  quiesce(): Promise<void>;
  /**
   * Reads notifications from a PERF_EVENT_ARRAY until closed; never blocks the event loop. The kernel pads
   * `data` at its end. A map has one reader: the last one gets the notifications.
   */
  readPerfEvents(
    array: RawMap,
    onEvent: (data: Buffer, cpu: number) => void,
    onLost: (count: number) => void,
  ): Closeable;
  /** Reads records from a RINGBUF until closed. */
  readRingbuf(ringbuf: RawMap, onRecord: (data: Buffer) => void): Closeable;
  /** Removes a pin, file or empty directory; absent is no error. `recursive` removes a directory's content. */
  unpin(path: string, recursive?: boolean): void;
  listPins(directory: string): readonly string[];
  makePinDirectory(path: string): void;
  /** Switches the kernel's BPF run-time statistics on until closed. */
  enableStats(): Closeable;
}

export interface CompileInput {
  /** Main source file, absolute. */
  readonly source: string;
  /** Include directories in order, absolute. */
  readonly includes: readonly string[];
  readonly defines: Readonly<Record<string, string | number>>;
}

export interface CompileResult {
  /** Path of the object in the cache. */
  readonly object: string;
  /** SHA-256 of everything that went in: sources, headers, compiler, flags. Hex. */
  readonly digest: string;
  readonly cached: boolean;
  /** Compiler warnings, if any. */
  readonly warnings: string;
}

/** Compiles BPF C into a content-addressed cache. */
export interface Compiler {
  /** @throws CompileError with clang's message (file, line, column) */
  compile(input: CompileInput): Promise<CompileResult>;
}

/** The kernel, or the fake of it. */
export interface Datapath extends Closeable {
  readonly kind: "kernel" | "fake";
  readonly bpf: BpfOps;
  /** The agent's own network namespace. */
  readonly net: NetOps;
  readonly compiler: Compiler;
  /** @throws DatapathError when the path is no network namespace */
  openNamespace(path: string): NetNamespace;
}
