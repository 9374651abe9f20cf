import test from "ava";
import { ipv4Bytes, ipv6Bytes } from "../address.ts";
import { lbFilterBit } from "./lb-filter.ts";

/** bpf/lib/hash.h in whole words. */
function reference(bytes: Buffer): number {
  const words =
    bytes.length === 4 ? [BigInt(bytes.readUInt32LE())] : [0, 8].map((i) => bytes.readBigUInt64LE(i));
  const hash = words.reduce((hash, word) => {
    const product = BigInt.asUintN(64, (hash ^ word) * 0x9e3779b97f4a7c15n);
    return product ^ (product >> 32n);
  }, 0n);
  return Number((hash >> 12n) & 0xfffffn);
}

test("the bit of an address is what the upper bits of its hash say", (t) => {
  for (const address of ["0.0.0.0", "255.255.255.255", "127.0.0.1", "128.0.0.255"])
    t.is(lbFilterBit(address), reference(ipv4Bytes(address)), address);
  for (const address of ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1", "ff00::ffff", "8000::8000"])
    t.is(lbFilterBit(address), reference(ipv6Bytes(address)), address);
  for (let i = 0; i < 2000; i += 1) {
    const [high, low] = [(i * 7919) % 256, (i * 104_729) % 256];
    const four = `10.${high}.${low}.${i % 256}`;
    t.is(lbFilterBit(four), reference(ipv4Bytes(four)), four);
    const six = `fd${high.toString(16).padStart(2, "0")}:${i.toString(16)}::${(low * 257).toString(16)}:${i}`;
    t.is(lbFilterBit(six), reference(ipv6Bytes(six)), six);
  }
});

test("addresses of a range are spread over the bits, in either family", (t) => {
  for (const of of [
    (i: number) => `10.96.${i >> 8}.${i & 255}`,
    (i: number) => `fd00:10:96::${i.toString(16)}`,
  ]) {
    const bits = new Set(Array.from({ length: 30_000 }, (_, i) => lbFilterBit(of(i))));
    t.true(bits.size > 29_000, `${bits.size}`);
  }
});
