import { Subscription } from "rxjs";
import { Health, Jobs, Lifecycle, Log, module, provide } from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import { packageVersion } from "../../version.ts";
import { IpCaches } from "../ipcache/index.ts";
import { SharedState } from "../kvstore/index.ts";
import { NodeNetworking, NodeSettings } from "../node-config/index.ts";
import { NodeAddresses } from "./addresses.ts";
import { announcementOf, decodeAnnouncement } from "./announcement.ts";
import { Membership } from "./membership.ts";
import { Nodes } from "./tokens.ts";
import type { Node } from "./types.ts";

/** The nodes of the cluster: announces this one, follows the others. */
export const nodesCell = module(
  "nodes",
  "The nodes of the cluster",
  provide(
    Nodes,
    {
      shared: SharedState,
      settings: NodeSettings,
      network: NodeNetworking,
      ipcache: IpCaches,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ shared, settings, network, ipcache, lifecycle, jobs, health, log }) => {
      const announcements = shared.open({ name: "nodes", leased: true, decode: decodeAnnouncement });
      const table = new Database().createTable<Node, string>({ name: "nodes", key: ({ name }) => name });
      const membership = new Membership({ name: settings.nodeName, shared: announcements, table });
      const addresses = new NodeAddresses(ipcache);
      const known = {
        table: table.registerInitializer("store"),
        ipcache: ipcache.registerInitializer("nodes"),
      };
      const version = packageVersion();
      let told = "";
      const review = (): void => {
        const { peers, problems } = membership.review();
        addresses.set(peers);
        network.setPeers(peers);
        const report = problems.join("; ");
        if (problems.length === 0) health.ok(`${table.size} nodes`);
        else health.degraded(report);
        if (report !== told && report !== "") log.warn({ problems }, "nodes are in each other's way");
        told = report;
        announce.trigger();
      };
      const subscriptions = new Subscription();
      lifecycle.append({
        name: "nodes",
        start: () => {
          membership.describe(announcementOf(network.config, version));
          // Begins with what is known now, and delivers before the change that made it returns.
          subscriptions.add(announcements.table.changeBatches().subscribe(review));
          subscriptions.add(
            network.changes.subscribe((config) => {
              membership.describe(announcementOf(config, version));
              review();
            }),
          );
          known.table();
          known.ipcache();
        },
        stop: () => subscriptions.unsubscribe(),
      });
      const announce = jobs.timer("announce this node", () => membership.settle(), {
        backoff: { minMs: 100, maxMs: 10_000 },
        intervalMs: 60_000,
      });
      return {
        table,
        admitted: membership.admitted,
        get local() {
          return membership.local;
        },
      };
    },
  ),
);
