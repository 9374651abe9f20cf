import type { MonitorMessage } from "../../cells/monitor/types.ts";
import {
  type DatapathEvent,
  type EventHeader,
  formatEvent,
  formatPacket,
  summarisePacket,
} from "../../datapath/events/index.ts";
import { TrafficDirection } from "../../gen/waggle/v1/common.ts";
import {
  LostEventsSource,
  type MonitorResponse,
  type PacketEvent,
  VerdictAction,
} from "../../gen/waggle/v1/datapath.ts";

const actions = {
  allow: VerdictAction.ALLOW,
  deny: VerdictAction.DENY,
  redirect: VerdictAction.REDIRECT,
} as const;

/** The message of one thing that the monitor saw. */
export function monitorToMessage(message: MonitorMessage): MonitorResponse {
  if (message.kind === "lost") return lostToMessage(message.count, LostEventsSource.KERNEL, message.at);
  const { at, cpu, event } = message;
  return { at, cpu, event: eventToMessage(event), text: formatEvent(event) };
}

/** Tells a reader that events are missing at this point of its stream. */
export function lostToMessage(count: number, source: LostEventsSource, at: Date): MonitorResponse {
  const where = source === LostEventsSource.KERNEL ? "the agent" : "this reader";
  return {
    at,
    cpu: 0,
    event: { $case: "lost", value: { count: BigInt(count), source } },
    text: `${count} events lost: ${where} did not keep up`,
  };
}

function eventToMessage(event: DatapathEvent): NonNullable<MonitorResponse["event"]> {
  switch (event.kind) {
    case "drop": {
      const { reason, reasonName, sourceIdentity, destinationIdentity, destinationEndpoint } = event;
      const { line, file, ifindex, extError: extendedError } = event;
      const value = { reason, reasonName, sourceIdentity, destinationIdentity, destinationEndpoint };
      return {
        $case: "drop",
        value: { packet: packetOf(event), ...value, line, file, ifindex, extendedError },
      };
    }
    case "trace": {
      const { sourceIdentity, destinationIdentity, destinationEndpoint, connection, ifindex } = event;
      const value = { sourceIdentity, destinationIdentity, destinationEndpoint, connection, ifindex };
      return {
        $case: "trace",
        value: {
          packet: packetOf(event),
          observationPoint: event.point,
          ...value,
          originalIp: event.originalIp ?? "",
        },
      };
    }
    case "verdict": {
      const { remoteIdentity, verdict, reasonName, protocol, destinationPort, match, audited } = event;
      const value = { remoteIdentity, verdict, reasonName, protocol, destinationPort, match, audited };
      const direction = event.direction === "egress" ? TrafficDirection.EGRESS : TrafficDirection.INGRESS;
      return {
        $case: "verdict",
        value: { packet: packetOf(event), action: actions[event.action], direction, ...value },
      };
    }
    case "unknown":
      return { $case: "unknown", value: { type: event.type, raw: event.raw } };
  }
}

function packetOf({ source, hash, originalLength, payload }: EventHeader): PacketEvent {
  return {
    sourceEndpoint: source,
    hash,
    originalLength,
    data: payload,
    summary: payload.length === 0 ? undefined : summaryOf(payload),
  };
}

function summaryOf(payload: Buffer): PacketEvent["summary"] {
  const packet = summarisePacket(payload);
  const text = formatPacket(payload);
  if (packet.kind !== "ip") {
    return { sourceIp: "", destinationIp: "", protocol: 0, sourcePort: 0, destinationPort: 0, text };
  }
  return {
    sourceIp: packet.source,
    destinationIp: packet.destination,
    protocol: packet.protocol,
    sourcePort: packet.sourcePort ?? 0,
    destinationPort: packet.destinationPort ?? 0,
    text,
  };
}
