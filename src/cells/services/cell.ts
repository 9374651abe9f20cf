import type { Lb4Backend, Lb4Key, Lb4ReverseNat, Lb4Service } from "../../datapath/maps/index.ts";
import { Health, Lifecycle, Log, module, provide, token } from "../../hive/index.ts";
import { Database, Reconciler } from "../../table/index.ts";
import { DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { State } from "../state/index.ts";
import { KernelServices } from "./kernel.ts";
import type { ServiceMaps } from "./kernel-maps.ts";
import { StoredServices } from "./manager.ts";
import { type StoredService, serviceTable } from "./row.ts";
import type { ServiceManager } from "./types.ts";

/** ClusterIP services. Usable once the services cell has started. */
export const Services = token<ServiceManager>("Services");

/** Services: the table, what is stored of it, and the kernel's cilium_lb4_* maps. */
export const servicesCell = module(
  "services",
  "Services: frontends and their backends",
  provide(
    Services,
    {
      datapath: DatapathToken,
      maps: GlobalMapsToken,
      state: State,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({ datapath, maps, state, lifecycle, health, log }) => {
      const serviceMaps = (): ServiceMaps => ({
        services: maps.typed<Lb4Key, Lb4Service>("cilium_lb4_services_v2"),
        backends: maps.typed<number, Lb4Backend>("cilium_lb4_backends_v2"),
        reverseNat: maps.typed<number, Lb4ReverseNat>("cilium_lb4_reverse_nat"),
      });
      const table = new Database().createTable(serviceTable);
      const reconciler = new Reconciler({
        name: "services",
        table,
        ops: new KernelServices(serviceMaps, () => datapath.bpf.quiesce()),
        logger: log,
        onHealth: ({ state: level, message, errors }) => {
          if (level === "ok") health.ok(message);
          else health.degraded(message, new Error(errors.join("; ")));
        },
      });
      const services = new StoredServices({
        table,
        reconciler,
        storage: state.collection<StoredService>("services"),
        cursors: state.collection<number>("service-cursors"),
        capacity: () => {
          const { services: slots, backends, reverseNat } = serviceMaps();
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
);
