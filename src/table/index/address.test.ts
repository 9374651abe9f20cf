import test from "ava";
import { networkKey, parseAddress, parseNetwork } from "./address.ts";

const spellings: [string, number[]][] = [
  ["0.0.0.0", [0, 0]],
  ["192.0.2.255", [0xc000, 0x02ff]],
  ["255.255.255.255", [0xffff, 0xffff]],
  ["::", [0, 0, 0, 0, 0, 0, 0, 0]],
  ["::1", [0, 0, 0, 0, 0, 0, 0, 1]],
  ["1::", [1, 0, 0, 0, 0, 0, 0, 0]],
  ["2001:DB8::8:800:200c:417a", [0x2001, 0xdb8, 0, 0, 8, 0x800, 0x200c, 0x417a]],
  ["1:2:3:4:5:6:7:8", [1, 2, 3, 4, 5, 6, 7, 8]],
  ["1:2:3:4:5:6:7::", [1, 2, 3, 4, 5, 6, 7, 0]],
  ["::ffff:192.0.2.1", [0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]],
  ["1:2:3:4:5:6:192.0.2.1", [1, 2, 3, 4, 5, 6, 0xc000, 0x0201]],
];

for (const [text, groups] of spellings) {
  test(`${text} is read as its groups`, (t) => t.deepEqual([...parseAddress(text)], groups));
}

test("an address alone is a full-length network", (t) => {
  t.is(parseNetwork("10.0.0.1").length, 32);
  t.is(parseNetwork("::1").length, 128);
  t.is(parseNetwork("::1/0").length, 0);
});

test("addresses share the key of a network exactly when their leading bits agree", (t) => {
  const a = parseAddress("10.1.255.0");
  const b = parseAddress("10.1.254.0");
  for (let length = 0; length <= 32; length++) {
    t.is(networkKey(a, length) === networkKey(b, length), length <= 23, `/${length}`);
  }
});
