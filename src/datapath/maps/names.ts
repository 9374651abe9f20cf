/** Words for numbers that appear in several maps' columns. */

/** IANA protocol numbers the datapath knows; 0 stands for any. */
export const Protocol = { any: 0, icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Protocol).map(([name, number]) => [
    number,
    name === "icmpv6" ? "ICMPv6" : name.toUpperCase(),
  ]),
);

/** "TCP", "ANY"; the number itself when it has no name here. */
export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? String(protocol);
}

/** "0x0001" */
export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

/** "10.96.0.10:53", "[fd00::a]:53" */
export function hostPort(at: { readonly address: string; readonly port: number }): string {
  return at.address.includes(":") ? `[${at.address}]:${at.port}` : `${at.address}:${at.port}`;
}
