// Records of plugins' maps in columns, as plugin.yaml describes them.

import {
  type PluginRecordField,
  type PluginRecordLayout,
  PluginRecordFieldType as Type,
} from "../../gen/waggle/v1/plugin.ts";
import { exact } from "./plain.ts";

/** A field's value: numbers as such where they are exact, addresses and bytes in text; null when it is not there. */
export type FieldValue = number | string | null;

/** Characters that the longest value of a type takes; bytes take two each. */
const widths: Readonly<Partial<Record<Type, number>>> = {
  [Type.U8]: 3,
  [Type.U16]: 5,
  [Type.U32]: 10,
  [Type.U64]: 20,
  [Type.BE16]: 5,
  [Type.BE32]: 10,
  [Type.IPV4]: 15,
  [Type.IPV6]: 39,
};

/** An IPv6 address as RFC 5952 writes it, which the parser of URLs knows. */
function ipv6Text(address: Buffer): string {
  const groups = address.toString("hex").match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function fieldValue({ offset, size, type }: PluginRecordField, record: Buffer): FieldValue {
  if (offset + size > record.length) return null;
  switch (type) {
    case Type.U8:
      return record.readUInt8(offset);
    case Type.U16:
      return record.readUInt16LE(offset);
    case Type.U32:
      return record.readUInt32LE(offset);
    case Type.U64:
      return exact(record.readBigUInt64LE(offset));
    case Type.BE16:
      return record.readUInt16BE(offset);
    case Type.BE32:
      return record.readUInt32BE(offset);
    case Type.IPV4:
      return [...record.subarray(offset, offset + size)].join(".");
    case Type.IPV6:
      return ipv6Text(record.subarray(offset, offset + size));
    default:
      return record.toString("hex", offset, offset + size);
  }
}

/** The fields of a record by name; null for those that the record is too short for. */
export function recordFields(layout: PluginRecordLayout, data: Uint8Array): Record<string, FieldValue> {
  const record = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Object.fromEntries(layout.fields.map((field) => [field.name, fieldValue(field, record)]));
}

const widthOf = ({ name, type, size }: PluginRecordField): number =>
  Math.max(name.length, widths[type] ?? 2 * size);

const line = (layout: PluginRecordLayout, text: (field: PluginRecordField) => string): string =>
  layout.fields
    .map((field) => text(field).padEnd(widthOf(field)))
    .join("  ")
    .trimEnd();

/** The names of the fields, above the columns of `recordLine`. */
export const recordHeader = (layout: PluginRecordLayout): string => line(layout, ({ name }) => name);

/** A record in columns that are wide enough for any value; without declared fields, its bytes in groups of four. */
export function recordLine(layout: PluginRecordLayout, data: Uint8Array): string {
  if (layout.fields.length === 0) {
    return Buffer.from(data)
      .toString("hex")
      .replace(/.{8}(?=.)/g, "$& ");
  }
  const fields = recordFields(layout, data);
  return line(layout, ({ name }) => String(fields[name] ?? "-"));
}
