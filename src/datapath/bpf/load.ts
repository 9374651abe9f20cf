/** Loading programs of an object. */
import { availableParallelism, constants } from "node:os";
import { DatapathError, layoutDifference, MapLayoutError, VerifierError } from "../errors.ts";
import { Semaphore } from "../semaphore.ts";
import { type Collection, type CollectionSpec, MapType, type ProgramEffects } from "../types.ts";
import { checked } from "./check.ts";
import { KernelCollection } from "./collection.ts";
import { setConstants } from "./constants.ts";
import { effectsOf } from "./effects/index.ts";
import { callAsync } from "./ffi/async.ts";
import {
  bpf_map__name,
  bpf_map__reuse_fd,
  bpf_map__set_pin_path,
  bpf_map__type,
  bpf_object__load,
  type ObjectMapPointer,
  type ObjectPointer,
} from "./ffi/object.ts";
import {
  bpf_program__name,
  bpf_program__set_autoload,
  bpf_program__set_log_buf,
  bpf_program__set_log_level,
  type ProgramPointer,
} from "./ffi/program.ts";
import { asKernelMap } from "./map.ts";
import { layoutOf } from "./maps.ts";
import { withMessages } from "./messages.ts";
import { declaredSpec, objectMaps, objectPrograms } from "./object-contents.ts";
import { type ObjectFile, objectFile } from "./object-file.ts";
import { type VerifierStats, verifierReason, verifierStats } from "./verifier-log.ts";

/** `BPF_LOG_STATS`: statistics only. */
const LOG_STATS = 4;
const STATS_LOG_BYTES = 16 << 10;
/** Nearly every log fits; a longer one is asked for again with what libbpf itself would use. */
const FAILURE_LOG_BYTES = 1 << 20;
const LARGEST_LOG_BYTES = 16 << 20;

const { EAGAIN, ENOSPC } = constants.errno;

/**
 * The verifier gives up with EAGAIN when a signal is pending, as a profiler's timer makes it all the time;
 * libbpf itself tries five times.
 */
const INTERRUPTED_ATTEMPTS = 10;

/** An object opened and prepared for loading. */
interface Prepared {
  readonly object: ObjectPointer;
  readonly programs: readonly { readonly name: string; readonly pointer: ProgramPointer }[];
  /** Maps the load will create, by C name: names change when libbpf takes over a given descriptor. */
  readonly created: readonly { readonly name: string; readonly pointer: ObjectMapPointer }[];
}

/**
 * Loads programs of an object file. The first attempt is silent, which is fastest; when it fails the load is
 * repeated with logs, so that the error can tell why.
 * @throws VerifierError, MapLayoutError, DatapathError
 */
export function load(spec: CollectionSpec): Collection {
  const file = objectFile(spec.object);
  const collection = file.open((object) => {
    const prepared = prepare(object, file, spec);
    const statsLogs = spec.verifierStats ? requestStats(prepared) : undefined;
    if (bpf_object__load(object) !== 0) return undefined;
    return KernelCollection.take(prepared, readStats(statsLogs));
  });
  return collection ?? loadWithLogs(file, spec);
}

/** Each load keeps a CPU busy. */
const loadsAside = new Semaphore(availableParallelism());

/**
 * As `load`, on a worker thread. Only a load that fails is repeated on this one, for libbpf's words.
 * @throws VerifierError, MapLayoutError, DatapathError
 */
export async function loadAside(spec: CollectionSpec): Promise<Collection> {
  const file = objectFile(spec.object);
  const collection = await loadsAside.run(() =>
    file.openFor(async (object) => {
      const prepared = prepare(object, file, spec);
      const result = await callAsync(bpf_object__load, object);
      return result === 0 ? KernelCollection.take(prepared, new Map()) : undefined;
    }),
  );
  return collection ?? loadWithLogs(file, spec);
}

/**
 * Loads on a worker thread, for the verifier's opinion alone and to see what the programs do. On a failure libbpf lets
 * the verifier run once more with a log; where that outgrew its buffer and the kernel keeps the head of it, the culprit
 * gets more room.
 * @throws VerifierError, MapLayoutError, DatapathError
 */
