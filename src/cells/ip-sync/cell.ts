import { Subscription } from "rxjs";
import { Health, invoke, Jobs, Lifecycle, module } from "../../hive/index.ts";
import { Endpoints } from "../endpoints/index.ts";
import { IpCaches } from "../ipcache/index.ts";
import { SharedState } from "../kvstore/index.ts";
import { NodeNetworking } from "../node-config/index.ts";
import { Nodes } from "../nodes/index.ts";
import { decodePodAddress } from "./address.ts";
import { AddressImporter } from "./importer.ts";
import { AddressPublisher } from "./publisher.ts";

/** Addresses of pods, from the node that has them to the IP caches of all others. */
export const ipSyncCell = module(
  "ip-sync",
  "Addresses of pods and their identities, shared between nodes",
  invoke(
    {
      shared: SharedState,
      nodes: Nodes,
      endpoints: Endpoints,
      ipcache: IpCaches,
      network: NodeNetworking,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
    },
    ({ shared, nodes, endpoints, ipcache, network, lifecycle, jobs, health }) => {
      const addresses = shared.open({ name: "addresses", leased: true, decode: decodePodAddress });
      const feed = ipcache.feed("kvstore", (error) =>
        health.degraded("addresses of other nodes' pods were refused", error),
      );
      const importer = new AddressImporter(feed);
      let admitted = false;
      const publisher = new AddressPublisher({
        endpoints: endpoints.table,
        shared: addresses,
        nodeAddress: () => network.config.nodeIpv4 ?? "0.0.0.0",
        admitted: () => admitted,
      });
      const known = ipcache.registerInitializer("ip-sync");
      const subscriptions = new Subscription();
      lifecycle.append({
        name: "addresses of pods",
        start: () => {
          subscriptions.add(
            addresses.table.changeBatches().subscribe((changes) => {
              health.ok(`${importer.size} addresses of other nodes' pods`);
              importer.apply(changes);
              if (publisher.observe(changes)) publish.trigger();
            }),
          );
          void feed.settled().then(known);
          subscriptions.add(
            nodes.admitted.subscribe((now) => {
              admitted = now;
              publish.trigger();
            }),
          );
          subscriptions.add(endpoints.table.changeBatches().subscribe(() => publish.trigger()));
          subscriptions.add(network.changes.subscribe(() => publish.trigger()));
        },
        stop: () => {
          subscriptions.unsubscribe();
          feed.close();
        },
      });
      const publish = jobs.timer("publish addresses", () => publisher.publish(), {
        intervalMs: 60_000,
        backoff: { minMs: 100, maxMs: 10_000 },
      });
    },
  ),
);
