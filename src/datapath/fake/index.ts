/** A datapath in memory: for tests, for embedding, and for simulating many nodes. No packet is ever sent. */
import type { AttachMode, Datapath } from "../types.ts";
import { createFakeBpfOps } from "./bpf-ops.ts";
import { createFakeCompiler, type FakeSources } from "./compiler.ts";
import { Handles } from "./handles.ts";
import { FakeKernel, type FakeKernelOptions } from "./kernel.ts";

export type { ErrnoName } from "./errno.ts";
export type { FaultOperation, FaultOptions } from "./faults.ts";
export { FakeKernel, type FakeKernelOptions } from "./kernel.ts";
export type { FakeDevice } from "./net/network.ts";

export interface FakeDatapathOptions extends FakeKernelOptions {
  /** The kernel of an earlier fake datapath, to play a restart; otherwise a new one. */
  readonly kernel?: FakeKernel;
  /** Attach modes this kernel has, best first; TCX and clsact unless told. */
  readonly attachModes?: readonly AttachMode[];
  /** Sources by absolute path, instead of or besides those on disk. */
  readonly sources?: FakeSources;
}

/** A datapath whose kernel can be looked into, and made to fail. */
export interface FakeDatapath extends Datapath {
  readonly kind: "fake";
  readonly kernel: FakeKernel;
}

/**
 * Makes a fake datapath. Closing it lets go of everything it has open, as the end of a process would: what
 * is pinned or attached stays in its kernel.
 *
 * @example
 * const before = createFakeDatapath();
 * before.bpf.ensureBpffs("/bpf");
 * before.bpf.ensurePinnedMap(spec, "/bpf/map").close();
 * before.close();
 * const after = createFakeDatapath({ kernel: before.kernel });
 * after.bpf.openPinnedMap("/bpf/map"); // still there
 */
export function createFakeDatapath(options: FakeDatapathOptions = {}): FakeDatapath {
  const kernel = options.kernel ?? new FakeKernel(options);
  const handles = new Handles();
  const net = kernel.network.rootOps();
  return {
    kind: "fake",
    kernel,
    bpf: createFakeBpfOps(kernel, handles, options.attachModes ?? ["tcx", "clsact"]),
    net,
    compiler: createFakeCompiler(kernel, options.sources ?? {}),
    openNamespace: (path) => kernel.network.open(path),
    close() {
      net.close();
      handles.close();
    },
  };
}
