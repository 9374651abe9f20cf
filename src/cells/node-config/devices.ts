import { isIPv4, isIPv6 } from "node:net";
import { cidrContains, splitCidr } from "../../datapath/address.ts";
import type { LinkInfo, NetOps } from "../../datapath/index.ts";
import type { NodeDevice } from "./types.ts";

/** Name of the node's own end of the pair that leads to the pods, and of its peer, as in Cilium. */
export const hostDeviceName = "cilium_host";
export const netDeviceName = "cilium_net";

/** RFC 4291, 2.5.6. */
const isLinkLocal = (address: string): boolean => cidrContains("fe80::/10", address);

/** Adds a link's addresses. */
export async function describeDevice(net: NetOps, link: LinkInfo): Promise<NodeDevice> {
  const addresses = (await net.addresses(link.ifindex)).map(({ cidr }) => splitCidr(cidr).address);
  return {
    name: link.name,
    ifindex: link.ifindex,
    mac: link.mac,
    mtu: link.mtu,
    ipv4: addresses.filter(isIPv4),
    ipv6: addresses.filter((address) => isIPv6(address) && !isLinkLocal(address)),
  };
}

/**
 * Resolves the `devices` setting.
 * @throws Error when a named device does not exist
 */
export async function outsideDevices(net: NetOps, names: readonly string[]): Promise<readonly NodeDevice[]> {
  const links = new Map((await net.links()).map((link) => [link.name, link]));
  const wanted = new Set<string>();
  for (const name of names) {
    if (name === "auto") {
      for (const route of await net.routes()) {
        if (route.destination !== "0.0.0.0/0") continue;
        for (const link of links.values()) if (link.ifindex === route.ifindex) wanted.add(link.name);
      }
    } else if (links.has(name)) {
      wanted.add(name);
    } else {
      throw new Error(`devices: no device is called ${name}; there are ${[...links.keys()].join(", ")}`);
    }
  }
  return Promise.all([...wanted].map((name) => describeDevice(net, links.get(name)!)));
}

/** Makes, or takes over, the pair cilium_host/cilium_net with the router address and the pods' route. */
export async function ensureHostDevice(
  net: NetOps,
  pods: { readonly podCidr: string; readonly routerIpv4: string },
  mtu: number,
): Promise<NodeDevice> {
  let host = await net.linkByName(hostDeviceName);
  if (host === undefined) {
    ({ host } = await net.createVeth({ name: hostDeviceName, peerName: netDeviceName, mtu }));
  }
  const peer = await net.linkByName(netDeviceName);
  if (host.kind !== "veth" || peer === undefined) {
    throw new Error(
      `${hostDeviceName} exists but is no veth pair with ${netDeviceName}; remove it and start again`,
    );
  }
  // Nobody answers neighbour requests there: the programs rewrite the MAC address themselves.
  for (const link of [host, peer]) await net.setLink(link.ifindex, { arp: false, mtu, up: true });
  await prepareForwarding(net);
  await net.addAddress(host.ifindex, `${pods.routerIpv4}/32`);
  await net.replaceRoute({
    destination: pods.podCidr,
    ifindex: host.ifindex,
    source: pods.routerIpv4,
    scope: "link",
  });
  return describeDevice(net, { ...host, mtu });
}

/**
 * Lets the stack forward for pods. Their packets enter on their own device while the route back leads over
 * cilium_host, which a strict reverse-path filter (1) on `all` would refuse.
 */
async function prepareForwarding(net: NetOps): Promise<void> {
  await net.setSysctl("ipv4/ip_forward", "1");
  await net.setSysctl(`ipv4/conf/${hostDeviceName}/rp_filter`, "0");
  if ((await net.getSysctl("ipv4/conf/all/rp_filter")).trim() === "1") {
    await net.setSysctl("ipv4/conf/all/rp_filter", "2");
  }
}
