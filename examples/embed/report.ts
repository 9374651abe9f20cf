import { DatapathToken, GlobalMapsToken } from "waggle/cells/datapath";
import type { IpCacheKey, RemoteEndpointInfo } from "waggle/datapath/maps";
import { HealthTree, invoke, Jobs, Lifecycle, module } from "waggle/hive";
import { Prefixes } from "./prefix-feed.ts";

const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");

/** Prints what is in the kernel's map after each change, and whatever degrades or recovers. */
export const reportCell = module(
  "report",
  "Says on standard output what is in force",
  invoke(
    {
      datapath: DatapathToken,
      maps: GlobalMapsToken,
      feed: Prefixes,
      health: HealthTree,
      jobs: Jobs,
      lifecycle: Lifecycle,
    },
    ({ datapath, maps, feed, health, jobs, lifecycle }) => {
      const unwell = new Set<string>();
      jobs.observer("health", health.changes(), ({ path, level, message, error }) => {
        if (level === "degraded") {
          unwell.add(path);
          console.log(`degraded: ${path}: ${error ?? message}`);
        } else if (unwell.delete(path)) {
          console.log(`${level} again: ${path}`);
        }
      });
      jobs.observer(
        "prefixes",
        feed.prefixes,
        async (prefixes) => {
          const inKernel = await maps.typed<IpCacheKey, RemoteEndpointInfo>("cilium_ipcache").entries();
          const identityOf = new Map(inKernel.map(([{ prefix }, { identity }]) => [prefix, identity]));
          for (const { prefix, labels } of prefixes) {
            const identity = String(identityOf.get(prefix) ?? "–");
            console.log(`${prefix.padEnd(18)} ${identity.padEnd(5)} ${labelText(labels)}`);
          }
          console.log(`cilium_ipcache (${datapath.kind}) has ${inKernel.length} entries`);
        },
        { keep: "latest" },
      );
      lifecycle.append({ name: "farewell", stop: () => console.log("stopped") });
    },
  ),
);
