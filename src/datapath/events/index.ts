/** Notifications of the datapath: decoding and printing. */
export { decodeEvent, NOTIFICATION_SIZE, NotificationType } from "./decode.ts";
export { formatEvent, formatPacket } from "./format.ts";
export { type PacketSummary, summarisePacket, type TransportSummary } from "./packet.ts";
export type * from "./types.ts";