export async function verify(spec: CollectionSpec): Promise<ReadonlyMap<string, ProgramEffects>> {
  const file = objectFile(spec.object);
  let result = await attemptAside(file, spec, FAILURE_LOG_BYTES);
  if ("effects" in result) return result.effects;
  if (result.errno === ENOSPC && result.culprit !== undefined && !endsWithVerdict(result.culprit.log)) {
    result = await attemptAside(file, spec, LARGEST_LOG_BYTES, result.culprit.program);
    if ("effects" in result) return result.effects;
  }
  throw loadError(file.path, result);
}

/** The verifier's last line; kernels before 6.4 keep the beginning of a log that is too long. */
const endsWithVerdict = (log: string): boolean => /^processed \d+ insns/m.test(log);

function attemptAside(
  file: ObjectFile,
  spec: CollectionSpec,
  logBytes: number,
  only?: string,
): Promise<Failure | { readonly effects: ReadonlyMap<string, ProgramEffects> }> {
  return file.openFor(async (object) => {
    // libbpf's words are not listened for: they come through the process, and other loads go on meanwhile.
    const prepared = prepare(object, file, spec);
    const logs = requestLogs(prepared, logBytes, only);
    const result = await callAsync(bpf_object__load, object);
    return result === 0
      ? { effects: effectsOfAll(prepared) }
      : { errno: -result, messages: [], culprit: culpritOf(logs) };
  });
}

function effectsOfAll({ programs, created }: Prepared): ReadonlyMap<string, ProgramEffects> {
  // Who gives an array knows what is in it; one of the object's own may hold anything one day.
  const tailCalls = created.every(({ pointer }) => bpf_map__type(pointer) !== MapType.progArray);
  return new Map(programs.map(({ name, pointer }) => [name, effectsOf(name, pointer, tailCalls)]));
}

function loadWithLogs(file: ObjectFile, spec: CollectionSpec): Collection {
  let first = attemptWithLogs(file, spec, FAILURE_LOG_BYTES);
  for (let attempt = 1; attempt < INTERRUPTED_ATTEMPTS; attempt++) {
    if ("collection" in first || first.errno !== EAGAIN) break;
    first = attemptWithLogs(file, spec, FAILURE_LOG_BYTES);
  }
  if ("collection" in first) return first.collection;
  if (first.errno !== ENOSPC || first.culprit === undefined) throw loadError(file.path, first);
  // The log did not fit, which also hides the real errno. Once more, with room for the culprit alone.
  const second = attemptWithLogs(file, spec, LARGEST_LOG_BYTES, first.culprit.program);
  if ("collection" in second) return second.collection;
  throw loadError(file.path, second);
}

interface Failure {
  readonly errno: number;
  readonly messages: readonly string[];
  /** The program the verifier refused; undefined when the load failed before or after. */
  readonly culprit: { readonly program: string; readonly log: string } | undefined;
}

/** Loads with logs of the given size for all programs, or for one. A failure of the moment need not come back. */
function attemptWithLogs(
  file: ObjectFile,
  spec: CollectionSpec,
  logBytes: number,
  only?: string,
): Failure | { readonly collection: Collection } {
  return file.open((object) => {
    const prepared = prepare(object, file, spec);
    const logs = requestLogs(prepared, logBytes, only);
    const { result, messages } = withMessages(() => bpf_object__load(object));
    if (result === 0) return { collection: KernelCollection.take(prepared, new Map()) };
    return { errno: -result, messages, culprit: culpritOf(logs) };
  });
}

function prepare(object: ObjectPointer, file: ObjectFile, spec: CollectionSpec): Prepared {
  const programs = selectPrograms(object, file, spec);
  const maps = objectMaps(object);
  if (spec.constants !== undefined) setConstants(maps, file.contents.constants, spec.constants, file.path);
  const created: Prepared["created"][number][] = [];
  const declared = new Set(file.contents.maps.map((map) => map.name));
  for (const pointer of maps) {
    const name = bpf_map__name(pointer);
    if (!declared.has(name)) continue;
    // Where maps are pinned is the agent's decision, not the object's.
    checked(bpf_map__set_pin_path(pointer, null), "prepare", `map ${name}`);
    if (!reuseMap(pointer, name, file, spec)) created.push({ name, pointer });
  }
  return { object, programs, created };
}

