import { isIPv4 } from "node:net";
import { hostname } from "node:os";
import { cidrContains, formatIpv4, parseCidr, parseIpv4 } from "../../datapath/address.ts";
import { flag } from "../../hive/index.ts";

/** Flags of the node-config cell. */
export const nodeFlags = {
  "node-name": flag.string({ default: hostname(), help: "name of this node" }),
  "pod-cidr": flag.string({
    default: "10.0.1.0/24",
    help: "IPv4 network that pods get their addresses from",
  }),
  "router-ip": flag.string({
    default: "",
    help: "the pods' gateway; by default the first address of the pod CIDR",
  }),
  devices: flag.list({
    default: [],
    help: "devices towards the outside that get the netdev programs; auto: those with a default route",
  }),
  mtu: flag.int({ default: 0, help: "MTU of pod interfaces; 0: the smallest of the devices', or 1500" }),
};

/** Pod network and gateway, checked. */
export interface PodNetwork {
  readonly podCidr: string;
  readonly routerIpv4: string;
}

/**
 * Checks the pod CIDR and picks the gateway.
 * @throws Error naming the flag that is wrong
 */
export function podNetwork(podCidr: string, routerIp: string): PodNetwork {
  let cidr: ReturnType<typeof parseCidr>;
  try {
    cidr = parseCidr(podCidr);
  } catch (cause) {
    throw new Error(`pod-cidr: ${JSON.stringify(podCidr)} is no IPv4 network such as 10.0.1.0/24`, { cause });
  }
  if (cidr.prefixLength < 8 || cidr.prefixLength > 29) {
    throw new Error(`pod-cidr: ${podCidr} must have a prefix length from 8 to 29`);
  }
  const routerIpv4 = routerIp === "" ? formatIpv4(parseIpv4(cidr.address) + 1) : routerIp;
  if (!isIPv4(routerIpv4)) throw new Error(`router-ip: ${JSON.stringify(routerIpv4)} is no IPv4 address`);
  if (!cidrContains(podCidr, routerIpv4)) throw new Error(`router-ip: ${routerIpv4} is not in ${podCidr}`);
  return { podCidr: `${cidr.address}/${cidr.prefixLength}`, routerIpv4 };
}
