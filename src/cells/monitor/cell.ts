import type { Forwarded, MetricsKey, MetricsValue, RuntimeConfig } from "../../datapath/maps/index.ts";
import { type ConfigOf, config, flag, Lifecycle, module, provide, token } from "../../hive/index.ts";
import { DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { MapMetrics } from "./metrics.ts";
import { PerfMonitor } from "./monitor.ts";
import type { Metrics, Monitor } from "./types.ts";

/** Drops, traces and verdicts as they happen. Usable once the monitor cell has started. */
export const Monitoring = token<Monitor>("Monitoring");
/** Counters of the datapath. Usable once the datapath cell has started. */
export const DatapathMetrics = token<Metrics>("DatapathMetrics");

const flags = {
  "monitor-max-readers": flag.int({
    default: 32,
    help: "how many may read the datapath's events at once",
    validate: (readers) => (readers >= 1 ? undefined : "it is not at least 1"),
  }),
};

/** What the monitor cell is told. */
export const MonitorConfig = token<ConfigOf<typeof flags>>("MonitorConfig");

/** What the datapath says of packets: notifications and counters. */
export const monitorCell = module(
  "monitor",
  "Monitor: notifications and counters of the datapath",
  config(MonitorConfig, flags),
  provide(
    Monitoring,
    { settings: MonitorConfig, datapath: DatapathToken, maps: GlobalMapsToken, lifecycle: Lifecycle },
    ({ settings, datapath, maps, lifecycle }) => {
      const monitor = new PerfMonitor({
        bpf: datapath.bpf,
        events: () => {
          const events = maps.raw.cilium_events;
          if (events === undefined) throw new Error("no shared map is called cilium_events");
          return events;
        },
        runtime: () => maps.typed<number, RuntimeConfig>("waggle_runtime"),
        maxReaders: settings.monitorMaxReaders,
      });
      lifecycle.append({ name: "monitor", start: () => monitor.start(), stop: () => monitor.stop() });
      return monitor;
    },
  ),
  provide(DatapathMetrics, { maps: GlobalMapsToken }, ({ maps }) => {
    return new MapMetrics({
      metrics: () => maps.typed<MetricsKey, MetricsValue>("cilium_metrics"),
      forwarded: () => maps.typed<number, Forwarded>("waggle_forwarded"),
    });
  }),
);
