import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import test from "ava";
import { TrafficDirection } from "../../src/gen/waggle/v1/common.ts";
import {
  DatapathMapEntryState,
  LostEventsSource,
  MonitorResponse,
} from "../../src/gen/waggle/v1/datapath.ts";
import {
  type CreateEndpointRequest,
  Endpoint,
  EndpointState,
  PolicyAction,
  PolicyProtocol,
  type UpdateEndpointRequest,
} from "../../src/gen/waggle/v1/endpoint.ts";
import type { ListIPCacheEntriesRequest } from "../../src/gen/waggle/v1/ipcache.ts";
import {
  BackendState,
  FrontendKind,
  FrontendState,
  ServiceAlgorithm,
  Service as ServiceMessage,
  ServiceProtocol,
  TrafficPolicy,
  type UpsertServiceRequest,
  type UpsertServicesRequest,
} from "../../src/gen/waggle/v1/load_balancer.ts";
import { Node } from "../../src/gen/waggle/v1/node.ts";
import {
  type DeletePluginMapEntriesRequest,
  Plugin,
  type RegisterPluginRequest,
  type UpdatePluginMapEntriesRequest,
} from "../../src/gen/waggle/v1/plugin.ts";
import { Refusal, run, runAlone, silence } from "./fake-agent.ts";

const web = Endpoint.fromPartial({
  id: 12,
  spec: { name: "default/web", netns: "/run/netns/web", podInterface: "eth0", labels: { app: "web" } },
  state: EndpointState.READY,
  ipv4: "10.0.1.5",
  ipv6: "fd00::5",
  identity: 256,
  hostInterface: "lxc12",
  ifindex: 7,
  generation: 3n,
});

test("a table has aligned columns and no colour when nobody watches", async (t) => {
  const { code, out } = await run(
    { listEndpoints: () => ({ endpoints: [web], nextPageToken: "" }) },
    "endpoint",
    "list",
  );
  t.is(code, 0);
  t.deepEqual(out.split("\n"), [
    "Id  Name         State  IPv4      IPv6     Identity  Interface  Enforced  Labels",
    "12  default/web  ready  10.0.1.5  fd00::5  256       lxc12      none      app=web",
    "",
  ]);
});

test("--json prints enums as words and 64-bit numbers as numbers where they are exact", async (t) => {
  const big = { ...web, generation: 2n ** 60n };
  const handlers = { getEndpoint: () => ({ endpoint: web }) };
  const { out } = await run(handlers, "--json", "endpoint", "get", "12");
  const shown = JSON.parse(out) as Record<string, unknown>;
  t.is(shown.state, "ready");
  t.is(shown.generation, 3);
  const { out: second } = await run(
    { getEndpoint: () => ({ endpoint: big }) },
    "endpoint",
    "get",
    "12",
    "--json",
  );
  t.is((JSON.parse(second) as Record<string, unknown>).generation, String(2n ** 60n));
});

test("endpoints are named by id or by name", async (t) => {
  const seen: unknown[] = [];
  const handlers = {
    deleteEndpoint: (request: { endpoint: { ref: unknown } }) => {
      seen.push(request.endpoint.ref);
      return {};
    },
  };
  const { code, out } = await run(handlers, "endpoint", "delete", "12", "default/web");
  t.is(code, 0);
  t.is(out, "deleted 12\ndeleted default/web\n");
  t.deepEqual(seen, [
    { $case: "id", value: 12 },
    { $case: "name", value: "default/web" },
  ]);
});

test("lists are read page by page to the end", async (t) => {
  const tokens: string[] = [];
  const handlers = {
    listIpCacheEntries: ({ pageToken }: ListIPCacheEntriesRequest) => {
      tokens.push(pageToken);
      const entry = {
        prefix: `10.0.${tokens.length}.0/24`,
        identity: 2,
        tunnelEndpoint: "0.0.0.0",
        encryptKey: 0,
        source: 1,
      };
      return { entries: [entry], nextPageToken: tokens.length < 3 ? `page${tokens.length}` : "" };
    },
  };
  const { out } = await run(handlers, "ipcache", "list");
  t.deepEqual(tokens, ["", "page1", "page2"]);
  t.is(out.trimEnd().split("\n").length, 4);
});

