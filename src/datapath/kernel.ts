import { createBpfOps, type ReaderErrorHandler } from "./bpf/index.ts";
import { createCompiler } from "./compiler/index.ts";
import { createNetOps, openNamespace } from "./net/index.ts";
import type { Datapath } from "./types.ts";

export interface KernelDatapathOptions {
  /** Absolute path of the directory for compiled objects; created when missing. */
  readonly cacheDir: string;
  /** Path or name of clang; otherwise the compiler's own choice. */
  readonly clang?: string;
  /** Hears of errors thrown by consumers of perf and ring buffer events. Default: a warning of the process. */
  readonly onReaderError?: ReaderErrorHandler;
}

/**
 * The datapath of the running kernel: libbpf, rtnetlink and clang, in the network namespace of this process.
 * @throws DatapathError when libbpf is missing
 */
export function createKernelDatapath(options: KernelDatapathOptions): Datapath {
  const { cacheDir, clang, onReaderError } = options;
  const bpf = createBpfOps(onReaderError === undefined ? {} : { onReaderError });
  const net = createNetOps();
  return {
    kind: "kernel",
    bpf,
    net,
    compiler: createCompiler({ cacheDir, ...(clang === undefined ? {} : { clang }) }),
    openNamespace,
    close: () => net.close(),
  };
}
