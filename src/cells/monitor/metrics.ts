import { reasonName } from "../../datapath/drop-reasons.ts";
import type { BpfMap } from "../../datapath/index.ts";
import { MetricDirection, type MetricsKey, type MetricsValue } from "../../datapath/maps/index.ts";
import type { DatapathMetric, Metrics } from "./types.ts";

const directions: ReadonlyMap<number, DatapathMetric["direction"]> = new Map([
  [MetricDirection.ingress, "ingress"],
  [MetricDirection.egress, "egress"],
]);

/** `cilium_metrics`, summed over CPUs and over the places in the source that count the same reason. */
export class MapMetrics implements Metrics {
  readonly #map: () => BpfMap<MetricsKey, MetricsValue>;

  /** @param map called when first needed: shared maps are open only after start */
  constructor(map: () => BpfMap<MetricsKey, MetricsValue>) {
    this.#map = map;
  }

  async read(): Promise<readonly DatapathMetric[]> {
    const sums = new Map<string, DatapathMetric>();
    for (const [{ reason, direction: number }, values] of await this.#map().entriesPerCpu()) {
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
    }
    return [...sums.values()].sort(
      (a, b) => a.reason - b.reason || Number(a.direction > b.direction) - Number(a.direction < b.direction),
    );
  }
}
