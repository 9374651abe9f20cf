import type { Lb4Backend, Lb4Key, Lb4ReverseNat, Lb4Service } from "../../datapath/maps/index.ts";
import {
  contribute,
  Health,
  Lifecycle,
  Log,
  module,
  provide,
  providePrivate,
  token,
} from "../../hive/index.ts";
import { Database, Reconciler, type RWTable } from "../../table/index.ts";
import { DatapathToken, type GlobalMaps, GlobalMapsToken, ReconciledMaps } from "../datapath/index.ts";
import { State } from "../state/index.ts";
import { serviceMapStates } from "./entry-states.ts";
import { KernelServices } from "./kernel.ts";
import type { ServiceMaps } from "./kernel-maps.ts";
import { StoredServices } from "./manager.ts";
import { type ServiceRow, type StoredService, serviceTable } from "./row.ts";
import type { ServiceManager } from "./types.ts";

/** ClusterIP services. Usable once the services cell has started. */
export const Services = token<ServiceManager>("Services");

/** The services as they are wanted, on their way to the kernel. */
interface Wanted {
  readonly table: RWTable<ServiceRow, string>;
  readonly reconciler: Reconciler<ServiceRow, string>;
}

const wantedServices = token<Wanted>("wanted-services");

const serviceMaps = (maps: GlobalMaps): ServiceMaps => ({
  services: maps.typed<Lb4Key, Lb4Service>("cilium_lb4_services_v2"),
  backends: maps.typed<number, Lb4Backend>("cilium_lb4_backends_v2"),
  reverseNat: maps.typed<number, Lb4ReverseNat>("cilium_lb4_reverse_nat"),
});

/** Services: the table, what is stored of it, and the kernel's cilium_lb4_* maps. */
export const servicesCell = module(
  "services",
  "Services: frontends and their backends",
  providePrivate(
    wantedServices,
    { datapath: DatapathToken, maps: GlobalMapsToken, health: Health, log: Log },
    ({ datapath, maps, health, log }) => {
      const table = new Database().createTable(serviceTable);
      const reconciler = new Reconciler({
        name: "services",
        table,
        ops: new KernelServices(
          () => serviceMaps(maps),
          () => datapath.bpf.quiesce(),
        ),
        logger: log,
        onHealth: ({ state: level, message, errors }) => {
          if (level === "ok") health.ok(message);
          else health.degraded(message, new Error(errors.join("; ")));
        },
      });
      return { table, reconciler };
    },
  ),
  provide(
    Services,
    { wanted: wantedServices, maps: GlobalMapsToken, state: State, lifecycle: Lifecycle },
    ({ wanted: { table, reconciler }, maps, state, lifecycle }) => {
      const services = new StoredServices({
        table,
        reconciler,
        storage: state.collection<StoredService>("services"),
        cursors: state.collection<number>("service-cursors"),
        capacity: () => {
          const { services: slots, backends, reverseNat } = serviceMaps(maps);
          return {
            slots: slots.info.maxEntries,
            backends: backends.info.maxEntries,
            reverseNat: reverseNat.info.maxEntries,
          };
        },
      });
      const restored = table.registerInitializer("services");
      lifecycle.append({
        name: "services",
        start: () => {
          services.restore();
          restored();
          reconciler.start();
        },
        stop: () => reconciler.stop(),
      });
      return services;
    },
  ),
  contribute(ReconciledMaps, { wanted: wantedServices }, ({ wanted }) => serviceMapStates(wanted).services),
  contribute(ReconciledMaps, { wanted: wantedServices }, ({ wanted }) => serviceMapStates(wanted).backends),
  contribute(ReconciledMaps, { wanted: wantedServices }, ({ wanted }) => serviceMapStates(wanted).reverseNat),
);
