/** Reading the verifier's log (kernel/bpf/verifier.c, log.c). */

export interface VerifierReason {
  /** The last lines that carry the reason. */
  readonly lastLines: readonly string[];
  /** C source line the verifier was at; newer kernels add "@ file.c:12". */
  readonly sourceLine: string | undefined;
}

const LAST_LINES = 8;
/** Statistics that follow the reason. */
const STATISTICS = /^(processed \d+ insns|verification time|stack depth)/;

/** What a person needs to see of a failing program's log. */
export function verifierReason(log: string): VerifierReason {
  const lines = log
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "" && !STATISTICS.test(line));
  return {
    lastLines: lines.slice(-LAST_LINES),
    // The verifier quotes a source line, after ";", before the first instruction compiled from it.
    sourceLine: lines.findLast((line) => line.startsWith(";"))?.replace(/^;\s*/, ""),
  };
}

export interface VerifierStats {
  readonly insnsProcessed: number;
  /** Sum over the program and its functions: an upper bound for any one path. */
  readonly stackDepth: number;
}

/** Statistics of a log made with level 4 (`BPF_LOG_STATS`); undefined when the log has none. */
export function verifierStats(log: string): VerifierStats | undefined {
  const processed = /^processed (\d+) insns/m.exec(log)?.[1];
  if (processed === undefined) return undefined;
  const depths = /^stack depth ([\d+]+)/m.exec(log)?.[1] ?? "0";
  const stackDepth = depths.split("+").reduce((sum, depth) => sum + Number(depth), 0);
  return { insnsProcessed: Number(processed), stackDepth };
}
