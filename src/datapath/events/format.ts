import { sourceFileName } from "../drop-reasons.ts";
import { hostPort, protocolName } from "../maps/names.ts";
import { icmpName } from "./icmp.ts";
import { type PacketSummary, summarisePacket } from "./packet.ts";
import type { DatapathEvent, DropEvent, TraceEvent, VerdictEvent } from "./types.ts";

/** One line for people, in the manner of `cilium monitor`: what happened, to whom, and to which packet. */
export function formatEvent(event: DatapathEvent): string {
  switch (event.kind) {
    case "drop":
      return formatDrop(event);
    case "trace":
      return formatTrace(event);
    case "verdict":
      return formatVerdict(event);
    case "unknown":
      return `?? unknown notification, type ${event.type}, ${event.raw.length} bytes`;
  }
}

/** "10.0.1.5:41000 -> 10.0.1.9:80 tcp SYN", as far as the capture shows. */
export function formatPacket(frame: Buffer): string {
  return describePacket(summarisePacket(frame));
}

function formatDrop(event: DropEvent): string {
  const detail = event.extError === 0 ? "" : `, ${event.extError}`;
  const { source, destinationEndpoint: to } = event;
  // What an endpoint's ingress drops names the endpoint as both; 0 is none.
  const ends = [
    source === 0 || source === to ? "" : `from endpoint ${source} `,
    to === 0 ? "" : `to endpoint ${to}`,
  ];
  const endpoints = ends.join("").trim();
  return (
    `xx drop (${event.reasonName}${detail}) flow ${hash(event.hash)}${endpoints && ` ${endpoints}`}, ` +
    `ifindex ${event.ifindex}, ${sourceFileName(event.file)}:${event.line}, ` +
    `identity ${event.sourceIdentity}->${event.destinationIdentity}: ${formatPacket(event.payload)}`
  );
}

function formatTrace(event: TraceEvent): string {
  const original = event.originalIp === undefined ? "" : ` orig-ip ${event.originalIp}`;
  return (
    `${tracePlace(event)} flow ${hash(event.hash)}, ` +
    `identity ${event.sourceIdentity}->${event.destinationIdentity} state ${event.connection} ` +
    `ifindex ${event.ifindex}${original}: ${formatPacket(event.payload)}`
  );
}

function tracePlace(event: TraceEvent): string {
  if (event.point === "to-endpoint") return `-> endpoint ${event.destinationEndpoint}`;
  if (event.point === "from-endpoint") return `<- endpoint ${event.source}`;
  if (event.point === "unknown") return "-- unknown point";
  const arrow = event.point.startsWith("to-") ? "->" : "<-";
  return `${arrow} ${event.point.slice(event.point.indexOf("-") + 1)}`;
}

function formatVerdict(event: VerdictEvent): string {
  const reason = event.reasonName === "" ? "" : ` (${event.reasonName})`;
  const audited = event.audited ? ", audited" : "";
  return (
    `Policy verdict: flow ${hash(event.hash)} local endpoint ${event.source}, remote identity ${event.remoteIdentity}, ` +
    `${protocolName(event.protocol)} port ${event.destinationPort}, ${event.direction}, ` +
    `action ${event.action}${reason}, match ${event.match}${audited}: ${formatPacket(event.payload)}`
  );
}

function describePacket(packet: PacketSummary): string {
  switch (packet.kind) {
    case "truncated":
      return "(too short to say)";
    case "ethernet":
      return `${packet.source} -> ${packet.destination} ethertype 0x${packet.etherType.toString(16).padStart(4, "0")}`;
    case "arp":
      return packet.operation === "request"
        ? `arp who-has ${packet.target} tell ${packet.sender}`
        : `arp ${packet.operation} ${packet.sender} to ${packet.target}`;
    case "ip":
      return describeIp(packet);
  }
}

function describeIp(packet: Extract<PacketSummary, { kind: "ip" }>): string {
  const from = withPort(packet.source, packet.sourcePort);
  const to = withPort(packet.destination, packet.destinationPort);
  const words = [`${from} -> ${to}`, protocolName(packet.protocol).toLowerCase()];
  if (packet.laterFragment) words.push("fragment");
  if (packet.tcpFlags !== undefined) words.push(packet.tcpFlags.join(", "));
  if (packet.icmpType !== undefined) {
    words.push(icmpName(packet.version, packet.icmpType, packet.icmpCode ?? 0));
  }
  if (packet.neighbour !== undefined) words.push(packet.neighbour);
  return words.join(" ").trimEnd();
}

function withPort(address: string, port: number | undefined): string {
  return port === undefined ? address : hostPort({ address, port });
}

function hash(value: number): string {
  return `0x${value.toString(16)}`;
}
