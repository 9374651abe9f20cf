import test from "ava";
import {
  cidrContains,
  ipFromBytes,
  ipv4Bytes,
  ipv4Constant,
  ipv6Bytes,
  macBytes,
  macFromBytes,
  parseCidr,
  splitCidr,
} from "./address.ts";

test("IPv4 addresses keep their wire order", (t) => {
  t.is(ipv4Bytes("10.0.1.51").toString("hex"), "0a000133");
  t.is(ipv4Constant("10.0.1.51"), 0x3301000a);
  t.is(ipFromBytes(Buffer.from([255, 0, 0, 1])), "255.0.0.1");
  for (const bad of ["10.0.1", "10.0.1.256", "", "10.0.1.1/24", "01.2.3.4"]) {
    t.throws(() => ipv4Bytes(bad), { message: /parse IPv4 address/ });
  }
});

test("IPv6 addresses are written the short way", (t) => {
  for (const text of ["::", "::1", "fd00::1", "1:2:3:4:5:6:7:8", "fe80::1:0:0:2", "1:0:2::"]) {
    t.is(ipFromBytes(ipv6Bytes(text)), text);
  }
  t.is(ipFromBytes(ipv6Bytes("0:0:0:0:0:0:0:1")), "::1");
  t.is(ipFromBytes(ipv6Bytes("::ffff:10.0.0.1")), "::ffff:a00:1");
});

test("a prefix drops its host bits only when asked for the network", (t) => {
  t.deepEqual(splitCidr("10.0.1.5/24"), { address: "10.0.1.5", prefixLength: 24 });
  t.deepEqual(parseCidr("10.0.1.5/24"), { address: "10.0.1.0", prefixLength: 24 });
  t.deepEqual(parseCidr("10.0.255.5/20"), { address: "10.0.240.0", prefixLength: 20 });
  t.deepEqual(parseCidr("10.0.1.5"), { address: "10.0.1.5", prefixLength: 32 });
  t.deepEqual(parseCidr("1.2.3.4/0"), { address: "0.0.0.0", prefixLength: 0 });
  for (const bad of ["10.0.1.0/33", "10.0.1.0/", "10.0.1.0/-1", "x/8"]) t.throws(() => parseCidr(bad));
});

test("a prefix contains the addresses of its network and family", (t) => {
  t.true(cidrContains("10.0.1.0/24", "10.0.1.255"));
  t.false(cidrContains("10.0.1.0/24", "10.0.2.0"));
  t.false(cidrContains("::/0", "10.0.2.0"));
});

test("MAC addresses are six bytes in hexadecimal", (t) => {
  t.is(macFromBytes(macBytes("AE:3A:52:A3:EC:B3")), "ae:3a:52:a3:ec:b3");
  t.throws(() => macBytes("ae:3a:52:a3:ec"), { message: /parse MAC address/ });
});
