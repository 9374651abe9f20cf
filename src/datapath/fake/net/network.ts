import { isAbsolute } from "node:path";
import { DatapathError } from "../../errors.ts";
import type { NetNamespace, NetOps } from "../../types.ts";
import { failure } from "../errno.ts";
import type { Faults } from "../faults.ts";
import { NamespaceState } from "./namespace-state.ts";
import { FakeNetOps, type Surroundings } from "./net-ops.ts";

/** A device that is there from the beginning, up. */
export interface FakeDevice {
  readonly name: string;
  readonly cidr?: string;
  /** Default route. */
  readonly gateway?: string;
  /** The same for IPv6. */
  readonly cidrV6?: string;
  readonly gatewayV6?: string;
}

interface NetworkOptions {
  readonly devices: readonly FakeDevice[];
  /** Only namespaces added before can be opened. */
  readonly strict: boolean;
  readonly faults: Faults;
  /** An interface of the agent's own namespace is gone. */
  readonly onLinkDeleted: (ifindex: number) => void;
}

/** The namespaces of a fake kernel. */
export class FakeNetwork {
  /** The agent's own namespace. */
  readonly root = new NamespaceState("/proc/self/ns/net", "4:1");
  readonly #namespaces = new Map<string, NamespaceState>();
  readonly #options: NetworkOptions;
  readonly #around: Surroundings;
  #macs = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#around = {
      faults: options.faults,
      freshMac: () => this.#freshMac(),
      stateOf,
      linkDeleted: (namespace, ifindex) => {
        namespace.removeLink(ifindex);
        if (namespace === this.root) options.onLinkDeleted(ifindex);
      },
    };
    for (const device of options.devices) this.#addDevice(device);
  }

  /** Operations on the agent's own namespace. */
  rootOps(): FakeNetOps {
    return new FakeNetOps(this.root, this.#around);
  }

  /** Makes a namespace; one that is there already is no error. */
  addNamespace(path: string): void {
    if (this.#namespaces.has(path)) return;
    this.#namespaces.set(path, new NamespaceState(path, `4:${this.#namespaces.size + 2}`));
  }

  /** Ends a namespace: its interfaces go, and the other ends of its veth pairs with them. */
  removeNamespace(path: string): void {
    const state = this.#namespaces.get(path);
    if (state === undefined) return;
    this.#namespaces.delete(path);
    for (const { ifindex, peer } of [...state.links.values()]) {
      this.#around.linkDeleted(state, ifindex);
      if (peer !== undefined) this.#around.linkDeleted(peer.namespace, peer.ifindex);
    }
  }

  /** @throws DatapathError ENOENT */
  open(path: string): NetNamespace {
    this.#options.faults.check("openNamespace", path);
    if (!this.#options.strict && isAbsolute(path)) this.addNamespace(path);
    const state = this.#namespaces.get(path);
    if (state === undefined) throw failure("open network namespace", path, "ENOENT");
    return new FakeNamespace(state, new FakeNetOps(state, this.#around));
  }

  #addDevice({ name, cidr, gateway, cidrV6, gatewayV6 }: FakeDevice): void {
    const { root } = this;
    const link = root.addLink({ name, mac: this.#freshMac(), mtu: 1500, kind: undefined });
    link.up = true;
    for (const address of [cidr, cidrV6]) if (address !== undefined) root.addAddress(link.ifindex, address);
    const defaultRoute = (destination: string, via: string | undefined): void => {
      if (via !== undefined) root.setRoute({ destination, gateway: via, ifindex: link.ifindex });
    };
    defaultRoute("0.0.0.0/0", gateway);
    defaultRoute("::/0", gatewayV6);
  }

  /** Locally administered, counted up. */
  #freshMac(): string {
    this.#macs++;
    const hex = this.#macs.toString(16).padStart(10, "0");
    return `02:${hex.match(/../g)?.join(":")}`;
  }
}

class FakeNamespace implements NetNamespace {
  readonly path: string;
  readonly identity: string;
  readonly state: NamespaceState;
  readonly #net: FakeNetOps;
  #open = true;

  constructor(state: NamespaceState, net: FakeNetOps) {
    this.path = state.path;
    this.identity = state.identity;
    this.state = state;
    this.#net = net;
  }

  /** @throws DatapathError after `close` */
  get net(): NetOps {
    if (this.#open) return this.#net;
    throw new DatapathError({
      operation: "use network namespace",
      object: this.path,
      detail: "it is closed",
      status: "FAILED_PRECONDITION",
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#net.close();
  }
}

function stateOf(namespace: NetNamespace): NamespaceState {
  if (namespace instanceof FakeNamespace) return namespace.state;
  throw new DatapathError({
    operation: "use network namespace",
    object: namespace.path,
    detail: "it is not of a fake datapath",
    status: "INVALID_ARGUMENT",
  });
}
