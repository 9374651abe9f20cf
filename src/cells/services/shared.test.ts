import test from "ava";
import { decodeSpec } from "./shared.ts";

const spec = {
  ip: "FD00:96::0001",
  port: 80,
  protocol: "tcp",
  backends: [{ ip: "fd00::2", port: 8080, state: "active", node: "two" }],
  algorithm: "random",
  affinityTimeoutS: 0,
  nodePort: 0,
  externalIps: [],
  externalTrafficPolicy: "cluster",
  internalTrafficPolicy: "cluster",
  order: 3,
};

test("a service comes back as it was written, without what this version does not know", (t) => {
  t.deepEqual(decodeSpec({ ...spec, colour: "red" }, "web"), { ...spec, ip: "fd00:96::1" } as never);
});

for (const [what, value, name] of [
  ["no object", null, "web"],
  ["text", "web", "web"],
  ["no backends", { ...spec, backends: undefined }, "web"],
  ["an unknown protocol", { ...spec, protocol: "icmp" }, "web"],
  ["a backend without a node", { ...spec, backends: [{ ip: "fd00::2", port: 1, state: "active" }] }, "web"],
  ["a backend that is nothing", { ...spec, backends: [null] }, "web"],
  ["an order that is none", { ...spec, order: -1 }, "web"],
  ["a node port that is to be chosen", { ...spec, nodePort: "auto" }, "web"],
  ["a bad name", spec, "Web!"],
] as const) {
  test(`${what} is refused`, (t) => {
    t.throws(() => decodeSpec(value, name));
  });
}
