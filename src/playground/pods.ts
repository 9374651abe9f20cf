import type { Endpoint, EndpointPolicy } from "../gen/waggle/v1/endpoint.ts";
import { namespacePath } from "./namespaces.ts";
import type { WorldNode } from "./node.ts";

/** A pod of the world. */
export interface WorldPod {
  /** "pod1": for exec. */
  readonly name: string;
  /** Where it runs. */
  readonly node: WorldNode;
  /** Name of its network namespace. */
  readonly namespace: string;
  /** Path of its network namespace. */
  readonly netns: string;
  /** Name of its endpoint: "default/pod1". */
  readonly endpointName: string;
  /** As the agent made it. @throws Error before the endpoint was created */
  readonly endpoint: Endpoint;
  /** Address. @throws Error before the endpoint was created */
  readonly ipv4: string;
  /** Address; empty where there is no IPv6. @throws Error before the endpoint was created */
  readonly ipv6: string;
  /** Endpoint id. @throws Error before the endpoint was created */
  readonly id: number;
}

/** What to give an endpoint beside its name and namespace. */
export interface WorldEndpointOptions {
  readonly labels?: Readonly<Record<string, string>>;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly policy?: EndpointPolicy;
}

/** For worlds. */
export class Pod implements WorldPod {
  readonly name: string;
  readonly node: WorldNode;
  readonly namespace: string;
  readonly endpointName: string;
  created: Endpoint | undefined;

  constructor(name: string, node: WorldNode, namespace: string) {
    this.name = name;
    this.node = node;
    this.namespace = namespace;
    this.endpointName = `default/${name}`;
  }

  get netns(): string {
    return namespacePath(this.namespace);
  }
  get endpoint(): Endpoint {
    if (this.created === undefined) throw new Error(`${this.name} has no endpoint yet`);
    return this.created;
  }
  get ipv4(): string {
    return this.endpoint.ipv4;
  }
  get ipv6(): string {
    return this.endpoint.ipv6;
  }
  get id(): number {
    return this.endpoint.id;
  }
}
