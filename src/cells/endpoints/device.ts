import {
  type Datapath,
  DatapathError,
  type LinkInfo,
  type NetNamespace,
  type NetOps,
} from "../../datapath/index.ts";
import { failedPrecondition, invalidArgument } from "../errors.ts";
import type { NodeConfig } from "../node-config/index.ts";
import type { EndpointSpec } from "./types.ts";

/** A pod's pair of devices, as the datapath needs to know it. */
export interface PodDevices {
  readonly hostInterface: string;
  readonly ifindex: number;
  readonly nodeMac: string;
  readonly mac: string;
}

const loopbackIfindex = 1;
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
   * its address and a default route over the router.
   *
   * @throws RefusalError when the namespace or an interface does not fit; nothing is left behind then
   */
  async make(id: number, spec: EndpointSpec, ipv4: string, node: NodeConfig): Promise<PodDevices> {
    const namespace = this.#open(spec);
    try {
      const pair =
        spec.hostInterface === undefined
          ? await this.#create(id, spec, namespace, node.mtu)
          : await this.#adopt(spec.hostInterface, spec, namespace);
      try {
        await refuseForeignRoute(namespace, pair.peer);
        await this.#configureHost(pair.host);
        await configurePod(namespace.net, pair.peer, ipv4, node.routerIpv4);
      } catch (error) {
        if (spec.hostInterface === undefined) await this.#datapath.net.deleteLink(pair.host.ifindex);
        else await unconfigurePod(namespace.net, pair.peer, ipv4, node.routerIpv4);
        throw error;
      }
      const { host, peer } = pair;
      return { hostInterface: host.name, ifindex: host.ifindex, nodeMac: host.mac, mac: peer.mac };
    } finally {
      namespace.close();
    }
  }

  /** Removes what `make` made, as far as it is still there; adopted interfaces stay, without our address. */
  async remove(id: number, spec: EndpointSpec, ipv4: string, node: NodeConfig): Promise<void> {
    if (spec.hostInterface === undefined) {
      const link = await this.#datapath.net.linkByName(endpointDevice(id));
      if (link !== undefined) await this.#datapath.net.deleteLink(link.ifindex);
      return;
    }
    let namespace: NetNamespace;
    try {
      namespace = this.#datapath.openNamespace(spec.netns);
    } catch (error) {
      // The pod and its namespace are gone, and with them whatever was configured there.
      if (error instanceof DatapathError) return;
      throw error;
    }
    try {
      const peer = await namespace.net.linkByName(spec.podInterface);
      if (peer !== undefined) await unconfigurePod(namespace.net, peer, ipv4, node.routerIpv4);
    } finally {
      namespace.close();
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
    id: number,
    spec: EndpointSpec,
    namespace: NetNamespace,
    mtu: number,
  ): Promise<{ host: LinkInfo; peer: LinkInfo }> {
    if ((await namespace.net.linkByName(spec.podInterface)) !== undefined) {
      throw failedPrecondition(
        `${spec.netns} has an interface ${spec.podInterface} already; remove it, or name the host side of it as host_interface`,
      );
    }
    const name = endpointDevice(id);
    // Left by an agent that died between making it and writing it down.
    const stale = await this.#datapath.net.linkByName(name);
    if (stale !== undefined) await this.#datapath.net.deleteLink(stale.ifindex);
    return this.#datapath.net.createVeth({
      name,
      peerName: spec.podInterface,
      peerNamespace: namespace,
      mtu,
    });
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

/**
 * A namespace that somebody else has connected, the machine's own above all, would lose that connection: there is
 * one default route, and it would become ours, and go with the endpoint.
 */
async function refuseForeignRoute({ net, path }: NetNamespace, peer: LinkInfo): Promise<void> {
  const foreign = (await net.routes()).find(
    ({ destination, ifindex, table = mainTable }) =>
      destination === "0.0.0.0/0" && table === mainTable && ifindex !== peer.ifindex,
  );
  if (foreign === undefined) return;
  const over = (await net.linkByIndex(foreign.ifindex))?.name ?? `ifindex ${foreign.ifindex}`;
  throw failedPrecondition(`${path} has a default route over ${over}, which an endpoint would replace`);
}

async function configurePod(net: NetOps, peer: LinkInfo, ipv4: string, router: string): Promise<void> {
  await net.setLink(loopbackIfindex, { up: true });
  await net.setLink(peer.ifindex, { up: true });
  await net.addAddress(peer.ifindex, `${ipv4}/32`);
  await net.replaceRoute({ destination: `${router}/32`, ifindex: peer.ifindex, scope: "link" });
  await net.replaceRoute({ destination: "0.0.0.0/0", gateway: router, ifindex: peer.ifindex, source: ipv4 });
}

async function unconfigurePod(net: NetOps, peer: LinkInfo, ipv4: string, router: string): Promise<void> {
  await net.deleteRoute({ destination: "0.0.0.0/0", gateway: router, ifindex: peer.ifindex });
  await net.deleteRoute({ destination: `${router}/32`, ifindex: peer.ifindex, scope: "link" });
  await net.deleteAddress(peer.ifindex, `${ipv4}/32`);
}
