/**
 * libbpf's `*_opts` structs. Each starts with its own size, which is how libbpf tells versions apart;
 * all fields left out are zero. Offsets are those of 64-bit ABIs (bpf.h, libbpf.h of libbpf 1.1).
 */

/** One field: its offset, its width in bytes, its value. */
type Field = readonly [offset: number, width: 4 | 8, value: number | bigint];

/** Builds an opts struct of `size` bytes: `size_t sz` followed by the given fields. */
export function opts(size: number, fields: readonly Field[]): Buffer {
  const buffer = Buffer.alloc(size);
  buffer.writeBigUInt64LE(BigInt(size), 0);
  for (const [offset, width, value] of fields) {
    if (width === 8) buffer.writeBigUInt64LE(BigInt(value), offset);
    // `| 0` so that both signed and unsigned 32-bit numbers are taken.
    else buffer.writeInt32LE(Number(value) | 0, offset);
  }
  return buffer;
}
