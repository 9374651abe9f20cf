import { status } from "@grpc/grpc-js";
import test from "ava";
import { call, failure, serve, violations } from "./harness.ts";

test("a node is found by its name, and the agent's own without one", async (t) => {
  const { nodes } = await serve(t);
  const { node } = await call(nodes, nodes.getNode, { name: "" });
  t.deepEqual(node, {
    name: "node1",
    ipv4: "192.0.2.1",
    ipv6: "fd00::1",
    podCidr: "10.0.1.0/24",
    podCidrV6: "fd00:1::/64",
    routerIpv4: "10.0.1.1",
    routerIpv6: "fd00:1::1",
    local: true,
    version: "1.2.3",
  });
  t.like((await call(nodes, nodes.getNode, { name: "node2" })).node, {
    ipv6: "",
    podCidrV6: "",
    local: false,
  });
  t.is((await failure(call(nodes, nodes.getNode, { name: "node3" }))).code, status.NOT_FOUND);
  const long = await failure(call(nodes, nodes.getNode, { name: "n".repeat(254) }));
  t.deepEqual(violations(long), { name: "longer than 253 bytes" });
});

test("nodes are listed by name, page after page", async (t) => {
  const { nodes } = await serve(t);
  const first = await call(nodes, nodes.listNodes, { pageSize: 1, pageToken: "" });
  t.deepEqual(
    first.nodes.map(({ name }) => name),
    ["node1"],
  );
  const second = await call(nodes, nodes.listNodes, { pageSize: 1, pageToken: first.nextPageToken });
  t.deepEqual(
    second.nodes.map(({ name }) => name),
    ["node2"],
  );
  t.is(second.nextPageToken, "");
});
