// Services as kube-proxy writes them, for nft(8). The shape is that of kube-proxy's modes; every service has one
// backend, the same for all.

import { countedPackets } from "./nft.ts";
import { IdlePeerError, server } from "./pair.ts";
import { ports } from "./peers/servers.ts";

/** Port of every service. */
export const servicePort = 80;

/** Address of a service by its number, from 0. */
export const serviceAddress = (number: number): string => `10.96.${number >> 8}.${number & 255}`;

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, number) => number);

/**
 * A service's chain, which chooses among its backends, and a backend's, which translates. All services have the same
 * backend, so they share them: a packet's way is the same, and the rules are loaded in seconds. The counter tells
 * that they did it, once for each connection; iptables has one in every rule anyway.
 */
const chains = `chain backend {
meta l4proto tcp counter dnat to ${server}:${ports.http}
}
chain service {
numgen random mod 1 vmap { 0 : goto backend }
}`;

const entrance = `chain prerouting {
type nat hook prerouting priority dstnat; policy accept;
jump services
}`;

/** kube-proxy's nftables mode: one look-up in a verdict map leads to the service's chain. */
export function verdictMapRules(count: number): string {
  const elements = numbers(count)
    .map((number) => `${serviceAddress(number)} . tcp . ${servicePort} : goto service`)
    .join(",\n");
  return `table ip kube {
${chains}
map service-ips {
type ipv4_addr . inet_proto . inet_service : verdict
elements = { ${elements} }
}
chain services {
ip daddr . meta l4proto . th dport vmap @service-ips
}
${entrance}
}
`;
}

/** What a rule of iptables compares first. */
export type Order = "address first" | "protocol first";

/**
 * kube-proxy's iptables mode: a rule a service, compared one after the other. These are the rules that iptables-nft
 * makes of `-A KUBE-SERVICES -d ADDRESS/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-…`: version 1.8.9 compares the protocol
 * before it comes to the address; later ones compare the address first, which most rules fail.
 */
export function linearRules(count: number, order: Order): string {
  const first = order === "protocol first" ? "meta l4proto tcp " : "";
  const rules = numbers(count)
    .map(
      (number) => `${first}ip daddr ${serviceAddress(number)} tcp dport ${servicePort} counter jump service`,
    )
    .join("\n");
  return `table ip kube {
${chains}
chain services {
${rules}
}
${entrance}
}
`;
}

/** That the rules, loaded in a node's namespace, have translated. @throws IdlePeerError, CommandError */
export async function verifyTranslation(pair: string, node: string): Promise<void> {
  if ((await countedPackets(node, "ip", "kube", "backend")) > 0) return;
  throw new IdlePeerError(pair, "its rules have translated no connection");
}
