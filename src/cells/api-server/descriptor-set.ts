/** Wire type of length-delimited fields, and the key of `repeated FileDescriptorProto file = 1`. */
const FILE_FIELD_KEY = (1 << 3) | 2;

/**
 * The serialized files of a serialized google.protobuf.FileDescriptorSet (descriptor.proto), whose only field
 * is the repeated file.
 * @throws TypeError when the bytes are no such set
 */
export function splitFileDescriptorSet(set: Uint8Array): Buffer[] {
  const bytes = Buffer.from(set.buffer, set.byteOffset, set.byteLength);
  const files: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] !== FILE_FIELD_KEY) throw new TypeError("not a FileDescriptorSet: unexpected field");
    const { value: length, next } = readVarint(bytes, at + 1);
    if (next + length > bytes.length) throw new TypeError("not a FileDescriptorSet: cut off");
    files.push(bytes.subarray(next, next + length));
    at = next + length;
  }
  return files;
}

function readVarint(bytes: Buffer, from: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let at = from; at < from + 5; at++) {
    const byte = bytes[at];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * (at - from));
    if (byte < 0x80) return { value, next: at + 1 };
  }
  throw new TypeError("not a FileDescriptorSet: bad length");
}