test("a map is printed in the columns Key, Value, State and Error", async (t) => {
  const entry = {
    key: "10.0.1.51:0",
    values: ["id=51 flags=0x0000 ifindex=8 mac=AE:3A:52:A3:EC:B3 nodemac=0A:5A:DE:B8:D8:F4"],
    rawKey: Buffer.from("0a00", "hex"),
    rawValue: Buffer.from("33", "hex"),
    state: DatapathMapEntryState.SYNC,
    error: "",
  };
  const handlers = { listMapEntries: () => ({ entries: [entry], nextPageToken: "" }) };
  const { out } = await run(handlers, "map", "get", "cilium_lxc");
  const [header, row] = out.split("\n");
  t.deepEqual(header!.split(/\s{2,}/), ["Key", "Value", "State", "Error"]);
  t.deepEqual(row!.split(/\s{2,}/), [entry.key, entry.values[0]!, "sync"]);
  const raw = await run(handlers, "map", "get", "cilium_lxc", "--raw");
  t.regex(raw.out, /^0a00 +33 +sync$/m);

  const state = async (change: object) => {
    const entries = [{ ...entry, ...change }];
    const { out: text } = await run(
      { listMapEntries: () => ({ entries, nextPageToken: "" }) },
      "map",
      "get",
      "x",
    );
    return text
      .split("\n")[1]!
      .split(/\s{2,}/)
      .slice(2);
  };
  t.deepEqual(await state({ state: DatapathMapEntryState.UNSPECIFIED }), ["-"]);
  t.deepEqual(await state({ state: DatapathMapEntryState.PENDING }), ["pending"]);
  t.deepEqual(await state({ state: DatapathMapEntryState.STALE }), ["stale"]);
  const full = { state: DatapathMapEntryState.PENDING, error: "no room", missing: true };
  t.deepEqual(await state(full), ["error", "pending: no room"]);
});

test("rules are written as sentences", async (t) => {
  let seen: CreateEndpointRequest | undefined;
  const handlers = {
    createEndpoint: (request: CreateEndpointRequest) => {
      seen = request;
      return { endpoint: web };
    },
  };
  const rule = "allow ingress app=client,tier=front tcp/80";
  const { code } = await run(
    handlers,
    "endpoint",
    "create",
    "default/web",
    "--netns",
    "/run/netns/web",
    "--rule",
    rule,
    "-l",
    "app=web",
  );
  t.is(code, 0);
  t.deepEqual(seen?.spec?.labels, { app: "web" });
  t.true(seen?.spec?.policy?.enforceIngress);
  t.false(seen?.spec?.policy?.enforceEgress);
  t.deepEqual(seen?.spec?.policy?.rules, [
    {
      action: PolicyAction.ALLOW,
      direction: TrafficDirection.INGRESS,
      peer: { peer: { $case: "labels", value: { labels: { app: "client", tier: "front" } } } },
      protocol: PolicyProtocol.TCP,
      port: 80,
    },
  ]);
});

test("an update changes only what was asked for", async (t) => {
  const seen: UpdateEndpointRequest[] = [];
  const handlers = {
    updateEndpoint: (request: UpdateEndpointRequest) => {
      seen.push(request);
      return { endpoint: web };
    },
  };
  t.is((await run(handlers, "endpoint", "update", "12", "--enforce", "none")).code, 0);
  t.is((await run(handlers, "endpoint", "update", "12", "-l", "app=api")).code, 0);
  t.is((await run(handlers, "endpoint", "update", "12", "--no-labels")).code, 0);
  t.is((await run(handlers, "endpoint", "update", "12")).code, 2);
  t.deepEqual(
    seen.map(({ labels, policy }) => [labels?.labels, policy?.enforceIngress]),
    [
      [undefined, false],
      [{ app: "api" }, undefined],
      [{}, undefined],
    ],
  );
});

