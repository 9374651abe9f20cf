import { Subscription } from "rxjs";
import { Health, Jobs, Lifecycle, Log, module, provide } from "../../hive/index.ts";
import { Database } from "../../table/index.ts";
import { packageVersion } from "../../version.ts";
import { IpCaches } from "../ipcache/index.ts";
import { SharedState } from "../kvstore/index.ts";
import { NodeNetworking, NodeSettings } from "../node-config/index.ts";
import { State } from "../state/index.ts";
import { NodeAddresses } from "./addresses.ts";
import { announcementOf, decodeAnnouncement } from "./announcement.ts";
import { DepartedCidrs, type KnownCidr } from "./departed.ts";
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
      state: State,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ shared, settings, network, ipcache, state, lifecycle, jobs, health, log }) => {
      const announcements = shared.open({ name: "nodes", leased: true, decode: decodeAnnouncement });
      const table = new Database().createTable<Node, string>({ name: "nodes", key: ({ name }) => name });
      const membership = new Membership({ name: settings.nodeName, shared: announcements, table });
      const addresses = new NodeAddresses(ipcache);
      const departed = new DepartedCidrs(state.collection<KnownCidr>("pod-cidrs"));
      const known = {
        table: table.registerInitializer("store"),
        ipcache: ipcache.registerInitializer("nodes"),
      };
      const version = packageVersion();
      let told = "";
      const review = (): void => {
        const { peers, problems } = membership.review();
        const left = departed.follow(table.list());
        addresses.set(peers, left);
        network.setPeers(peers, left);
        const report = problems.join("; ");
        const gone = left.length === 0 ? "" : `; pods of nodes that have left are refused: ${named(left)}`;
        if (problems.length === 0) health.ok(`${table.size} nodes${gone}`);
        else health.degraded(report);
        if (report !== told && report !== "") log.warn({ problems }, "nodes are in each other's way");
        told = report;
        announce.trigger();
      };
      const subscriptions = new Subscription();
      lifecycle.append({
        name: "nodes",
        start: () => {
          departed.restore();
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
      const announce = jobs.timer(
        "announce this node",
        async () => {
          await membership.settle();
          if (departed.due) review();
          await departed.save();
        },
        { backoff: { minMs: 100, maxMs: 10_000 }, intervalMs: 60_000 },
      );
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

/** How many pod CIDRs health names. */
const namedCidrs = 5;

const named = (cidrs: readonly string[]): string =>
  [...cidrs.slice(0, namedCidrs), ...(cidrs.length > namedCidrs ? ["…"] : [])].join(", ");
