import type { Subscription } from "rxjs";
import { Health, invoke, Lifecycle, module } from "../../hive/index.ts";
import { IpCaches } from "../ipcache/index.ts";
import { NodeSettings } from "../node-config/index.ts";
import { Services } from "../services/index.ts";
import { ServiceAddresses } from "./addresses.ts";

/** Addresses of services, from the table of services to the IP cache. */
export const serviceAddressesCell = module(
  "service-addresses",
  "Addresses of services in the IP cache, for what is none of their ports",
  invoke(
    {
      settings: NodeSettings,
      services: Services,
      ipcache: IpCaches,
      lifecycle: Lifecycle,
      health: Health,
    },
    ({ settings, services, ipcache, lifecycle, health }) => {
      const feed = ipcache.feed("service", (error) =>
        health.degraded("addresses of services were refused", error),
      );
      const addresses = new ServiceAddresses(feed, settings.serviceCidr);
      const known = ipcache.registerInitializer("service-addresses");
      let subscription: Subscription | undefined;
      lifecycle.append({
        name: "addresses of services",
        start: () => {
          subscription = services.table.changeBatches().subscribe((changes) => addresses.apply(changes));
          void feed.settled().then(known);
          health.ok("addresses of services are told");
        },
        stop: () => {
          subscription?.unsubscribe();
          feed.close();
        },
      });
    },
  ),
);
