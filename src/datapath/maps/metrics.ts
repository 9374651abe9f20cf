import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { named, padding, struct, u8, u16, u32, u64 } from "./layout.ts";

/** `MetricsKey.direction`, as the pod sees it. */
export const MetricDirection = { unknown: 0, ingress: 1, egress: 2 } as const;

/** Key of `cilium_metrics`. */
export interface MetricsKey {
  /** 0 forwarded; otherwise a drop reason's number without its sign. */
  readonly reason: number;
  readonly direction: number;
  /** Where in the C source; zero for forwarded packets. */
  readonly line: number;
  readonly file: number;
}

/** Value of `cilium_metrics` on one CPU. */
export interface MetricsValue {
  readonly count: bigint;
  readonly bytes: bigint;
}

const metricsKey = struct("metrics_key", {
  reason: u8,
  direction: named("dir", u8),
  line: u16,
  file: u8,
  reserved: padding(3),
});

const metricsValue = struct("metrics_value", { count: u64, bytes: u64 });

/** Packets and bytes forwarded and dropped. All programs write, the agent reads. */
export const metricsMap = defineMap<MetricsKey, MetricsValue>({
  name: "cilium_metrics",
  type: MapType.percpuHash,
  maxEntries: 1024,
  key: metricsKey,
  value: metricsValue,
  formatKey: (key) => `reason:${key.reason} dir:${key.direction} line:${key.line} file:${key.file}`,
  formatValue: (value) => `count:${value.count} bytes:${value.bytes}`,
});

/** What one CPU has forwarded in a direction. */
export interface Forwarded extends MetricsValue {
  /** Tick of the kernel's clock (jiffies) at which `cilium_metrics` was told last. */
  readonly shown: bigint;
}

/** Key of `waggle_forwarded` of what counts for both directions: out of one pod and right into another. */
export const FORWARDED_BETWEEN_PODS = 0;

/** Packets and bytes forwarded, by direction. All programs of pods write; `cilium_metrics` follows it within a tick. */
export const forwardedMap = defineMap<number, Forwarded>({
  name: "waggle_forwarded",
  type: MapType.percpuArray,
  maxEntries: MetricDirection.egress + 1,
  key: u32,
  value: struct("forwarded", { count: u64, bytes: u64, shown: u64 }),
  formatKey: (direction) => `dir:${direction}`,
  formatValue: (value) => `count:${value.count} bytes:${value.bytes}`,
});
