import type {
  PluginRecordFieldType,
  PluginRecordLayout,
  PluginRecordMessage,
} from "../../cells/plugin-table/types.ts";
import {
  type PluginRecordLayout as LayoutMessage,
  LostRecordsSource,
  type StreamPluginRecordsResponse,
  PluginRecordFieldType as TypeMessage,
} from "../../gen/waggle/v1/plugin.ts";

const types = {
  u8: TypeMessage.U8,
  u16: TypeMessage.U16,
  u32: TypeMessage.U32,
  u64: TypeMessage.U64,
  be16: TypeMessage.BE16,
  be32: TypeMessage.BE32,
  ipv4: TypeMessage.IPV4,
  ipv6: TypeMessage.IPV6,
  bytes: TypeMessage.BYTES,
} as const satisfies Record<PluginRecordFieldType, TypeMessage>;

/** The message of a layout of records. */
export function layoutToMessage({ map, fields }: PluginRecordLayout): LayoutMessage {
  return { map, fields: fields.map((field) => ({ ...field, type: types[field.type] })) };
}

/** The response for something that came from a plugin's map. */
export function recordMessageToResponse(message: PluginRecordMessage): StreamPluginRecordsResponse {
  const { at: receivedAt } = message;
  switch (message.kind) {
    case "layout":
      return { receivedAt, event: { $case: "layout", value: layoutToMessage(message.layout) } };
    case "record":
      return { receivedAt, event: { $case: "record", value: { data: message.data, cpu: message.cpu } } };
    case "lost":
      return lost(message.count, LostRecordsSource.KERNEL, receivedAt);
  }
}

/** Tells a reader that it has lost records by not keeping up. */
export function lostRecordsToMessage(count: number, at: Date): StreamPluginRecordsResponse {
  return lost(count, LostRecordsSource.READER, at);
}

function lost(count: number, source: LostRecordsSource, receivedAt: Date): StreamPluginRecordsResponse {
  return { receivedAt, event: { $case: "lost", value: { count: BigInt(count), source } } };
}
