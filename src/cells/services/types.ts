import type { Table } from "../../table/index.ts";

export type ServiceProtocol = "tcp" | "udp";

export interface Backend {
  readonly ipv4: string;
  readonly port: number;
}

/** A ClusterIP service: one frontend, its backends in order. */
export interface Service {
  /** Unique, "default/web". */
  readonly name: string;
  readonly ipv4: string;
  readonly port: number;
  readonly protocol: ServiceProtocol;
  readonly backends: readonly Backend[];
  /** Reverse-NAT index in the kernel maps, 1..65535. */
  readonly revNat: number;
}

export interface ServiceManager {
  readonly table: Table<Service, string>;
  /**
   * Creates or replaces; resolves when stored and in the kernel.
   *
   * @throws RefusalError INVALID_ARGUMENT, ALREADY_EXISTS when another service has the frontend, RESOURCE_EXHAUSTED;
   * StateWriteError, and nothing has changed; ReconcileError when it is stored but the kernel refuses it: it is tried
   * again
   */
  upsert(service: Omit<Service, "revNat">, signal?: AbortSignal): Promise<Service>;
  /** Resolves when nothing of it is left in the kernel. @throws RefusalError NOT_FOUND; otherwise as `upsert` */
  delete(name: string, signal?: AbortSignal): Promise<void>;
  /** Backend ids in the kernel maps, by "ipv4:port/protocol". */
  backendId(backend: Backend, protocol: ServiceProtocol): number | undefined;
}
