import { DatapathError, type LinkInfo, type NetOps } from "../../datapath/index.ts";
import { quietenIpv6 } from "./sysctls.ts";

/** Name of the node's own end of the pair that leads to the pods, and of its peer, as in Cilium. */
export const hostDeviceName = "cilium_host";
export const netDeviceName = "cilium_net";
/** Name of the overlay's device, as in Cilium. */
export const overlayDeviceName = "cilium_vxlan";

/** A device as it was, so that one made in its place looks the same to everybody who knows it by number or address. */
export type FormerDevice = Pick<LinkInfo, "ifindex" | "mac">;

/** What was done about the agent's own devices. */
export interface Repair {
  readonly what: string;
  /** What was attached to a device is gone with it. */
  readonly anew: boolean;
}

/** A device that the agent has made, and what had to be done about it; nothing when all was well. */
export interface OwnDevice {
  readonly link: LinkInfo;
  readonly repairs: readonly Repair[];
}

/**
 * Makes, or takes over, the pair cilium_host/cilium_net. Nobody answers neighbour requests there: the programs write
 * the MAC addresses themselves.
 *
 * @throws Error when a device of that name is something else
 */
export async function ensureHostPair(
  net: NetOps,
  links: readonly LinkInfo[],
  mtu: number,
  former: FormerDevice | undefined,
): Promise<OwnDevice> {
  const byName = new Map(links.map((link) => [link.name, link]));
  const host = byName.get(hostDeviceName);
  const peer = byName.get(netDeviceName);
  if (host === undefined && peer === undefined) {
    const pair = await sameAgain(former, (as) =>
      net.createVeth({ name: hostDeviceName, peerName: netDeviceName, mtu, ...as }),
    );
    await quietenIpv6(net, hostDeviceName);
    await quietenIpv6(net, netDeviceName);
    for (const end of [pair.host, pair.peer]) await net.setLink(end.ifindex, { arp: false, up: true });
    const what = `${hostDeviceName} and ${netDeviceName} were gone and are made anew`;
    return { link: { ...pair.host, up: true, arp: false }, repairs: [{ what, anew: true }] };
  }
  if (host?.kind !== "veth" || peer === undefined || host.peerIfindex !== peer.ifindex) {
    throw new Error(
      `${host === undefined ? netDeviceName : hostDeviceName} exists but is no veth pair of ` +
        `${hostDeviceName} and ${netDeviceName}; remove it, and both are made anew`,
    );
  }
  const repairs: Repair[] = [];
  for (const end of [host, peer]) {
    const wrong = differences(end, { arp: false, mtu, up: true });
    if (wrong === undefined) continue;
    await net.setLink(end.ifindex, { arp: false, mtu, up: true });
    repairs.push({ what: `${end.name} ${wrong} and is set right`, anew: false });
  }
  return { link: { ...host, mtu, up: true, arp: false }, repairs };
}

/**
 * Makes, or takes over, cilium_vxlan. One of another port is replaced.
 * @throws Error when a device of that name is something else; DatapathError when another device has the port
 */
export async function ensureOverlay(
  net: NetOps,
  links: readonly LinkInfo[],
  { port, mtu }: { readonly port: number; readonly mtu: number },
  former: FormerDevice | undefined,
): Promise<OwnDevice> {
  const link = links.find(({ name }) => name === overlayDeviceName);
  if (link !== undefined && link.kind !== "vxlan") {
    throw new Error(`${overlayDeviceName} exists but is no VXLAN device; remove it, and it is made anew`);
  }
  if (link?.vxlan?.metadata === true && link.vxlan.port === port) {
    const wrong = differences(link, { mtu, up: true });
    if (wrong === undefined) return { link, repairs: [] };
    await net.setLink(link.ifindex, { mtu, up: true });
    const repair = { what: `${overlayDeviceName} ${wrong} and is set right`, anew: false };
    return { link: { ...link, mtu, up: true }, repairs: [repair] };
  }
  if (link !== undefined) await net.deleteLink(link.ifindex);
  const made = await sameAgain(former, (as) =>
    net.createVxlan({ name: overlayDeviceName, port, mtu, ...as }),
  );
  await quietenIpv6(net, overlayDeviceName);
  await net.setLink(made.ifindex, { up: true });
  const why = link === undefined ? "was gone" : "was of another kind";
  const repair = { what: `${overlayDeviceName} ${why} and is made anew`, anew: true };
  return { link: { ...made, up: true }, repairs: [repair] };
}

/** Removes the overlay's device, as after a change to native routing. False when there was none. */
export async function removeOverlay(net: NetOps, links: readonly LinkInfo[]): Promise<boolean> {
  const link = links.find(({ name, kind }) => name === overlayDeviceName && kind === "vxlan");
  return link !== undefined && net.deleteLink(link.ifindex);
}

/**
 * Makes a device with index and MAC address of the one that was there, so that nothing which knows them has to change.
 * The index may have been taken meanwhile; then the device is another one.
 */
async function sameAgain<T>(
  former: FormerDevice | undefined,
  make: (as: { readonly ifindex?: number; readonly mac?: string }) => Promise<T>,
): Promise<T> {
  if (former === undefined) return make({});
  try {
    return await make({ ifindex: former.ifindex, mac: former.mac });
  } catch (error) {
    if (!(error instanceof DatapathError)) throw error;
    return make({ mac: former.mac });
  }
}

/** What is wrong with a link, in words. */
function differences(
  link: LinkInfo,
  wanted: { readonly arp?: boolean; readonly mtu: number; readonly up: true },
): string | undefined {
  const wrong = [
    link.up ? "" : "was down",
    link.mtu === wanted.mtu ? "" : `had an MTU of ${link.mtu}`,
    wanted.arp === undefined || link.arp === wanted.arp ? "" : "resolved neighbours",
  ].filter((text) => text !== "");
  return wrong.length === 0 ? undefined : wrong.join(", ");
}
