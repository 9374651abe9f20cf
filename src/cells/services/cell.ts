import type { Subscription } from "rxjs";
import { lbFilterMap } from "../../datapath/maps/index.ts";
import {
  bundle,
  contribute,
  Health,
  Jobs,
  Lifecycle,
  Log,
  module,
  provide,
  providePrivate,
  token,
} from "../../hive/index.ts";
import { Database, Reconciler, type RWTable } from "../../table/index.ts";
import { DatapathToken, GlobalMapsToken, ReconciledMaps } from "../datapath/index.ts";
import { SharedState } from "../kvstore/index.ts";
import { NodeNetworking } from "../node-config/index.ts";
import { State } from "../state/index.ts";
import { AddressFilter } from "./address-filter.ts";
import { serviceMapNames, serviceMapStates } from "./entry-states.ts";
import { ServiceFollower } from "./follower.ts";
import { servingNodes } from "./frontends.ts";
import { KernelFrontends } from "./kernel.ts";
import { serviceMaps } from "./kernel-maps.ts";
import { SharedServiceManager } from "./manager.ts";
import { ServiceNumbering, type StoredNumbers } from "./numbering.ts";
import { ServiceResolver } from "./resolver.ts";
import { type FrontendRow, frontendTable, serviceTable } from "./rows.ts";
import { decodeSpec } from "./shared.ts";
import type { Service, ServiceManager } from "./types.ts";

/** Services of the cluster. Usable once the services cell has started. */
export const Services = token<ServiceManager>("Services");

/** The frontends of this node, on their way to the kernel. */
interface Wanted {
  readonly database: Database;
  readonly frontends: RWTable<FrontendRow, string>;
  readonly numbering: ServiceNumbering;
  readonly kernel: KernelFrontends;
  readonly reconciler: Reconciler<FrontendRow, string>;
  readonly filter: AddressFilter;
}

const wantedFrontends = token<Wanted>("wanted-frontends");

/** Rows a call: what writes them to the kernel must not keep the event loop for long. */
const BATCH = 256;

/** Services: what the nodes share of them, this node's frontends, and the kernel's maps of load balancing. */
export const servicesCell = module(
  "services",
  "Services: frontends and their backends",
  providePrivate(
    wantedFrontends,
    { datapath: DatapathToken, maps: GlobalMapsToken, state: State, health: Health, log: Log },
    ({ datapath, maps, state, health, log }) => {
      const database = new Database();
      const frontends = database.createTable(frontendTable);
      const numbering = new ServiceNumbering(
        state.collection<StoredNumbers>("service-numbers"),
        state.collection<number>("service-cursors"),
      );
      const filter = new AddressFilter(() => maps.typed(lbFilterMap.name));
      const kernel = new KernelFrontends(
        () => serviceMaps(maps),
        () => datapath.bpf.quiesce(),
        numbering,
        filter,
      );
      const reconciler = new Reconciler({
        name: "services",
        table: frontends,
        ops: kernel,
        batchSize: BATCH,
        logger: log,
        onHealth: ({ state: level, message, errors }) => {
          if (level === "ok") health.ok(message);
          else health.degraded(message, new Error(errors.join("; ")));
        },
      });
      return { database, frontends, numbering, kernel, reconciler, filter };
    },
  ),
  provide(
    Services,
    {
      wanted: wantedFrontends,
      maps: GlobalMapsToken,
      network: NodeNetworking,
      collections: SharedState,
      lifecycle: Lifecycle,
      jobs: Jobs,
      log: Log,
    },
    ({ wanted, maps, network, collections, lifecycle, jobs, log }) => {
      const { database, frontends, numbering, reconciler, filter } = wanted;
      const table = database.createTable<Service, string>(serviceTable);
      const shared = collections.open({ name: "services", decode: decodeSpec });
      const node = servingNodes(() => network.config);
      const resolver = new ServiceResolver({ shared, database, services: table, frontends, numbering, node });
      const follower = new ServiceFollower({ shared, services: table, resolver });
      const complete = frontends.registerInitializer("services");
      let subscription: Subscription | undefined;
      lifecycle.append({
        name: "services",
        start: async () => {
          await filter.open(); // the agent before this one may have known other frontends, or no filter
          const remembered = numbering.restore();
          await follower.catchUp();
          resolver.forget(remembered);
          complete();
          reconciler.start();
          let before = node();
          subscription = network.changes.subscribe(() => {
            const after = node();
            follower.nodeChanged(before, after, log);
            before = after;
          });
        },
        stop: async () => {
          subscription?.unsubscribe();
          await reconciler.stop();
        },
      });
      jobs.oneShot("follow services", ({ signal }) => follower.follow(signal));
      return new SharedServiceManager({
        table,
        frontends,
        reconciler,
        shared,
        resolver,
        numbering,
        node,
        capacity: () => {
          const { 4: v4, 6: v6 } = serviceMaps(maps);
          return {
            slots: { 4: v4.services.info.maxEntries, 6: v6.services.info.maxEntries },
            backends: { 4: v4.backends.info.maxEntries, 6: v6.backends.info.maxEntries },
            frontends: v4.reverseNat.info.maxEntries - 1,
          };
        },
      });
    },
  ),
  bundle(
    ...serviceMapNames.map((_, index) =>
      contribute(ReconciledMaps, { wanted: wantedFrontends }, ({ wanted }) => {
        const { frontends, reconciler, numbering, kernel } = wanted;
        const backends = {
          byId: (id: number) => numbering.backendById(id),
          inKernel: (backend: Parameters<typeof kernel.holds>[0]) => kernel.holds(backend),
        };
        return serviceMapStates({ table: frontends, reconciler, backends })[index]!;
      }),
    ),
  ),
);
