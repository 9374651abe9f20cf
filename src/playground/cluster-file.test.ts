import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { ClusterFileError, readClusterFile } from "./cluster-file.ts";

function file(t: ExecutionContext, content: unknown): string {
  const directory = mkdtempSync(join(tmpdir(), "waggle-cluster-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "cluster.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

const place = { netns: "/run/netns/a", ipv4: "192.0.2.1", ipv6: "" };
const node = { name: "node1", socket: "/run/a.sock", ...place };

test("a description is read as it was written, with and without an outside", (t) => {
  t.deepEqual(readClusterFile(file(t, { nodes: [node] })), { nodes: [node] });
  const both = { nodes: [node, node], outside: place };
  t.deepEqual(readClusterFile(file(t, both)), both);
});

test("a description that is none says where it is wrong", (t) => {
  const refused = (content: unknown, message: RegExp) =>
    t.throws(() => readClusterFile(file(t, content)), { instanceOf: ClusterFileError, message });
  refused("{", /cluster.json describes no cluster: .*JSON/);
  refused([], /it has no nodes/);
  refused({ nodes: [] }, /it has no nodes/);
  refused({ nodes: [node, { ...node, socket: 1 }] }, /nodes\[1\]\.socket is no text/);
  refused({ nodes: [node], outside: { ...place, netns: undefined } }, /outside\.netns is no text/);
  t.throws(() => readClusterFile("/nowhere/at-all"), { instanceOf: ClusterFileError, message: /ENOENT/ });
});
