import type { Observable } from "rxjs";
import type { Table } from "../../table/index.ts";

/** A node of the cluster. */
export interface Node {
  /** Unique in the cluster. */
  readonly name: string;
  /** Where other nodes reach it, on the underlay; undefined when it has no such address. */
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** Network of its pods: "10.0.1.0/24". */
  readonly podCidr: string;
  /** Undefined when its pods have no IPv6. */
  readonly podCidrV6: string | undefined;
  /** Its pods' gateways, addresses of the node itself. */
  readonly routerIpv4: string;
  readonly routerIpv6: string | undefined;
  /** Whether it is the node of this agent. */
  readonly local: boolean;
  /** Version of its agent. */
  readonly version: string;
}

/** The nodes of the cluster, this one included. Complete as far as known once the nodes cell has started. */
export interface NodeList {
  readonly table: Table<Node, string>;
  /** @throws Error before the nodes cell has started */
  readonly local: Node;
  /**
   * Whether this node is one of the cluster, first as it is now: not while another one has its name, its address or
   * pod addresses of its own.
   */
  readonly admitted: Observable<boolean>;
}
