import { status } from "@grpc/grpc-js";
import test from "ava";
import {
  IPCacheSource,
  ListIPCacheEntriesRequest,
  UpsertIPCacheEntriesRequest,
  UpsertIPCacheEntryRequest,
} from "../../src/gen/waggle/v1/ipcache.ts";
import {
  BackendState,
  FrontendKind,
  FrontendState,
  ServiceAlgorithm,
  ServiceProtocol,
  TrafficPolicy,
  UpdateBackendsRequest,
  UpsertServiceRequest,
  UpsertServicesRequest,
} from "../../src/gen/waggle/v1/load_balancer.ts";
import { ReconcileError } from "../../src/table/index.ts";
import { wantedService } from "../cells/support.ts";
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
    "fd00::/129",
    "fe80::1%eth0/64",
    "1.2.3.4/32/1",
  ]) {
    t.is(await reasons(prefix), `"${prefix}" is not a prefix such as 10.0.0.0/8 or fd00::/64`);
  }
  t.is(await reasons("fd00::1/64"), "fd00::1/64 has host bits set; the prefix is fd00::/64");
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

test("a service is written, read as this node serves it, and removed", async (t) => {
  const { services } = await serve(t);
  const request = UpsertServiceRequest.fromPartial({
    service: {
      name: "default/web",
      ip: "10.96.0.1",
      port: 80,
      protocol: ServiceProtocol.TCP,
      backends: [{ ip: "10.0.1.5", port: 8080, node: "node2" }],
      externalIps: ["192.0.2.80"],
      sessionAffinityTimeoutSeconds: 60,
      externalTrafficPolicy: TrafficPolicy.LOCAL,
    },
    allocateNodePort: true,
  });
  const { service } = await call(services, services.upsertService, request);
  t.like(service, {
    revNat: 1,
    nodePort: 30_000,
    algorithm: ServiceAlgorithm.RANDOM,
    sessionAffinityTimeoutSeconds: 60,
    externalTrafficPolicy: TrafficPolicy.LOCAL,
    internalTrafficPolicy: TrafficPolicy.CLUSTER,
    node: "node1",
  });
  t.deepEqual(service?.backends, [
    { ip: "10.0.1.5", port: 8080, id: 7, state: BackendState.ACTIVE, node: "node2" },
  ]);
  t.deepEqual(service?.frontends, [
    {
      kind: FrontendKind.CLUSTER_IP,
      ip: "10.96.0.1",
      port: 80,
      revNat: 1,
      state: FrontendState.ACTIVE,
      message: "",
    },
  ]);
  t.deepEqual((await call(services, services.getService, { name: "default/web" })).service, service);
  await call(services, services.deleteService, { name: "default/web" });
  t.is((await failure(call(services, services.getService, { name: "default/web" }))).code, status.NOT_FOUND);
});

test("many services are written in one call, each with its own wrong fields", async (t) => {
  const { services } = await serve(t);
  const web = { ip: "10.96.0.1", port: 80, protocol: ServiceProtocol.TCP };
  const many = UpsertServicesRequest.fromPartial({
    services: [{ service: { ...web, name: "a" } }, { service: { ...web, name: "b" } }],
  });
  const { services: made } = await call(services, services.upsertServices, many);
  t.deepEqual(
    made.map(({ name }) => name),
    ["a", "b"],
  );
  const wrong = UpsertServicesRequest.fromPartial({
    services: [{}, { service: { ...web, name: "B!", nodePort: 80 } }],
  });
  t.deepEqual(Object.keys(violations(await failure(call(services, services.upsertServices, wrong)))), [
    "services[0].service",
    "services[1].service.name",
    "services[1].service.node_port",
  ]);
});

test("single backends are changed by their addresses", async (t) => {
  const { services, cells } = await serve(t);
  const web = { name: "web", ip: "10.96.0.1", port: 80, protocol: ServiceProtocol.TCP };
  await call(services, services.upsertService, UpsertServiceRequest.fromPartial({ service: web }));
  const request = UpdateBackendsRequest.fromPartial({
    name: "web",
    upsert: [{ ip: "10.0.1.5", port: 80, state: BackendState.TERMINATING }],
    remove: [{ ip: "10.0.1.6", port: 80 }],
  });
  await call(services, services.updateBackends, request);
  t.deepEqual(cells.services.changes, {
    upsert: [{ ip: "10.0.1.5", port: 80, state: "terminating", node: "" }],
    remove: [{ ip: "10.0.1.6", port: 80 }],
  });
  const unknown = { ...request, upsert: [{ ...request.upsert[0]!, state: 9 as never }] };
  t.deepEqual(violations(await failure(call(services, services.updateBackends, unknown))), {
    "upsert[0].state": "9 is none of ACTIVE, TERMINATING, QUARANTINED",
  });
});

test("a service's wrong fields are named", async (t) => {
  const { services } = await serve(t);
  const backend = { ip: "10.0.1.5", port: 8080 };
  const request = UpsertServiceRequest.fromPartial({
    service: {
      name: "",
      ip: "224.0.0.1",
      port: 0,
      backends: [backend, backend, { ip: "fd00::1", port: 65_536 }],
      externalIps: ["10.9.9.9", "10.9.9.9"],
      sessionAffinityTimeoutSeconds: 2 ** 24,
      algorithm: 7 as never,
    },
  });
  t.deepEqual(violations(await failure(call(services, services.upsertService, request))), {
    "service.protocol": "required: TCP, UDP, SCTP",
    "service.algorithm": "7 is none of RANDOM, MAGLEV",
    "service.name":
      '"" must have 1 to 253 of a-z, 0-9, "-", "." and "/", and begin and end with a letter or digit',
    "service.ip": "224.0.0.1 is no unicast address that packets can be sent to",
    "service.port": "0 is not from 1 to 65535",
    "service.session_affinity_timeout_seconds": "16777216 is not from 0 to 16777215",
    "service.external_ips[1]": "10.9.9.9 is an address of the service already",
    "service.backends[1]": "is the same as backends[0]",
    "service.backends[2].ip": "fd00::1 is of another family than 224.0.0.1",
    "service.backends[2].port": "65536 is not from 1 to 65535",
  });
  const backends = Array.from({ length: 1001 }, (_, index) => ({ ip: "10.0.1.5", port: index + 1 }));
  const many = UpsertServiceRequest.fromPartial({
    service: { name: "a", ip: "10.96.0.1", port: 1, protocol: ServiceProtocol.UDP, backends },
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
  await cells.services.upsert(wantedService("a", "10.96.0.1"));
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
