import { isIPv4, isIPv6 } from "node:net";
import { cidrContains, splitCidr } from "../../datapath/address.ts";
import type { InterfaceAddress, LinkInfo, NetOps, Route } from "../../datapath/index.ts";
import type { NodeDevice } from "./types.ts";

/** RT_TABLE_MAIN of rtnetlink(7). */
const mainTable = 254;

/** RFC 4291, 2.5.6. */
const isLinkLocal = (address: string): boolean => cidrContains("fe80::/10", address);

/** A link with its addresses. */
export function describeDevice(link: LinkInfo, addresses: readonly InterfaceAddress[]): NodeDevice {
  const own = addresses
    .filter(({ ifindex }) => ifindex === link.ifindex)
    .map(({ cidr }) => splitCidr(cidr).address);
  return {
    name: link.name,
    ifindex: link.ifindex,
    mac: link.mac,
    mtu: link.mtu,
    ipv4: own.filter(isIPv4),
    ipv6: own.filter((address) => isIPv6(address) && !isLinkLocal(address)),
  };
}

/** The devices towards the outside, as far as they are there. */
export interface OutsideDevices {
  readonly devices: readonly NodeDevice[];
  /** Devices that are named and do not exist. */
  readonly missing: readonly string[];
}

/** The node as rtnetlink shows it. */
export interface NodeView {
  readonly links: readonly LinkInfo[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
}

/** Reads everything that rtnetlink shows of the node. */
export async function viewNode(net: NetOps): Promise<NodeView> {
  const [links, addresses, routes] = await Promise.all([net.links(), net.addresses(), net.routes()]);
  return { links, addresses, routes };
}

/** Resolves the `devices` setting: the first device is the node's main one. */
export class OutsideDeviceFinder {
  readonly #names: readonly string[];
  /** A device once found is kept as long as it exists: while its default route is replaced, programs must stay. */
  readonly #found = new Set<string>();

  /** @param names of devices; "auto" stands for those with a default route */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** Names of the devices meant, as far as they are known. */
  get names(): ReadonlySet<string> {
    return new Set([...this.#names, ...this.#found]);
  }

  find({ links, addresses, routes }: NodeView): OutsideDevices {
    const byName = new Map(links.map((link) => [link.name, link]));
    const missing: string[] = [];
    for (const name of this.#names) {
      if (name === "auto") {
        for (const found of withDefaultRoute(links, routes)) this.#found.add(found);
      } else if (byName.has(name)) {
        this.#found.add(name);
      } else {
        missing.push(name);
      }
    }
    const present = [...this.#found].flatMap((name) => byName.get(name) ?? []);
    return { devices: present.map((link) => describeDevice(link, addresses)), missing };
  }
}

/** Those that have IPv4's first. */
function withDefaultRoute(links: readonly LinkInfo[], routes: readonly Route[]): readonly string[] {
  return ["0.0.0.0/0", "::/0"]
    .flatMap((anywhere) =>
      routes.filter(({ destination, table = mainTable }) => destination === anywhere && table === mainTable),
    )
    .flatMap((route) => links.filter(({ ifindex }) => ifindex === route.ifindex).map(({ name }) => name));
}
