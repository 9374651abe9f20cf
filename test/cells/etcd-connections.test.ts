import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { EtcdServer, type EtcdTls, freePort } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { sharer, temporary } from "./shared-nodes.ts";

const run = promisify(execFile);

/** An authority, and one certificate that is good for server and client on 127.0.0.1. */
async function certificates(t: ExecutionContext): Promise<EtcdTls> {
  const directory = await temporary(t, "tls");
  const path = (name: string): string => join(directory, name);
  const openssl = (...args: string[]) => run("openssl", args, { cwd: directory });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=test-ca",
  );
  await openssl("req", ...newKey, "-keyout", "peer.key", "-out", "peer.csr", "-subj", "/CN=peer");
  await writeFile(path("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext", "-days", "2"];
  await openssl("x509", "-req", "-in", "peer.csr", ...signed, "-out", "peer.pem");
  return { ca: path("ca.pem"), cert: path("peer.pem"), key: path("peer.key") };
}

test("etcd is spoken to over TLS with client certificates, and without them says why not", async (t) => {
  const tls = await certificates(t);
  const server = await EtcdServer.start({ tls });
  t.teardown(() => server.remove());
  const flags = { "etcd-ca": tls.ca, "etcd-cert": tls.cert, "etcd-key": tls.key };
  const a = await sharer(t, "a", [server.endpoint], { flags });
  await a.things.put("x", { text: "1" });
  await eventually("etcd has it", () => a.pending("things").length === 0);
  const stranger = await sharer(t, "b", [server.endpoint]);
  t.regex(stranger.complaints(), /no etcd since .*certificate/);
  const blind = await sharer(t, "c", [server.endpoint], {
    flags: { ...flags, "etcd-ca": "/nowhere/ca.pem" },
  });
  t.regex(blind.complaints(), /read --etcd-ca \/nowhere\/ca.pem: ENOENT/);
});

test("of several endpoints one that answers is found, at the start and when another ends", async (t) => {
  const server = await EtcdServer.start();
  t.teardown(() => server.remove());
  const dead = `http://127.0.0.1:${await freePort()}`;
  const a = await sharer(t, "a", [dead, server.endpoint]);
  await eventually("it is found", () => a.complaints() === "", 60_000);
  await a.things.put("x", { text: "1" });
  await eventually("etcd has it", () => a.pending("things").length === 0);
  await server.kill();
  await eventually("the outage is told", () => a.complaints().includes("no etcd since"), 60_000);
  await server.start();
  t.true(await eventually("it is found again", () => a.complaints() === "", 60_000));
});

test("an agent whose etcd does not answer starts and stops all the same", async (t) => {
  const server = await EtcdServer.start();
  t.teardown(() => server.remove());
  server.pause();
  const began = performance.now();
  const a = await sharer(t, "a", [server.endpoint]);
  t.true(performance.now() - began < 30_000, "it waits 5 s for the first contact");
  await a.things.put("x", { text: "1" });
  t.deepEqual(a.pending("things"), ["x"]);
  const stopping = performance.now();
  await a.stop();
  t.true(performance.now() - stopping < 20_000);
  server.resume();
});
