import { BehaviorSubject, Subject } from "rxjs";
import type { NetOps } from "../../datapath/index.ts";
import { type ConfigOf, config, Health, Lifecycle, Log, module, provide, token } from "../../hive/index.ts";
import { DatapathToken } from "../datapath/index.ts";
import { ensureHostDevice, outsideDevices } from "./devices.ts";
import { NamespaceLock } from "./lock.ts";
import { nodeFlags, podNetwork } from "./settings.ts";
import { NodeNetworking } from "./tokens.ts";
import type { NodeConfig, NodeNetwork, Peer } from "./types.ts";

/** What the node-config cell is told. */
export const NodeSettings = token<ConfigOf<typeof nodeFlags>>("NodeSettings");

const smallestMtu = 576;

/** Finds out what the node looks like and makes the devices and routes towards its pods. */
export class NodeNetworkSetup implements NodeNetwork {
  readonly changes = new Subject<NodeConfig>();
  #config: NodeConfig | undefined;
  readonly peers = new BehaviorSubject<readonly Peer[] | undefined>(undefined);
  readonly #settings: ConfigOf<typeof nodeFlags>;
  readonly #net: NetOps;

  constructor(settings: ConfigOf<typeof nodeFlags>, net: NetOps) {
    this.#settings = settings;
    this.#net = net;
  }

  get config(): NodeConfig {
    if (this.#config === undefined)
      throw new Error("the node's network is known when node-config has started");
    return this.#config;
  }

  setPeers(peers: readonly Peer[]): void {
    this.peers.next(peers);
  }

  /** @throws Error naming the setting that does not fit this node */
  async start(): Promise<void> {
    const pods = podNetwork(this.#settings);
    const devices = await outsideDevices(this.#net, this.#settings.devices);
    const mtu = this.#settings.mtu || Math.min(1500, ...devices.map((device) => device.mtu));
    if (mtu < smallestMtu || mtu > 65_535) throw new Error(`mtu: ${mtu} is not from ${smallestMtu} to 65535`);
    const host = await ensureHostDevice(this.#net, pods, mtu);
    const { nodeName, clusterName, nodeIp, nodeIpv6, tunnelPort, masquerade } = this.#settings;
    this.#config = {
      nodeName,
      clusterName,
      ...pods,
      nodeIpv4: nodeIp || devices[0]?.ipv4[0],
      nodeIpv6: nodeIpv6 || devices[0]?.ipv6[0],
      routingMode: this.#settings.routingMode,
      tunnelPort,
      devices,
      host,
      overlay: undefined,
      mtu,
      routeMtu: mtu,
      masquerade: { ipv4: masquerade, ipv6: masquerade },
    };
  }
}

/** The node's name, pod network, devices and routes. */
export const nodeConfigCell = module(
  "node-config",
  "Node facts: pod network, devices and routes",
  config(NodeSettings, nodeFlags),
  provide(
    NodeNetworking,
    { settings: NodeSettings, datapath: DatapathToken, lifecycle: Lifecycle, health: Health, log: Log },
    ({ settings, datapath, lifecycle, health, log }) => {
      const network = new NodeNetworkSetup(settings, datapath.net);
      // The fake of one process is nobody else's.
      if (datapath.kind === "kernel") {
        const lock = new NamespaceLock();
        lifecycle.append({ name: "namespace lock", start: () => lock.take(), stop: () => lock.release() });
      }
      lifecycle.append({
        name: "node network",
        start: async () => {
          await network.start();
          const { podCidr, routerIpv4, devices, mtu } = network.config;
          log.info(
            { podCidr, routerIpv4, mtu, devices: devices.map(({ name }) => name) },
            "node network is up",
          );
          health.ok(
            `pods ${podCidr} behind ${routerIpv4}, devices ${devices.map(({ name }) => name).join(", ") || "none"}`,
          );
        },
      });
      return network;
    },
  ),
);
