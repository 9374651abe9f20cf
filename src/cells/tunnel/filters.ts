import type { PacketFilter } from "../../datapath/index.ts";

/** Families of nftables that see packets of IPv4, which carry the tunnel, and where such packets meet them. */
const families: ReadonlySet<string> = new Set(["inet", "ip", "netdev"]);
const hooks: ReadonlySet<string> = new Set(["ingress", "prerouting", "input"]);

/** Does it see what comes in from the network for the node? */
function seesIncoming(filter: PacketFilter): boolean {
  if (filter.kind === "iptables") return true;
  return families.has(filter.family) && hooks.has(filter.hook);
}

/** Who would see packets of the tunnel on their way to its device, in words; undefined when nobody would. */
export function describeIncoming(filters: readonly PacketFilter[]): string | undefined {
  const [first, ...others] = filters.filter(seesIncoming);
  if (first === undefined) return undefined;
  const text =
    first.kind === "iptables"
      ? `iptables has a table ${first.table}`
      : `table ${first.family} ${first.table} has a chain at ${first.hook}`;
  return others.length === 0 ? text : `${text}, the first of ${others.length + 1}`;
}
