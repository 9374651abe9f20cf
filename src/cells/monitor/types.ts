import type { Observable } from "rxjs";
import type { DatapathEvent } from "../../datapath/index.ts";

/** What a monitor reader wants to see. Drops are always on; traces and verdicts cost packets' time while read. */
export interface MonitorFilter {
  readonly drops: boolean;
  readonly traces: boolean;
  readonly verdicts: boolean;
  /** Only events of this endpoint. */
  readonly endpointId?: number;
}

export type MonitorMessage =
  | { readonly kind: "event"; readonly at: Date; readonly cpu: number; readonly event: DatapathEvent }
  | { readonly kind: "lost"; readonly at: Date; readonly count: number };

export interface Monitor {
  /**
   * Opens the perf buffer with the first subscriber and closes it with the last; completes when the agent stops. Events
   * are delivered as they come, and nothing is kept for a reader that is slow: it must bound what it queues.
   *
   * Fails with RefusalError RESOURCE_EXHAUSTED when too many read already, UNAVAILABLE before start and after stop.
   */
  events(filter: MonitorFilter): Observable<MonitorMessage>;
}

/** One row of cilium_metrics, summed over CPUs. */
export interface DatapathMetric {
  /** 0 forwarded, otherwise the drop reason's number without sign. */
  readonly reason: number;
  readonly reasonName: string;
  readonly direction: "ingress" | "egress" | "unknown";
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface Metrics {
  /** Ordered by reason and direction. @throws DatapathError */
  read(): Promise<readonly DatapathMetric[]>;
}
