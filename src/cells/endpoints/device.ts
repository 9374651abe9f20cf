import {
  type Datapath,
  DatapathError,
  type LinkInfo,
  type NetNamespace,
  type NetOps,
  type VethSpec,
} from "../../datapath/index.ts";
import { failedPrecondition, invalidArgument } from "../errors.ts";
import { type NodeConfig, quietenIpv6 } from "../node-config/index.ts";
import { configurePod, type PodLink, repairPod, unconfigurePod } from "./pod-network.ts";
import type { Endpoint, EndpointSpec } from "./types.ts";

/** A pod's pair of devices, as the datapath needs to know it. */
export interface PodDevices {
  readonly hostInterface: string;
  readonly ifindex: number;
  readonly nodeMac: string;
  readonly mac: string;
}

const anywhere = new Set(["0.0.0.0/0", "::/0"]);
/** RT_TABLE_MAIN of rtnetlink(7). */
const mainTable = 254;

/** Name of the device that the agent makes for an endpoint. */
export const endpointDevice = (id: number): string => `lxc${id}`;

/** Makes, or adopts, a pod's devices and takes them away again. */
export class PodDeviceMaker {
  readonly #datapath: Datapath;

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
  }

  /**
   * Creates a veth pair into the pod's namespace, or takes the interfaces that the spec names, and gives the pod
   * its addresses, gateways and routes. A pair that the endpoint had, and that is gone, gets one in its place
   * that looks the same to everybody who knows it by number or address.
   *
   * @throws RefusalError when the namespace or an interface does not fit; nothing is left behind then
   */
  async make(endpoint: Endpoint, node: NodeConfig): Promise<PodDevices> {
    const { spec } = endpoint;
    const namespace = this.#open(spec);
    try {
      const { host, peer } =
        spec.hostInterface === undefined
          ? await this.#create(endpoint, namespace, node)
          : await this.#adopt(spec.hostInterface, spec, namespace);
      const link = { ifindex: peer.ifindex, nodeMac: host.mac };
      try {
        await refuseForeignRoute(namespace, peer);
        await this.#configureHost(host);
        await configurePod(namespace.net, link, endpoint, node);
      } catch (error) {
        if (spec.hostInterface === undefined) await this.#datapath.net.deleteLink(host.ifindex);
        else await unconfigurePod(namespace.net, link, endpoint, node);
        throw error;
      }
      return { hostInterface: host.name, ifindex: host.ifindex, nodeMac: host.mac, mac: peer.mac };
    } finally {
      namespace.close();
    }
  }

  /** Removes what `make` made, as far as it is still there; adopted interfaces stay, without our addresses. */
  async remove(endpoint: Endpoint, node: NodeConfig): Promise<void> {
    const { id, spec } = endpoint;
    if (spec.hostInterface === undefined) {
      const link = await this.#datapath.net.linkByName(endpointDevice(id));
      if (link !== undefined) await this.#datapath.net.deleteLink(link.ifindex);
      return;
    }
    const namespace = this.#openIfThere(spec);
    // The pod and its namespace are gone, and with them whatever was configured there.
    if (namespace === undefined) return;
    try {
      const peer = await namespace.net.linkByName(spec.podInterface);
      if (peer !== undefined) await unconfigurePod(namespace.net, linkOf(endpoint, peer), endpoint, node);
    } finally {
      namespace.close();
    }
  }

  /**
   * Makes a pod's MTU, addresses, gateways and routes what they should be with the node as it is now. An adopted pair's MTU is its
   * owner's. A pod whose namespace or device is gone is left alone.
   *
   * @returns what was not as it should be, in words
   * @throws DatapathError
   */
  async repair(endpoint: Endpoint, node: NodeConfig): Promise<readonly string[]> {
    const { spec, ifindex } = endpoint;
    const namespace = this.#openIfThere(spec);
    if (namespace === undefined) return [];
    try {
      const peer = await namespace.net.linkByName(spec.podInterface);
      if (peer === undefined) return [];
      const repairs: string[] = [];
      if (spec.hostInterface === undefined && peer.mtu !== node.mtu) {
        await this.#datapath.net.setLink(ifindex, { mtu: node.mtu });
        await namespace.net.setLink(peer.ifindex, { mtu: node.mtu });
        repairs.push(`the MTU was ${peer.mtu}`);
      }
      if (!peer.up) {
        await namespace.net.setLink(peer.ifindex, { up: true });
        repairs.push(`${peer.name} was down`);
      }
      return [...repairs, ...(await repairPod(namespace.net, linkOf(endpoint, peer), endpoint, node))];
    } finally {
      namespace.close();
    }
  }

  #openIfThere({ netns }: EndpointSpec): NetNamespace | undefined {
    try {
      return this.#datapath.openNamespace(netns);
    } catch (error) {
      // The pod is gone; whoever made it will say so.
      if (error instanceof DatapathError) return undefined;
      throw error;
    }
  }

  #open(spec: EndpointSpec): NetNamespace {
    try {
      return this.#datapath.openNamespace(spec.netns);
    } catch (error) {
      if (!(error instanceof DatapathError)) throw error;
      throw invalidArgument([
        { field: "spec.netns", description: `${spec.netns} cannot be opened: ${error.message}` },
      ]);
    }
  }

  async #create(
    endpoint: Endpoint,
    namespace: NetNamespace,
    { mtu }: NodeConfig,
  ): Promise<{ host: LinkInfo; peer: LinkInfo }> {
    const { id, spec, ipv6 } = endpoint;
    const name = endpointDevice(id);
    const [inside, stale] = await Promise.all([
      namespace.net.linkByName(spec.podInterface),
      // Left by an agent that died between making it and writing it down.
      this.#datapath.net.linkByName(name),
    ]);
    if (inside !== undefined) {
      throw failedPrecondition(
        `${spec.netns} has an interface ${spec.podInterface} already; remove it, or name the host side of it as host_interface`,
      );
    }
    if (stale !== undefined) await this.#datapath.net.deleteLink(stale.ifindex);
    const { net } = this.#datapath;
    const veth = { name, peerName: spec.podInterface, peerNamespace: namespace, mtu };
    const pair = endpoint.ifindex === 0 ? await net.createVeth(veth) : await createAgain(net, veth, endpoint);
    if (ipv6 === "") return pair;
    try {
      for (const [there, device] of [
        [net, name],
        [namespace.net, spec.podInterface],
      ] as const) {
        await quietenIpv6(there, device);
        await there.setSysctl(`ipv6/conf/${device}/disable_ipv6`, "0");
      }
    } catch (error) {
      await net.deleteLink(pair.host.ifindex);
      throw error;
    }
    return pair;
  }

  async #adopt(
    hostInterface: string,
    spec: EndpointSpec,
    namespace: NetNamespace,
  ): Promise<{ host: LinkInfo; peer: LinkInfo }> {
    const host = await this.#datapath.net.linkByName(hostInterface);
    const peer = await namespace.net.linkByName(spec.podInterface);
    if (host === undefined) throw failedPrecondition(`the node has no interface ${hostInterface} to adopt`);
    if (peer === undefined)
      throw failedPrecondition(`${spec.netns} has no interface ${spec.podInterface} to adopt`);
    if (host.peerIfindex !== peer.ifindex || peer.peerIfindex !== host.ifindex) {
      throw failedPrecondition(`${hostInterface} and ${spec.podInterface} are not the two ends of one pair`);
    }
    return { host, peer };
  }

  async #configureHost(host: LinkInfo): Promise<void> {
    const { net } = this.#datapath;
    // Pods' packets enter here, but the route back to them leads over cilium_host.
    await net.setSysctl(`ipv4/conf/${host.name}/rp_filter`, "0");
    await net.setLink(host.ifindex, { up: true });
  }
}

