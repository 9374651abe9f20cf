import { DatapathError, type NetOps } from "../../datapath/index.ts";
import type { NodeConfig } from "./types.ts";

/** IN6_ADDR_GEN_MODE_NONE, include/uapi/linux/if_link.h. */
const addrGenNone = "1";

/** False when this kernel, or this namespace, has no IPv6. */
async function hasIpv6(net: NetOps): Promise<boolean> {
  try {
    await net.getSysctl("ipv6/conf/all/forwarding");
    return true;
  } catch (error) {
    if (error instanceof DatapathError) return false;
    throw error;
  }
}

/**
 * Lets a device that the agent has made, and not brought up, speak IPv6 only when it is spoken to: it has no
 * link-local address, looks for no router and believes none, for all it needs to know is configured.
 */
export async function quietenIpv6(net: NetOps, device: string): Promise<void> {
  if (!(await hasIpv6(net))) return;
  const settings = {
    addr_gen_mode: addrGenNone,
    accept_ra: "0",
    router_solicitations: "0",
  };
  for (const [name, value] of Object.entries(settings)) {
    await net.setSysctl(`ipv6/conf/${device}/${name}`, value);
  }
}

/**
 * Lets the agent's devices have IPv6, which they may be without: made when pods had none, or in a namespace where new
 * devices have none. Addresses come after this.
 *
 * @returns what was not as it should be, in words
 */
export async function ensureIpv6(
  net: NetOps,
  devices: readonly { readonly name: string }[],
): Promise<readonly string[]> {
  const changed: string[] = [];
  for (const { name } of devices) {
    const key = `ipv6/conf/${name}/disable_ipv6`;
    const value = (await net.getSysctl(key)).trim();
    if (value === "0") continue;
    await net.setSysctl(key, "0");
    changed.push(`${key.replaceAll("/", ".")} was ${value} and is 0`);
  }
  return changed;
}

/**
 * Lets the stack forward for pods. Their packets enter on their own devices while the route back leads over
 * cilium_host, which a strict reverse-path filter (1) would refuse; the one for all devices becomes loose. A client
 * whose NodePort leads to a neighbour of the node is not told to ask that one (the kernel does if either setting, the
 * device's or the one for all, is on).
 *
 * @returns what was not as it should be, in words
 */
export async function ensureForwarding(
  net: NetOps,
  { host, overlay, devices, podCidrV6 }: Pick<NodeConfig, "host" | "overlay" | "devices" | "podCidrV6">,
): Promise<readonly string[]> {
  const changed: string[] = [];
  const ensure = async (key: string, wanted: string, onlyWhere?: string): Promise<void> => {
    const value = (await net.getSysctl(key)).trim();
    if (value === wanted || (onlyWhere !== undefined && value !== onlyWhere)) return;
    await net.setSysctl(key, wanted);
    changed.push(`${key.replaceAll("/", ".")} was ${value} and is ${wanted}`);
  };
  await ensure("ipv4/ip_forward", "1");
  await ensure("ipv4/conf/all/rp_filter", "2", "1");
  for (const device of [host, ...(overlay === undefined ? [] : [overlay])]) {
    await ensure(`ipv4/conf/${device.name}/rp_filter`, "0");
  }
  for (const name of ["all", ...devices.map((device) => device.name)]) {
    await ensure(`ipv4/conf/${name}/send_redirects`, "0", "1");
  }
  if (podCidrV6 === undefined) return changed;
  changed.push(...(await ensureIpv6(net, [host, ...(overlay === undefined ? [] : [overlay])])));
  // A router believes no other routers; the node goes on to, where it did (2: although it forwards).
  for (const { name } of devices) await ensure(`ipv6/conf/${name}/accept_ra`, "2", "1");
  await ensure("ipv6/conf/all/forwarding", "1");
  return changed;
}
