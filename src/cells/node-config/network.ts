import { isDeepStrictEqual } from "node:util";
import { type Observable, Subject } from "rxjs";
import { splitCidr } from "../../datapath/address.ts";
import type { InterfaceAddress, NetOps } from "../../datapath/index.ts";
import { type ConfigOf, SettingConflictError } from "../../hive/index.ts";
import { hostPrefix } from "./addresses.ts";
import { describeDevice, OutsideDeviceFinder, viewNode } from "./devices.ts";
import { ensureHostPair, ensureOverlay, type Repair, removeOverlay } from "./own-devices.ts";
import { ensureRoutes, planRoutes } from "./routes.ts";
import {
  type nodeFlags,
  nodeIps,
  type PodNetwork,
  podMtu,
  podNetwork,
  serviceNetworks,
  tunnelOverhead,
} from "./settings.ts";
import { ensureForwarding, ensureIpv6 } from "./sysctls.ts";
import type { NodeConfig, NodeDevice, NodeNetwork, Peer } from "./types.ts";

export type NodeSettingsValues = ConfigOf<typeof nodeFlags>;

/** What one pass over the node's network found and did. */
export interface PassReport {
  /** What was not as it should be and is now, in words. */
  readonly repairs: readonly string[];
  /** What is not as it should be and cannot be helped from here. */
  readonly problems: readonly string[];
}

/** Finds out what the node looks like, and makes its devices, addresses, routes and sysctls what they should be. */
export class NodeNetworkReconciler implements NodeNetwork {
  readonly #settings: NodeSettingsValues;
  readonly #net: NetOps;
  readonly #pods: PodNetwork;
  readonly #serviceCidrs: readonly string[];
  readonly #finder: OutsideDeviceFinder;
  readonly #changes = new Subject<NodeConfig>();
  readonly #onPeers: () => void;
  #mtu = 0;
  #config: NodeConfig | undefined;
  #peers: readonly Peer[] | undefined;
  #departed: readonly string[] = [];
  #wantedRoutes: ReadonlySet<string> = new Set();

  /**
   * @param onPeers called when there is reason for a pass
   * @throws SettingConflictError
   */
  constructor(settings: NodeSettingsValues, net: NetOps, onPeers: () => void) {
    this.#settings = settings;
    this.#net = net;
    this.#onPeers = onPeers;
    this.#pods = podNetwork(settings);
    this.#serviceCidrs = serviceNetworks(settings, this.#pods);
    this.#finder = new OutsideDeviceFinder(settings.devices);
  }