function selectPrograms(
  object: ObjectPointer,
  file: ObjectFile,
  { programs: wanted, skipPrograms: skipped = [] }: CollectionSpec,
): Prepared["programs"] {
  const all = objectPrograms(object).map((pointer) => ({ name: bpf_program__name(pointer), pointer }));
  const known = new Set(all.map(({ name }) => name));
  const chosen = new Set(wanted ?? known);
  const unknown = [...chosen].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new DatapathError({
      operation: "load",
      object: file.path,
      detail: `no program ${unknown.join(", ")}; there are: ${[...known].join(", ") || "none"}`,
      status: "NOT_FOUND",
    });
  }
  for (const name of skipped) chosen.delete(name);
  for (const { name, pointer } of all) {
    checked(
      bpf_program__set_autoload(pointer, chosen.has(name)),
      "select",
      `program ${name} of ${file.path}`,
    );
  }
  return all.filter(({ name }) => chosen.has(name));
}

/** True when the spec has a map for it. @throws MapLayoutError */
function reuseMap(pointer: ObjectMapPointer, name: string, file: ObjectFile, spec: CollectionSpec): boolean {
  const given = spec.maps?.[name];
  if (given === undefined) return false;
  const map = asKernelMap(given);
  const actual = layoutOf(map.spec);
  // How many entries a map holds is the agent's configuration; the C source has only a default.
  const expected = { ...layoutOf(declaredSpec(pointer)), maxEntries: actual.maxEntries };
  if (layoutDifference(expected, actual) !== "") {
    throw new MapLayoutError({ operation: "load", object: `map ${name} of ${file.path}`, expected, actual });
  }
  checked(bpf_map__reuse_fd(pointer, map.fd), "reuse", `${map.label} for ${file.path}`);
  return true;
}

type Logs = ReadonlyMap<string, Buffer>;

/**
 * Gives programs a log: all, or only one. libbpf asks the kernel to fill it after a failure, so only the
 * culprit's is filled.
 */
function requestLogs({ programs }: Prepared, bytes: number, only?: string): Logs {
  return new Map(
    programs
      .filter(({ name }) => only === undefined || name === only)
      .map(({ name, pointer }) => {
        const log = Buffer.alloc(bytes);
        checked(bpf_program__set_log_buf(pointer, log, bytes), "set log of", `program ${name}`);
        return [name, log];
      }),
  );
}

function culpritOf(logs: Logs): Failure["culprit"] {
  for (const [program, buffer] of logs) {
    const log = logText(buffer);
    if (log !== "") return { program, log };
  }
  return undefined;
}

function requestStats(prepared: Prepared): Logs {
  for (const { name, pointer } of prepared.programs) {
    checked(bpf_program__set_log_level(pointer, LOG_STATS), "set log level of", `program ${name}`);
  }
  return requestLogs(prepared, STATS_LOG_BYTES);
}

function readStats(logs: Logs | undefined): ReadonlyMap<string, VerifierStats> {
  const stats = [...(logs ?? [])].map(([name, log]) => [name, verifierStats(logText(log))] as const);
  return new Map(stats.flatMap(([name, found]) => (found === undefined ? [] : [[name, found]])));
}

function loadError(path: string, { errno, messages, culprit }: Failure): DatapathError {
  if (culprit === undefined) {
    return new DatapathError({ operation: "load", object: path, errno, detail: messages.join("; ") });
  }
  return new VerifierError({ object: path, errno, ...culprit, ...verifierReason(culprit.log) });
}

function logText(log: Buffer): string {
  const end = log.indexOf(0);
  return log.toString("utf8", 0, end === -1 ? log.length : end);
}