/** The pod learns the MAC address that its programs answer with, whatever its device has become since. */
const linkOf = ({ nodeMac }: Endpoint, { ifindex }: LinkInfo): PodLink => ({ ifindex, nodeMac });

/** The index may have been taken meanwhile; then the device is another one. */
async function createAgain(
  net: NetOps,
  spec: VethSpec,
  { ifindex, mac, nodeMac }: PodDevices,
): Promise<{ host: LinkInfo; peer: LinkInfo }> {
  const macs = { mac: nodeMac, peerMac: mac };
  try {
    return await net.createVeth({ ...spec, ...macs, ifindex });
  } catch (error) {
    if (!(error instanceof DatapathError)) throw error;
    return net.createVeth({ ...spec, ...macs });
  }
}

/**
 * A namespace that somebody else has connected, the machine's own above all, would lose that connection: there is
 * one default route a family, and it would become ours, and go with the endpoint.
 */
async function refuseForeignRoute({ net, path }: NetNamespace, peer: LinkInfo): Promise<void> {
  const foreign = (await net.routes()).find(
    ({ destination, ifindex, table = mainTable }) =>
      anywhere.has(destination) && table === mainTable && ifindex !== peer.ifindex,
  );
  if (foreign === undefined) return;
  const over = (await net.linkByIndex(foreign.ifindex))?.name ?? `ifindex ${foreign.ifindex}`;
  throw failedPrecondition(`${path} has a default route over ${over}, which an endpoint would replace`);
}