  get config(): NodeConfig {
    if (this.#config === undefined)
      throw new Error("the node's network is known when node-config has started");
    return this.#config;
  }

  get changes(): Observable<NodeConfig> {
    return this.#changes;
  }

  get checkIntervalMs(): number {
    return this.#settings.checkInterval;
  }

  setPeers(peers: readonly Peer[], departed: readonly string[] = []): void {
    if (isDeepStrictEqual([peers, departed], [this.#peers, this.#departed])) return;
    this.#peers = structuredClone(peers);
    this.#departed = [...departed];
    this.#onPeers();
  }

  /** Destinations of the routes that the node should have. */
  get wantedRoutes(): ReadonlySet<string> {
    return this.#wantedRoutes;
  }

  /** Devices towards the outside, those included that are not there at the moment. */
  get deviceNames(): ReadonlySet<string> {
    return this.#finder.names;
  }

  /** Looks at the sysctls alone, of whose changes the kernel says nothing. @throws DatapathError */
  async passSysctls(): Promise<readonly string[]> {
    return ensureForwarding(this.#net, this.config);
  }

  /**
   * Looks at everything and puts right what is wrong. The first pass makes `config` known.
   * @throws SettingConflictError, also for a device that is missing; Error naming the device that is in the way; DatapathError
   */
  async pass(): Promise<PassReport> {
    const net = this.#net;
    const former = this.#config;
    const view = await viewNode(net);
    const { devices, missing } = this.#finder.find(view);
    if (former === undefined) {
      if (missing.length > 0) {
        const there = view.links.map(({ name }) => name).join(", ");
        const why = `no device is called ${missing.join(" or ")}; there are ${there}`;
        throw new SettingConflictError("devices", why);
      }
      this.#mtu = podMtu(this.#settings, devices);
    }
    const repairs: Repair[] = [];
    const host = await ensureHostPair(net, view.links, this.#mtu, former?.host);
    repairs.push(...host.repairs);
    const overlay = await this.#overlay(view.links, former?.overlay, repairs);
    const enabled =
      this.#pods.podCidrV6 === undefined
        ? []
        : await ensureIpv6(net, [host.link, ...(overlay === undefined ? [] : [overlay])]);
    const routers = await this.#ensureRouters(host.link.ifindex, view.addresses);
    const config = this.#describe(devices, describeDevice(host.link, routers.addresses), overlay);
    const plan = planRoutes(config, this.#peers ?? [], this.#departed);
    const formerRoutes = this.#wantedRoutes;
    this.#wantedRoutes = new Set(plan.routes.map(({ destination }) => destination));
    const put = [
      ...enabled,
      ...routers.changed,
      ...(await ensureForwarding(net, config)),
      ...(await ensureRoutes(net, view.routes, plan.routes, formerRoutes, this.#peers === undefined)),
    ];
    this.#config = config;
    const anew = repairs.some((repair) => repair.anew);
    if (former !== undefined && (anew || !isDeepStrictEqual(former, config))) this.#changes.next(config);
    return {
      repairs: [...repairs.map(({ what }) => what), ...put],
      problems: [...missing.map((name) => `device ${name} is gone`), ...plan.problems],
    };
  }

  async #overlay(
    links: Parameters<typeof ensureOverlay>[1],
    former: NodeDevice | undefined,
    repairs: Repair[],
  ): Promise<NodeDevice | undefined> {
    const { routingMode, tunnelPort: port } = this.#settings;
    if (routingMode === "native") {
      await removeOverlay(this.#net, links);
      return undefined;
    }
    const device = await ensureOverlay(this.#net, links, { port, mtu: this.#mtu }, former);
    repairs.push(...device.repairs);
    return describeDevice(device.link, []);
  }

  /** The routers' addresses, and no others, on cilium_host: the device is the agent's own. */
  async #ensureRouters(
    ifindex: number,
    all: readonly InterfaceAddress[],
  ): Promise<{ readonly addresses: readonly InterfaceAddress[]; readonly changed: readonly string[] }> {
    const { routerIpv4, routerIpv6 } = this.#pods;
    const wanted = [routerIpv4, ...(routerIpv6 === undefined ? [] : [routerIpv6])].map(hostPrefix);
    const there = all.filter((address) => address.ifindex === ifindex && address.scope !== "link");
    const changed: string[] = [];
    for (const cidr of wanted) {
      if (there.some((address) => address.cidr === cidr)) continue;
      await this.#net.addAddress(ifindex, cidr, { nodad: true });
      changed.push(`the router address ${cidr} was gone`);
    }
    for (const { cidr } of there) {
      if (wanted.includes(cidr)) continue;
      await this.#net.deleteAddress(ifindex, cidr);
      changed.push(`${splitCidr(cidr).address} was no router address and is removed`);
    }
    return { addresses: wanted.map((cidr) => ({ ifindex, cidr })), changed };
  }

  #describe(devices: readonly NodeDevice[], host: NodeDevice, overlay: NodeDevice | undefined): NodeConfig {
    const { nodeName, clusterName, routingMode, tunnelPort, masquerade } = this.#settings;
    return {
      nodeName,
      clusterName,
      ...this.#pods,
      serviceCidrs: this.#serviceCidrs,
      ...nodeIps(this.#settings, devices),
      routingMode,
      tunnelPort,
      devices,
      host,
      overlay,
      mtu: this.#mtu,
      routeMtu: routingMode === "tunnel" ? this.#mtu - tunnelOverhead : this.#mtu,
      masquerade: { ipv4: masquerade, ipv6: masquerade },
    };
  }
}
