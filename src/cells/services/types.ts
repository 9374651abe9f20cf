import type { Table } from "../../table/index.ts";

export type ServiceProtocol = "tcp" | "udp" | "sctp";

/**
 * active: gets new connections. terminating: keeps what it has, and gets new connections only while no backend of its
 * service is active. quarantined: keeps what it has.
 */
export type BackendState = "active" | "terminating" | "quarantined";

/** random: any backend, each as likely as the other. maglev: by the connection's tuple, on every node alike. */
export type Algorithm = "random" | "maglev";

/** local: only backends of the node that a packet arrives at. */
export type TrafficPolicy = "cluster" | "local";

export interface IpPort {
  /** IPv4, or IPv6 in the notation of RFC 5952. */
  readonly ip: string;
  readonly port: number;
}

export interface Backend extends IpPort {
  readonly state: BackendState;
  /** Name of the node it runs on; empty when that is not known: then no node counts it as its own. */
  readonly node: string;
}

/** What somebody wants of a service. All addresses are of one family. */
export interface ServiceSpec {
  /** Unique in the cluster, "default/web". */
  readonly name: string;
  /** The cluster IP. */
  readonly ip: string;
  readonly port: number;
  readonly protocol: ServiceProtocol;
  /** In order; no two have the same address and port. */
  readonly backends: readonly Backend[];
  readonly algorithm: Algorithm;
  /** A client stays with its backend until it has been silent for so many seconds; 0 without affinity. */
  readonly affinityTimeoutS: number;
  /** Port on every address of every node, 30000–32767; 0 for none. */
  readonly nodePort: number;
  readonly externalIps: readonly string[];
  /** For the node port and the external IPs. */
  readonly externalTrafficPolicy: TrafficPolicy;
  /** For the cluster IP. */
  readonly internalTrafficPolicy: TrafficPolicy;
}

export type FrontendKind = "cluster-ip" | "node-port" | "external-ip";

/** conflict: another service has it; error: there is no number left for it. */
export interface FrontendProblem {
  readonly kind: "conflict" | "error";
  readonly message: string;
}

/** One address and port at which this node serves a service. */
export interface ServiceFrontend extends IpPort {
  readonly kind: FrontendKind;
  /** Reverse-NAT index in the kernel's maps, 1 to 65535; 0 when this node does not serve the frontend. */
  readonly revNat: number;
  /** Why this node does not serve it; undefined when it does. */
  readonly problem: FrontendProblem | undefined;
}

/** A service as this node knows it. */
export interface Service extends ServiceSpec {
  /** The frontends that follow from it, on this node. */
  readonly frontends: readonly ServiceFrontend[];
  /** Name of the node whose agent wrote it last. */
  readonly node: string;
  /** Written here, and not yet where other nodes see it. */
  readonly pending: boolean;
}

/** How a frontend stands with the kernel. */
export interface FrontendStatus {
  /** active: in the kernel. pending: on its way. Otherwise not served, and `message` says why. */
  readonly state: "active" | "pending" | "conflict" | "error";
  /** What is wrong; empty when nothing is. */
  readonly message: string;
}

/** What becomes of single backends, all at once. */
export interface BackendChanges {
  /** Added; or, where the address and port are known, changed in place. */
  readonly upsert: readonly Backend[];
  /** Must be backends of the service. */
  readonly remove: readonly IpPort[];
}

/** Services of the cluster, and how this node serves them. */
export interface ServiceManager {
  readonly table: Table<Service, string>;
  /**
   * Creates or replaces; resolves when stored and in this node's kernel. A `nodePort` of "auto" keeps the service's
   * own or takes a free one.
   *
   * @throws RefusalError INVALID_ARGUMENT; ALREADY_EXISTS when another service has a frontend; RESOURCE_EXHAUSTED;
   * StateWriteError, and nothing has changed; ReconcileError when it is stored but the kernel refuses it: it is tried
   * again
   */
  upsert(service: WantedService, signal?: AbortSignal): Promise<Service>;
  /** As `upsert` for many; either all are acceptable, or none is stored. */
  upsertMany(services: readonly WantedService[], signal?: AbortSignal): Promise<readonly Service[]>;
  /** Changes some backends and leaves the others. @throws RefusalError NOT_FOUND; otherwise as `upsert` */
  updateBackends(name: string, changes: BackendChanges, signal?: AbortSignal): Promise<Service>;
  /** Resolves when nothing of it is left in the kernel. @throws RefusalError NOT_FOUND; otherwise as `upsert` */
  delete(name: string, signal?: AbortSignal): Promise<void>;
  /** Id in this node's kernel maps; undefined while it has none. */
  backendId(backend: IpPort, protocol: ServiceProtocol): number | undefined;
  frontendStatus(frontend: ServiceFrontend, protocol: ServiceProtocol): FrontendStatus;
}

/** A service as it is asked for. */
export type WantedService = Omit<ServiceSpec, "nodePort"> & { readonly nodePort: number | "auto" };
