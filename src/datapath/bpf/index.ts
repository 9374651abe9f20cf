/** `BpfOps` on the kernel, through libbpf. */
import type { AttachMode, AttachSpec, BpfOps, Closeable } from "../types.ts";
import { ensureBpffs, listPins, makePinDirectory, unmountBpffs, unpin } from "./bpffs.ts";
import { attachCgroup, openCgroupAttachment } from "./cgroup.ts";
import { ensureCgroup2, findCgroup2, unmountCgroup2 } from "./cgroupfs.ts";
import { checked } from "./check.ts";
import { attachClsact, openClsact } from "./clsact.ts";
import { possibleCpus } from "./cpus.ts";
import { type ReaderErrorHandler, readPerfEvents, readRingbuf } from "./event-reader.ts";
import { OwnedFd } from "./fd.ts";
import { bpf_enable_stats } from "./ffi/common.ts";
import { clearInnerMap, setInnerMap } from "./inner-maps.ts";
import { load, loadAside, verify } from "./load.ts";
import { createMap, ensurePinnedMap, openPinnedMap } from "./maps.ts";
import { silenceLibbpf } from "./messages.ts";
import { objectFile } from "./object-file.ts";
import { clearProgram, programIds, setProgram } from "./prog-array.ts";
import { openPinnedProgram, programById } from "./program.ts";
import { quiesce } from "./quiesce.ts";
import { attachTcx, attachTcxAside, detachTcxAside, hasTcx, openTcx } from "./tcx.ts";
import { createTypedMap } from "./typed-map.ts";

export type { ReaderErrorHandler } from "./event-reader.ts";

export interface BpfOpsOptions {
  /** Hears of errors thrown by consumers of events. Default: a warning of the process. */
  readonly onReaderError?: ReaderErrorHandler;
}

/** `BPF_STATS_RUN_TIME` (include/uapi/linux/bpf.h). */
const BPF_STATS_RUN_TIME = 0;

/**
 * The kernel's BPF. All calls are made on the thread that calls this; attaching works on the network
 * namespace of that thread.
 * @throws DatapathError
 */
export function createBpfOps(options: BpfOpsOptions = {}): BpfOps {
  silenceLibbpf();
  const onReaderError = options.onReaderError ?? warn;
  const cpus = possibleCpus();
  let modes: readonly AttachMode[] | undefined;
  return {
    cpus,
    attachModes() {
      modes ??= hasTcx() ? ["tcx", "clsact"] : ["clsact"];
      return modes;
    },
    ensureBpffs,
    unmountBpffs,
    createMap,
    ensurePinnedMap,
    openPinnedMap: (path) => openPinnedMap(path),
    typed: (raw, spec) => createTypedMap(raw, spec, cpus),
    describeObject: (object) => objectFile(object).contents,
    load,
    loadAside,
    verify,
    openPinnedProgram,
    programById,
    setProgram,
    clearProgram,
    programIds,
    setInnerMap,
    clearInnerMap,
    attach: (spec: AttachSpec, program) =>
      spec.mode === "tcx" ? attachTcx(spec, program) : attachClsact(spec, program),
    attachAside: async (spec: AttachSpec, program) =>
      spec.mode === "tcx" ? attachTcxAside(spec, program) : attachClsact(spec, program),
    detachAside: async (spec: AttachSpec) =>
      spec.mode === "tcx" ? detachTcxAside(spec) : openClsact(spec)?.detach(),
    openAttachment: (spec: AttachSpec) => (spec.mode === "tcx" ? openTcx(spec) : openClsact(spec)),
    findCgroup2,
    ensureCgroup2,
    unmountCgroup2,
    attachCgroup,
    openCgroupAttachment,
    quiesce,
    readPerfEvents: (array, onEvent, onLost) => readPerfEvents(array, onEvent, onLost, onReaderError),
    readRingbuf: (ringbuf, onRecord) => readRingbuf(ringbuf, onRecord, onReaderError),
    unpin,
    listPins,
    makePinDirectory,
    enableStats,
  };
}

function enableStats(): Closeable {
  const object = "BPF run-time statistics";
  return new OwnedFd(checked(bpf_enable_stats(BPF_STATS_RUN_TIME), "enable", object), object);
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
