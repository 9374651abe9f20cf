import { reasonName } from "../../datapath/drop-reasons.ts";
import type { BpfMap } from "../../datapath/index.ts";
import {
  FORWARDED_BETWEEN_PODS,
  type Forwarded,
  MetricDirection,
  type MetricsKey,
  type MetricsValue,
} from "../../datapath/maps/index.ts";
import type { DatapathMetric, Metrics } from "./types.ts";

const directions: ReadonlyMap<number, DatapathMetric["direction"]> = new Map([
  [MetricDirection.ingress, "ingress"],
  [MetricDirection.egress, "egress"],
]);

/** The maps that count packets, called when first needed: shared maps are open only after start. */
export interface MetricsMaps {
  metrics(): BpfMap<MetricsKey, MetricsValue>;
  forwarded(): BpfMap<number, Forwarded>;
}

/**
 * `cilium_metrics`, summed over CPUs and over the places in the source that count the same reason. What was forwarded
 * is taken from `waggle_forwarded`, which that map follows.
 */
export class MapMetrics implements Metrics {
  readonly #maps: MetricsMaps;

  constructor(maps: MetricsMaps) {
    this.#maps = maps;
  }

  async read(): Promise<readonly DatapathMetric[]> {
    const counted = await this.#maps.metrics().entriesPerCpu();
    const forwarded = new Map(await this.#maps.forwarded().entriesPerCpu());
    const sums = new Map<string, DatapathMetric>();
    const add = (reason: number, number: number, values: readonly MetricsValue[]): void => {
      const direction = directions.get(number) ?? "unknown";
      const key = `${reason} ${direction}`;
      const { packets, bytes } = sums.get(key) ?? { packets: 0n, bytes: 0n };
      sums.set(key, {
        reason,
        reasonName: reasonName(reason),
        direction,
        packets: values.reduce((sum, { count }) => sum + count, packets),
        bytes: values.reduce((sum, value) => sum + value.bytes, bytes),
      });
    };
    const both = forwarded.get(FORWARDED_BETWEEN_PODS) ?? [];
    forwarded.delete(FORWARDED_BETWEEN_PODS);
    for (const [direction, values] of forwarded) forwarded.set(direction, sumOf(values, both));
    for (const [{ reason, direction }, values] of counted) {
      const newer = reason === METRIC_FORWARDED ? forwarded.get(direction) : undefined;
      if (newer !== undefined) forwarded.delete(direction);
      add(reason, direction, newer === undefined ? values : laterOf(values, newer));
    }
    for (const [direction, values] of forwarded) {
      if (values.some(({ count }) => count > 0n)) add(METRIC_FORWARDED, direction, values);
    }
    return [...sums.values()].sort(
      (a, b) => a.reason - b.reason || Number(a.direction > b.direction) - Number(a.direction < b.direction),
    );
  }
}

/** `MetricsKey.reason` of packets that went on. */
const METRIC_FORWARDED = 0;

/** CPU by CPU the sum of two counters. */
const sumOf = (values: readonly Forwarded[], others: readonly Forwarded[]): readonly Forwarded[] =>
  values.map((value, cpu) => {
    const { count, bytes } = others[cpu] ?? { count: 0n, bytes: 0n };
    return { ...value, count: value.count + count, bytes: value.bytes + bytes };
  });

/** CPU by CPU the later of two readings of the same counter. */
const laterOf = (values: readonly MetricsValue[], others: readonly MetricsValue[]): readonly MetricsValue[] =>
  values.map((value, cpu) => {
    const other = others[cpu];
    return other !== undefined && other.count > value.count ? other : value;
  });
