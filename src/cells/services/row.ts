import type { TableDef } from "../../table/index.ts";
import type { Backend, Service, ServiceProtocol } from "./types.ts";

/** A service with the kernel's ids of its backends, in their order. */
export interface ServiceRow extends Service {
  readonly backendIds: readonly number[];
}

/** What is stored of a service; its key is the name. */
export type StoredService = Omit<ServiceRow, "name">;

export const serviceTable: TableDef<ServiceRow, string> = {
  name: "services",
  key: ({ name }) => name,
  indexes: { frontend: { keys: (row) => [frontendKey(row)], unique: true } },
};

type Frontend = Pick<Service, "ipv4" | "port" | "protocol">;

/** "10.96.0.1:443/tcp" */
export const frontendKey = ({ ipv4, port, protocol }: Frontend): string => `${ipv4}:${port}/${protocol}`;

/** "10.0.1.5:8080/tcp" */
export const backendKey = ({ ipv4, port }: Backend, protocol: ServiceProtocol): string =>
  `${ipv4}:${port}/${protocol}`;
