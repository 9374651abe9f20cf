// What namespaces would otherwise take from the machine's defaults, which are not the path's.

import { existsSync } from "node:fs";
import { run } from "../src/playground/command.ts";
import { inNamespace, setSysctl } from "../src/playground/namespaces.ts";

/** Of the module br_netfilter, for the namespace of whoever reads it; absent where the module is. */
const bridgeFilter = "net/bridge/bridge-nf-call-iptables";

/**
 * Settings of every namespace that load comes from, goes to or passes.
 *
 * Congestion control is Reno, which sends as fast as the receiver takes: BBR, a default on some machines, models the
 * path's rate instead and paces itself, and without the queueing discipline fq it does so by timers of its own.
 *
 * Nobody looks up the way back to where a packet comes from, as routing nodes do on distributions that set rp_filter:
 * namespaces take it from the machine's own, and devices, as they are made, from their namespace. So it is set for those
 * that there are as well as for those to come.
 *
 * Bridges do not show their frames to the hooks of IPv4, as they do by default where br_netfilter is loaded: a bridge
 * without rules is a tenth faster then.
 *
 * @throws CommandError
 */
export async function settle(namespace: string): Promise<void> {
  await setSysctl(namespace, "net/ipv4/tcp_congestion_control", "reno");
  const everywhere = 'for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > "$file" || exit; done';
  await run(inNamespace(namespace, ["sh", "-c", everywhere]));
  if (existsSync(`/proc/sys/${bridgeFilter}`)) await setSysctl(namespace, bridgeFilter, "0");
}
