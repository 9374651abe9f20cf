import { status } from "@grpc/grpc-js";
import test from "ava";
import {
  IPCacheSource,
  ListIPCacheEntriesRequest,
  UpsertIPCacheEntriesRequest,
  UpsertIPCacheEntryRequest,
} from "../../src/gen/waggle/v1/ipcache.ts";
import { ServiceProtocol, UpsertServiceRequest } from "../../src/gen/waggle/v1/load_balancer.ts";
import { ReconcileError } from "../../src/table/index.ts";
import { call, failure, serve, violations } from "./harness.ts";

test("an IP cache entry is written with its defaults, read back, looked up and removed", async (t) => {
  const { ipcache } = await serve(t);
  const request = UpsertIPCacheEntryRequest.fromPartial({
    entry: { prefix: "10.2.0.0/16", identity: 300 },
  });
  const { entry } = await call(ipcache, ipcache.upsertIpCacheEntry, request);
  t.deepEqual(entry, {
    prefix: "10.2.0.0/16",
    identity: 300,
    tunnelEndpoint: "0.0.0.0",
    encryptKey: 0,
    source: IPCacheSource.API,
  });
  t.deepEqual((await call(ipcache, ipcache.getIpCacheEntry, { prefix: "10.2.0.0/16" })).entry, entry);
  t.deepEqual((await call(ipcache, ipcache.lookupIpCacheEntry, { address: "10.2.3.4" })).entry, entry);
  const elsewhere = await failure(call(ipcache, ipcache.lookupIpCacheEntry, { address: "10.3.0.1" }));
  t.is(elsewhere.code, status.NOT_FOUND);
  await call(ipcache, ipcache.deleteIpCacheEntry, { prefix: "10.2.0.0/16" });
  const gone = await failure(call(ipcache, ipcache.deleteIpCacheEntry, { prefix: "10.2.0.0/16" }));
  t.is(gone.code, status.NOT_FOUND);
});

test("prefixes that are none, or have host bits, are refused with the right one", async (t) => {
  const { ipcache } = await serve(t);
  const reasons = async (prefix: string) =>
    violations(await failure(call(ipcache, ipcache.getIpCacheEntry, { prefix }))).prefix;
  t.is(await reasons(""), "required");
  t.is(await reasons("10.2.3.4/16"), "10.2.3.4/16 has host bits set; the prefix is 10.2.0.0/16");
  for (const prefix of [
    "10.2.0.0",
    "10.2.0.0/33",
    "10.2.0.0/-1",
    "10.2.0.0/08",
    "a/8",
    "fd00::/8",
    "1.2.3.4/32/1",
  ]) {
    t.is(await reasons(prefix), `"${prefix}" is not an IPv4 prefix such as 10.0.0.0/8`);
  }
});

