import type { TableDef } from "../../table/index.ts";
import type { NumberedBackend } from "./backend.ts";
import { addressKey, type Family } from "./keys.ts";
import type { Algorithm, FrontendKind, IpPort, Service, ServiceProtocol } from "./types.ts";

/** One frontend as it shall stand in the kernel's maps. */
export interface FrontendRow extends IpPort {
  readonly family: Family;
  readonly protocol: ServiceProtocol;
  readonly kind: FrontendKind;
  /** Name of the service it belongs to. */
  readonly service: string;
  readonly revNat: number;
  readonly algorithm: Algorithm;
  readonly affinityTimeoutS: number;
  /** All backends of the service: connections to them go on, whether they are chosen for new ones or not. */
  readonly backends: readonly NumberedBackend[];
  /** Those among which a new connection's is chosen, in slots 1 to n. */
  readonly chosen: readonly NumberedBackend[];
  /** In the slots after. */
  readonly quarantined: readonly NumberedBackend[];
}

export const frontendRowKey = (row: FrontendRow): string => addressKey(row, row.protocol);

/** Keys of the frontends that this node serves of a service. */
export const servedKeys = (service: Service | undefined): readonly string[] =>
  service === undefined
    ? []
    : service.frontends
        .filter(({ problem }) => problem === undefined)
        .map((frontend) => addressKey(frontend, service.protocol));

export const serviceTable: TableDef<Service, string> = {
  name: "services",
  key: ({ name }) => name,
};

export const frontendTable: TableDef<FrontendRow, string> = {
  name: "frontends",
  key: frontendRowKey,
  indexes: { revNat: { keys: ({ revNat }) => [revNat] } },
};
