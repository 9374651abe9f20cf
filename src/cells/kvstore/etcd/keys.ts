/** The range of all keys that begin so, as etcd wants it: up to the prefix with its last byte plus one. */
export function rangeOf(prefix: string): { key: Buffer; range_end: Buffer } {
  const key = Buffer.from(prefix);
  const range_end = Buffer.from(prefix);
  // Prefixes end with "/", so the last byte can be raised.
  range_end[range_end.length - 1] = (range_end.at(-1) ?? 0) + 1;
  return { key, range_end };
}