test("a batch is checked as a whole, duplicates included", async (t) => {
  const { ipcache, cells } = await serve(t);
  const upsert = (
    entries: { prefix?: string; identity?: number; encryptKey?: number; tunnelEndpoint?: string }[],
  ) => call(ipcache, ipcache.upsertIpCacheEntries, UpsertIPCacheEntriesRequest.fromPartial({ entries }));
  t.deepEqual(violations(await failure(upsert([]))), { entries: "required" });
  const bad = await failure(
    upsert([
      { prefix: "10.0.0.0/8", identity: 1 },
      { prefix: "10.0.0.0/8", identity: 0, encryptKey: 256, tunnelEndpoint: "x" },
    ]),
  );
  t.deepEqual(violations(bad), {
    "entries[1].identity": "0 is not between 1 and 16777215",
    "entries[1].tunnel_endpoint": '"x" is not an IPv4 address such as 10.0.1.5',
    "entries[1].encrypt_key": "256 is not between 0 and 255",
    "entries[1].prefix": "10.0.0.0/8 is in entries[0] already",
  });
  t.is(cells.ipCache.table.size, 0);
  const many = Array.from({ length: 10_001 }, (_, index) => ({
    prefix: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`,
    identity: 300,
  }));
  t.deepEqual(violations(await failure(upsert(many))), { entries: "10001 are more than 10000" });
  t.is((await upsert(many.slice(1))).count, 10_000);
});

test("a prefix that the kernel refused is unavailable, with the kernel's words", async (t) => {
  const { ipcache, cells } = await serve(t);
  const cause = new Error("update map cilium_ipcache: no space left");
  cells.ipCache.failure = new ReconcileError("ipcache", 5, [{ key: "10.0.0.0/8", revision: 5, cause }]);
  const request = UpsertIPCacheEntryRequest.fromPartial({ entry: { prefix: "10.0.0.0/8", identity: 300 } });
  const error = await failure(call(ipcache, ipcache.upsertIpCacheEntry, request));
  t.is(error.code, status.UNAVAILABLE);
  t.regex(error.details, /no space left/);
});

test("IP cache entries are listed in the order of addresses, and by source", async (t) => {
  const { ipcache, cells } = await serve(t);
  const row = { identity: 300, tunnelEndpoint: "0.0.0.0", encryptKey: 0 };
  for (const prefix of ["10.0.0.10/32", "10.0.0.2/32", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24"]) {
    cells.ipCache.table.upsert({ ...row, prefix, source: prefix.endsWith("32") ? "endpoint" : "api" });
  }
  const seen: string[] = [];
  let pageToken = "";
  do {
    const request = ListIPCacheEntriesRequest.fromPartial({ pageSize: 2, pageToken });
    const page = await call(ipcache, ipcache.listIpCacheEntries, request);
    seen.push(...page.entries.map(({ prefix }) => prefix));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  t.deepEqual(seen, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.2/32", "10.0.0.10/32"]);
  const request = ListIPCacheEntriesRequest.fromPartial({ source: IPCacheSource.ENDPOINT });
  t.is((await call(ipcache, ipcache.listIpCacheEntries, request)).entries.length, 2);
  const unknown = ListIPCacheEntriesRequest.fromPartial({ source: 42 as never });
  const error = await failure(call(ipcache, ipcache.listIpCacheEntries, unknown));
  t.regex(violations(error).source ?? "", /42 is none of UNSPECIFIED, API/);
});

test("a service is written, read with its backends' ids, and removed", async (t) => {
  const { services } = await serve(t);
  const request = UpsertServiceRequest.fromPartial({
    service: {
      name: "default/web",
      ipv4: "10.96.0.1",
      port: 80,
      protocol: ServiceProtocol.TCP,
      backends: [{ ipv4: "10.0.1.5", port: 8080 }],
    },
  });
  const { service } = await call(services, services.upsertService, request);
  t.is(service?.revNat, 1);
  t.deepEqual(service?.backends, [{ ipv4: "10.0.1.5", port: 8080, id: 7 }]);
  t.deepEqual((await call(services, services.getService, { name: "default/web" })).service, service);
  await call(services, services.deleteService, { name: "default/web" });
  t.is((await failure(call(services, services.getService, { name: "default/web" }))).code, status.NOT_FOUND);
});

test("a service's wrong fields are named", async (t) => {
  const { services } = await serve(t);
  const backend = { ipv4: "10.0.1.5", port: 8080 };
  const request = UpsertServiceRequest.fromPartial({
    service: {
      name: "",
      ipv4: "224.0.0.1",
      port: 0,
      backends: [backend, backend, { ipv4: "0.0.0.0", port: 65_536 }],
    },
  });
  t.deepEqual(violations(await failure(call(services, services.upsertService, request))), {
    "service.name": "required",
    "service.ipv4": "224.0.0.1 is not an address that a host can have",
    "service.port": "0 is not a port between 1 and 65535",
    "service.protocol": "neither TCP nor UDP",
    "service.backends[1]": "10.0.1.5:8080 is in service.backends[0] already",
    "service.backends[2].ipv4": "0.0.0.0 is not an address that a host can have",
    "service.backends[2].port": "65536 is not a port between 1 and 65535",
  });
  const backends = Array.from({ length: 1001 }, (_, index) => ({ ipv4: "10.0.1.5", port: index + 1 }));
  const many = UpsertServiceRequest.fromPartial({
    service: { name: "a", ipv4: "10.96.0.1", port: 1, protocol: ServiceProtocol.UDP, backends },
  });
  t.deepEqual(violations(await failure(call(services, services.upsertService, many))), {
    "service.backends": "1001 are more than 1000",
  });
});

test("identities are read and listed by number", async (t) => {
  const { identities } = await serve(t);
  const { identity } = await call(identities, identities.getIdentity, { id: 300 });
  t.deepEqual(identity, { id: 300, labels: { app: "web" }, reserved: "", references: 2 });
  const list = await call(identities, identities.listIdentities, { pageSize: 0, pageToken: "" });
  t.deepEqual(
    list.identities.map(({ id, reserved }) => [id, reserved]),
    [
      [1, "host"],
      [300, ""],
    ],
  );
  t.is((await failure(call(identities, identities.getIdentity, { id: 4 }))).code, status.NOT_FOUND);
});

test("the agent shows status, configuration, health, cells and graph", async (t) => {
  const { agent, cells } = await serve(t);
  await cells.services.upsert({ name: "a", ipv4: "10.96.0.1", port: 1, protocol: "tcp", backends: [] });
  const now = await call(agent, agent.getStatus, {});
  t.is(now.version, "1.2.3");
  t.is(now.pid, process.pid);
  t.is(now.services, 1);
  t.is(now.identities, 2);
  t.is(now.node, undefined);
  t.deepEqual(now.degraded, [": the disk is slow"]);
  t.is((await call(agent, agent.getHealth, {})).root?.message, "the disk is slow");
  t.is((await call(agent, agent.getCells, {})).root?.fullId, "");
  t.regex((await call(agent, agent.getCellGraph, {})).dot, /digraph/);
  t.deepEqual((await call(agent, agent.getConfig, {})).entries, []);
  t.deepEqual((await call(agent, agent.listJobs, {})).jobs, []);
});
