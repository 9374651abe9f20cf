/** Words for ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443, RFC 4861) messages. */

/** A type's name, and those of its codes where they matter. */
type Names = ReadonlyMap<number, readonly [name: string, codes?: readonly string[]]>;

const ICMP: Names = new Map([
  [0, ["EchoReply"]],
  [3, ["DestinationUnreachable", ["Net", "Host", "Protocol", "Port", "FragmentationNeeded"]]],
  [5, ["Redirect"]],
  [8, ["EchoRequest"]],
  [11, ["TimeExceeded", ["TTLExceeded", "FragmentReassembly"]]],
  [12, ["ParameterProblem"]],
]);

const ICMPV6: Names = new Map([
  [
    1,
    [
      "DestinationUnreachable",
      ["NoRoute", "AdminProhibited", "BeyondScope", "Address", "Port", "SourcePolicy", "RejectRoute"],
    ],
  ],
  [2, ["PacketTooBig"]],
  [3, ["TimeExceeded", ["HopLimitExceeded", "FragmentReassembly"]]],
  [4, ["ParameterProblem"]],
  [128, ["EchoRequest"]],
  [129, ["EchoReply"]],
  [130, ["MulticastListenerQuery"]],
  [131, ["MulticastListenerReport"]],
  [132, ["MulticastListenerDone"]],
  [133, ["RouterSolicitation"]],
  [134, ["RouterAdvertisement"]],
  [135, ["NeighborSolicitation"]],
  [136, ["NeighborAdvertisement"]],
  [137, ["Redirect"]],
  [143, ["MulticastListenerReportV2"]],
]);

/** "EchoRequest", "DestinationUnreachable(Port)", "type 200 code 0" for one without a name. */
export function icmpName(version: 4 | 6, type: number, code: number): string {
  const names = (version === 4 ? ICMP : ICMPV6).get(type);
  if (names === undefined) return `type ${type} code ${code}`;
  const [name, codes] = names;
  return codes === undefined ? name : `${name}(${codes[code] ?? `code ${code}`})`;
}