test("a service is written with all that can be said of it, and shown with its frontends", async (t) => {
  let seen: UpsertServiceRequest | undefined;
  const handlers = {
    upsertService: (request: UpsertServiceRequest) => {
      seen = request;
      const frontends = [
        {
          kind: FrontendKind.CLUSTER_IP,
          ip: "fd00:96::10",
          port: 53,
          revNat: 3,
          state: FrontendState.ACTIVE,
        },
        {
          kind: FrontendKind.NODE_PORT,
          ip: "fd00:18::2",
          port: 30_053,
          state: FrontendState.CONFLICT,
          message: "it is another's",
        },
      ];
      return { service: ServiceMessage.fromPartial({ ...request.service, frontends, node: "node1" }) };
    },
  };
  const { code, out } = await run(
    handlers,
    ...["service", "upsert", "default/dns", "[fd00:96::10]:53/udp", "--node-port", "30053"],
    ...["-b", "[fd00::5]:53,[fd00::6]:53/terminating@node2", "--algorithm", "maglev", "--affinity", "3m"],
    ...["--external-ip", "2001:db8::1", "--external-policy", "local"],
  );
  t.is(code, 0);
  t.deepEqual(seen, {
    service: ServiceMessage.fromPartial({
      name: "default/dns",
      ip: "fd00:96::10",
      port: 53,
      protocol: ServiceProtocol.UDP,
      backends: [
        { ip: "fd00::5", port: 53, state: BackendState.ACTIVE },
        { ip: "fd00::6", port: 53, state: BackendState.TERMINATING, node: "node2" },
      ],
      nodePort: 30_053,
      externalIps: ["2001:db8::1"],
      algorithm: ServiceAlgorithm.MAGLEV,
      sessionAffinityTimeoutSeconds: 180,
      externalTrafficPolicy: TrafficPolicy.LOCAL,
      internalTrafficPolicy: TrafficPolicy.CLUSTER,
    }),
    allocateNodePort: false,
  });
  t.regex(out, /\[fd00:96::10\]:53\/udp +cluster-ip +3 +active\n/);
  t.regex(out, /\[fd00:18::2\]:30053\/udp +node-port +- +conflict +it is another's\n/);
  t.regex(out, /\[fd00::6\]:53 +- +terminating +node2\n/);
});

test("services are copied from one agent to another, as they are listed", async (t) => {
  const service = ServiceMessage.fromPartial({
    name: "default/web",
    ip: "10.96.0.10",
    port: 80,
    protocol: ServiceProtocol.TCP,
    backends: [{ ip: "10.0.1.5", port: 8080, id: 7, state: BackendState.QUARANTINED }],
    algorithm: ServiceAlgorithm.RANDOM,
    frontends: [{ kind: FrontendKind.CLUSTER_IP, ip: "10.96.0.10", port: 80, state: FrontendState.ACTIVE }],
  });
  const listed = await run(
    { listServices: () => ({ services: [service], nextPageToken: "" }) },
    ...["service", "list", "--json"],
  );
  const directory = await mkdtemp(join(tmpdir(), "waggle-cli-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, "services.json");
  await writeFile(file, listed.out);
  let seen: UpsertServicesRequest | undefined;
  const handlers = {
    upsertServices: (request: UpsertServicesRequest) => {
      seen = request;
      return { services: [] };
    },
  };
  const { code, out } = await run(handlers, "service", "apply", file);
  t.is(code, 0);
  t.is(out, "applied 1 services\n");
  t.is(seen?.services.length, 1);
  t.like(seen?.services[0]?.service, { name: "default/web", ip: "10.96.0.10", port: 80 });
  t.is(seen?.services[0]?.service?.backends[0]?.state, BackendState.QUARANTINED);
  await writeFile(file, "services: [{ name: a, colour: red }]");
  const wrong = await run(handlers, "service", "apply", file);
  t.is(wrong.code, 2);
  t.regex(wrong.err, /services\[0\] has an unknown field colour/);
});

const counter = Plugin.fromPartial({
  name: "counter",
  version: "1.0.0",
  maps: [{ name: "count", type: 6, typeName: "percpu_array", keySize: 4, valueSize: 8, maxEntries: 1 }],
});

test("a plugin's directory reaches the agent as an absolute path", async (t) => {
  let seen: RegisterPluginRequest | undefined;
  const handlers = {
    registerPlugin: (request: RegisterPluginRequest) => {
      seen = request;
      return { plugin: counter };
    },
  };
  const { code } = await run(
    handlers,
    "plugin",
    "register",
    "bpf/plugins/x",
    "--enable",
    "--set",
    "rate=5",
    "--priority",
    "-3",
  );
  t.is(code, 0);
  t.is(seen?.directory, `${process.cwd()}/bpf/plugins/x`);
  t.true(seen?.enable);
  t.is(seen?.priority, -3);
  t.deepEqual(seen?.config, { rate: "5" });
});

test("per-CPU counters of a plugin's map are added up", async (t) => {
  const value = Buffer.alloc(16);
  value.writeBigUInt64LE(40n, 0);
  value.writeBigUInt64LE(2n, 8);
  const handlers = {
    getPlugin: () => ({ plugin: counter }),
    listPluginMapEntries: () => ({
      entries: [{ key: { key: { $case: "raw", value: Buffer.alloc(4) } }, value }],
      nextPageToken: "",
    }),
  };
  const { out } = await run(handlers, "plugin", "map", "list", "counter", "count", "--json");
  t.like((JSON.parse(out) as { entries: unknown[] }).entries[0], { key: "0x00000000", sum: 42 });
});

test("entries of a plugin's map are written as bytes, numbers or prefixes", async (t) => {
  const updates: UpdatePluginMapEntriesRequest[] = [];
  const deletions: DeletePluginMapEntriesRequest[] = [];
  const handlers = {
    updatePluginMapEntries: (request: UpdatePluginMapEntriesRequest) => {
      updates.push(request);
      return { count: 1 };
    },
    deletePluginMapEntries: (request: DeletePluginMapEntriesRequest) => {
      deletions.push(request);
      return { count: 2 };
    },
  };
  await run(handlers, "plugin", "map", "update", "p", "m", "u32:80", "u64:0x1000");
  await run(handlers, "plugin", "map", "update", "p", "m", "192.0.2.0/24");
  await run(handlers, "plugin", "map", "delete", "p", "m", "0x01020304", "10.0.0.1");
  t.deepEqual(updates[0]?.entries, [
    {
      key: { key: { $case: "raw", value: Buffer.from([80, 0, 0, 0]) } },
      value: Buffer.from([0, 0x10, 0, 0, 0, 0, 0, 0]),
    },
  ]);
  t.deepEqual(updates[1]?.entries[0]?.key?.key, { $case: "cidr", value: "192.0.2.0/24" });
  t.is(updates[1]?.entries[0]?.value.length, 0);
  t.deepEqual(
    deletions[0]?.keys.map(({ key }) => key?.$case),
    ["raw", "cidr"],
  );
});

const drop = MonitorResponse.fromPartial({
  at: new Date("2026-01-02T03:04:05.678Z"),
  cpu: 1,
  text: "10.0.1.5:33412 -> 10.0.1.9:80 tcp SYN  Policy denied",
  event: { $case: "drop", value: { reason: 133, reasonName: "Policy denied" } },
});
const lost = MonitorResponse.fromPartial({
  at: new Date(),
  event: { $case: "lost", value: { count: 7n, source: LostEventsSource.READER } },
});

test("the monitor prints one line an event", async (t) => {
  const handlers = { monitor: () => [drop, lost] };
  const { code, out } = await run(handlers, "monitor");
  t.is(code, 0);
  const lines = out.trimEnd().split("\n");
  t.is(lines.length, 2);
  t.regex(lines[0]!, /cpu01 {2}drop {2}10\.0\.1\.5:33412 -> 10\.0\.1\.9:80 tcp SYN/);
  t.regex(lines[1]!, /lost {2}7 events: this reader did not keep up/);
});

test("the monitor with --json prints one object a line, and ends after --count events", async (t) => {
  const handlers = { monitor: () => [lost, drop, drop, drop] };
  const { code, out } = await run(handlers, "monitor", "--json", "--count", "2");
  t.is(code, 0);
  const objects = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, { count?: number }>);
  t.deepEqual(
    objects.map((one) => Object.keys(one).find((key) => ["drop", "lost"].includes(key))),
    ["lost", "drop", "drop"],
  );
  t.is(objects[0]!.lost?.count, 7);
});

test("refused fields are listed one a line, and the exit code is that of a wrong command line", async (t) => {
  const refuse = () => {
    throw new Refusal(status.INVALID_ARGUMENT, "spec.ipv4: no", {
      "spec.ipv4": "must be inside 10.0.1.0/24",
      "spec.netns": "must be an absolute path",
    });
  };
  const { code, out, err } = await run({ createEndpoint: refuse }, "endpoint", "create", "x");
  t.is(code, 2);
  t.is(out, "");
  t.is(
    err,
    "waggle: the agent refused the request (invalid argument)\n" +
      "  spec.ipv4: must be inside 10.0.1.0/24\n" +
      "  spec.netns: must be an absolute path\n",
  );
});

for (const [kind, code] of [
  ["NOT_FOUND", 3],
  ["ALREADY_EXISTS", 4],
  ["FAILED_PRECONDITION", 4],
  ["DEADLINE_EXCEEDED", 6],
  ["RESOURCE_EXHAUSTED", 7],
  ["PERMISSION_DENIED", 8],
  ["UNAVAILABLE", 1],
  ["INTERNAL", 1],
] as const) {
  test(`${kind} from the agent ends with ${code}`, async (t) => {
    const fail = () => {
      throw new Refusal(status[kind], "the words of the agent");
    };
    const outcome = await run({ getPlugin: fail }, "plugin", "get", "x");
    t.is(outcome.code, code);
    t.regex(outcome.err, /the words of the agent/);
  });
}

test("without an agent the message names the socket and says how to start one", async (t) => {
  const { code, err } = await runAlone(["status", "--socket", "/nonexistent/waggle.sock"]);
  t.is(code, 5);
  t.regex(err, /no agent answers on the socket \/nonexistent\/waggle\.sock/);
  t.regex(err, /waggle agent --socket \/nonexistent\/waggle\.sock/);
});

test("a call that takes longer than --timeout ends with 6", async (t) => {
  const { code, err } = await run({ getPlugin: () => silence }, "plugin", "get", "x", "--timeout", "100ms");
  t.is(code, 6);
  t.regex(err, /deadline/i);
});

test("nodes are listed with the one that answers marked", async (t) => {
  const here = Node.fromPartial({
    ...{ name: "node1", ipv4: "172.18.0.11", ipv6: "fd00:18::11", podCidr: "10.0.1.0/24" },
    ...{ podCidrV6: "fd00:10:0:1::/64", routerIpv4: "10.0.1.1", local: true, version: "0.1.0" },
  });
  const there = Node.fromPartial({ ...here, name: "node2", ipv4: "172.18.0.12", ipv6: "", local: false });
  const handlers = { listNodes: () => ({ nodes: [here, there], nextPageToken: "" }) };
  const { code, out } = await run(handlers, "node", "list");
  t.is(code, 0);
  const [, first, second] = out.split("\n");
  t.regex(first!, /^node1 +172\.18\.0\.11 fd00:18::11 +10\.0\.1\.0\/24 .* this one$/);
  t.regex(second!, /^node2 +172\.18\.0\.12 +.* 0\.1\.0$/);
  const asked: unknown[] = [];
  const getNode = (request: unknown) => asked.push(request) && { node: here };
  t.regex((await run({ getNode }, "node", "get")).out, /^Node +node1 {2}\(this one\)\n/);
  t.deepEqual(asked, [{ name: "" }]);
});
