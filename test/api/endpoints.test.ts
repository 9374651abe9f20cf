import { promisify } from "node:util";
import { Metadata, status } from "@grpc/grpc-js";
import test from "ava";
import { failedPrecondition } from "../../src/cells/errors.ts";
import { TrafficDirection } from "../../src/gen/waggle/v1/common.ts";
import {
  CreateEndpointRequest,
  EndpointState,
  GetEndpointRequest,
  ListEndpointsRequest,
  PolicyAction,
  PolicyProtocol,
  RegenerateEndpointRequest,
  UpdateEndpointRequest,
} from "../../src/gen/waggle/v1/endpoint.ts";
import { makeEndpoint } from "./fake-cells.ts";
import { call, failure, serve, violations } from "./harness.ts";

const spec = { name: "default/web-1", netns: "/var/run/netns/web-1", labels: { app: "web" } };

test("an endpoint is created as asked, with the defaults filled in", async (t) => {
  const { endpoints, cells } = await serve(t);
  const request = CreateEndpointRequest.fromPartial({
    spec: {
      ...spec,
      policy: {
        enforceIngress: true,
        rules: [
          {
            direction: TrafficDirection.INGRESS,
            action: PolicyAction.ALLOW,
            peer: { peer: { $case: "labels", value: { labels: { app: "client" } } } },
            protocol: PolicyProtocol.TCP,
            port: 80,
          },
          {
            direction: TrafficDirection.EGRESS,
            action: PolicyAction.DENY,
            peer: { peer: { $case: "reserved", value: "world" } },
          },
        ],
      },
    },
  });
  const { endpoint } = await call(endpoints, endpoints.createEndpoint, request);
  t.is(endpoint?.id, 1);
  t.is(endpoint?.state, EndpointState.READY);
  t.is(endpoint?.spec?.podInterface, "eth0");
  t.deepEqual(endpoint?.createdAt, new Date("2026-01-02T03:04:05.000Z"));
  t.deepEqual(cells.endpoints.byName("default/web-1")?.spec.policy, {
    enforceIngress: true,
    enforceEgress: false,
    rules: [
      {
        direction: "ingress",
        action: "allow",
        peer: { kind: "labels", labels: { app: "client" } },
        protocol: "tcp",
        port: 80,
      },
      {
        direction: "egress",
        action: "deny",
        peer: { kind: "reserved", name: "world" },
        protocol: "any",
        port: 0,
      },
    ],
  });
  const read = await call(
    endpoints,
    endpoints.getEndpoint,
    GetEndpointRequest.fromPartial({ endpoint: { ref: { $case: "name", value: "default/web-1" } } }),
  );
  t.deepEqual(read.endpoint, endpoint);
});

test("every wrong field of a specification is named, in one answer, with what is accepted", async (t) => {
  const { endpoints, cells } = await serve(t);
  const request = CreateEndpointRequest.fromPartial({
    spec: {
      name: "Default/Web",
      netns: "run/netns/x",
      podInterface: "an-interface-name-too-long",
      hostInterface: "a/b",
      ipv4: "10.0.0.256",
      ipv6: "fe80::5",
      labels: { "-bad": "x", good: "-bad" },
      policy: {
        rules: [
          { direction: 7 as never, action: 9 as never, protocol: 99 as never, port: 70_000 },
          {
            direction: TrafficDirection.INGRESS,
            action: PolicyAction.ALLOW,
            protocol: PolicyProtocol.ICMP,
            port: 80,
            peer: { peer: { $case: "reserved", value: "mars" } },
          },
          {
            direction: TrafficDirection.INGRESS,
            action: PolicyAction.ALLOW,
            peer: { peer: { $case: "labels", value: { labels: {} } } },
          },
          {
            direction: TrafficDirection.INGRESS,
            action: PolicyAction.ALLOW,
            peer: { peer: { $case: "any", value: false } },
          },
        ],
      },
    },
  });
  const error = await failure(call(endpoints, endpoints.createEndpoint, request));
  t.is(error.code, status.INVALID_ARGUMENT);
  for (const words of [
    'spec.name: "Default/Web" is not lower-case',
    'spec.netns: "run/netns/x" is not an absolute path',
    "spec.pod_interface:",
    "spec.host_interface:",
    'spec.ipv4: "10.0.0.256" is not an IPv4 address',
    "spec.ipv6: fe80::5 is not an address that others can reach a host by",
    'spec.labels["-bad"]',
    'spec.labels["good"]',
    "spec.policy.rules[0].direction: neither INGRESS nor EGRESS",
    "spec.policy.rules[0].action: neither ALLOW nor DENY",
    "spec.policy.rules[0].peer: required: any, reserved or labels",
    "spec.policy.rules[0].protocol: 99 is none of",
    "spec.policy.rules[0].port: 70000 is not between 0 and 65535",
    "spec.policy.rules[1].port: a port needs the protocol TCP, UDP or SCTP",
    'spec.policy.rules[1].peer.reserved: "mars" is none of host, world',
    "spec.policy.rules[2].peer.labels: at least one label",
    "spec.policy.rules[3].peer.any: must be true",
  ]) {
    t.true(error.details.includes(words), `${words}\nin ${error.details}`);
  }
  const fields = violations(error);
  t.is(fields["spec.ipv4"], '"10.0.0.256" is not an IPv4 address such as 10.0.1.5');
  t.is(Object.keys(fields).length, 10, "the details stay within what clients accept of trailers");
  t.is(cells.endpoints.table.size, 0);
});

test("a request without its message or reference says so", async (t) => {
  const { endpoints } = await serve(t);
  const none = await failure(
    call(endpoints, endpoints.createEndpoint, CreateEndpointRequest.fromPartial({})),
  );
  t.deepEqual(violations(none), { spec: "required" });
  const noRef = await failure(call(endpoints, endpoints.getEndpoint, GetEndpointRequest.fromPartial({})));
  t.deepEqual(violations(noRef), { endpoint: "required: id or name" });
  const noNetns = await failure(
    call(endpoints, endpoints.createEndpoint, CreateEndpointRequest.fromPartial({ spec: { name: "a" } })),
  );
  t.deepEqual(violations(noNetns), {
    "spec.netns": "required: the pod's network namespace, such as /run/netns/web-1",
  });
  const zero = GetEndpointRequest.fromPartial({ endpoint: { ref: { $case: "id", value: 0 } } });
  t.deepEqual(violations(await failure(call(endpoints, endpoints.getEndpoint, zero))), {
    "endpoint.id": "0 is not between 1 and 65535",
  });
});

test("a cell's refusal reaches the caller with its status and words", async (t) => {
  const { endpoints, cells } = await serve(t);
  const request = CreateEndpointRequest.fromPartial({ spec });
  await call(endpoints, endpoints.createEndpoint, request);
  const twice = await failure(call(endpoints, endpoints.createEndpoint, request));
  t.is(twice.code, status.ALREADY_EXISTS);
  t.is(twice.details, 'endpoint "default/web-1" exists already');

  const absent = GetEndpointRequest.fromPartial({ endpoint: { ref: { $case: "id", value: 77 } } });
  t.is((await failure(call(endpoints, endpoints.getEndpoint, absent))).code, status.NOT_FOUND);

  const log = `load lxc-1: ${"line of the verifier\n".repeat(500)}R1 is bad`;
  cells.endpoints.gate = Promise.reject(failedPrecondition(log));
  const long = await failure(
    call(
      endpoints,
      endpoints.createEndpoint,
      CreateEndpointRequest.fromPartial({ spec: { ...spec, name: "b" } }),
    ),
  );
  t.is(long.code, status.FAILED_PRECONDITION);
  t.true(long.details.startsWith("load lxc-1"), "what was done is kept");
  t.true(long.details.endsWith("R1 is bad"), "and so is the verifier's last line");
  t.true(long.details.length < 2100);
});

test("an unexpected error is logged with its cause and shown as a reference only", async (t) => {
  const { endpoints, cells, logs } = await serve(t);
  const cause = new TypeError("secret details");
  cells.endpoints.gate = Promise.reject(cause);
  const error = await failure(
    call(endpoints, endpoints.createEndpoint, CreateEndpointRequest.fromPartial({ spec })),
  );
  t.is(error.code, status.INTERNAL);
  const [, reference] = /^internal error, see ([0-9a-f]{8}) in the agent's log$/.exec(error.details) ?? [];
  t.truthy(reference, error.details);
  const line = logs.find(({ level }) => level === "error");
  t.is(line?.fields.reference, reference);
  t.is(line?.fields.err, cause);
});

test("a cancelled call and a passed deadline reach the cell as an aborted signal", async (t) => {
  const { endpoints, cells } = await serve(t);
  cells.endpoints.gate = new Promise(() => undefined);
  const request = CreateEndpointRequest.fromPartial({ spec });
  // Time runs from the call on, and a busy machine takes some to connect.
  await promisify(endpoints.waitForReady.bind(endpoints))(Date.now() + 20_000);
  const deadline = await new Promise<number>((resolve) => {
    endpoints.createEndpoint(request, new Metadata(), { deadline: Date.now() + 1_000 }, (error) =>
      resolve(error?.code ?? 0),
    );
  });
  t.is(deadline, status.DEADLINE_EXCEEDED);
  const [first] = cells.endpoints.signals;
  await aborted(first);
  t.pass();

  const cancelled = new Promise<number>((resolve) => {
    const running = endpoints.createEndpoint(request, (error) => resolve(error?.code ?? 0));
    const poll = setInterval(() => {
      if (cells.endpoints.signals.length < 2) return;
      clearInterval(poll);
      running.cancel();
    }, 5);
  });
  t.is(await cancelled, status.CANCELLED);
  await aborted(cells.endpoints.signals[1]);
});

async function aborted(signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) throw new Error("the cell got no signal");
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

test("an update changes what it names and leaves the rest", async (t) => {
  const { endpoints, cells } = await serve(t);
  cells.endpoints.table.upsert(makeEndpoint(5));
  const endpoint = { ref: { $case: "id", value: 5 } } as const;
  await call(
    endpoints,
    endpoints.updateEndpoint,
    UpdateEndpointRequest.fromPartial({ endpoint, policy: { enforceEgress: true } }),
  );
  t.deepEqual(cells.endpoints.get(5)?.spec.labels, { app: "odd" });
  t.true(cells.endpoints.get(5)?.spec.policy.enforceEgress);
  await call(
    endpoints,
    endpoints.updateEndpoint,
    UpdateEndpointRequest.fromPartial({ endpoint, labels: {} }),
  );
  t.deepEqual(cells.endpoints.get(5)?.spec.labels, {}, "an empty set is a set");
  t.true(cells.endpoints.get(5)?.spec.policy.enforceEgress);

  const nothing = await failure(
    call(endpoints, endpoints.updateEndpoint, UpdateEndpointRequest.fromPartial({ endpoint })),
  );
  t.is(nothing.code, status.INVALID_ARGUMENT);
});

test("regenerating and deleting work by name as well", async (t) => {
  const { endpoints, cells } = await serve(t);
  cells.endpoints.table.upsert(makeEndpoint(5));
  const endpoint = { ref: { $case: "name", value: "default/pod-5" } } as const;
  const request = RegenerateEndpointRequest.fromPartial({ endpoint });
  const answer = await call(endpoints, endpoints.regenerateEndpoint, request);
  t.is(answer.endpoint?.generation, 2n);
  t.is(answer.endpoint?.stateReason, "requested through the API");
  await call(endpoints, endpoints.deleteEndpoint, { endpoint: request.endpoint });
  t.is(cells.endpoints.table.size, 0);
});

test("pages hold each endpoint once, in the order of ids, although others come and go", async (t) => {
  const { endpoints, cells } = await serve(t);
  for (let id = 250; id >= 1; id--) cells.endpoints.table.upsert(makeEndpoint(id));
  const seen: number[] = [];
  let pageToken = "";
  do {
    const page = await call(
      endpoints,
      endpoints.listEndpoints,
      ListEndpointsRequest.fromPartial({ pageSize: 60, pageToken }),
    );
    seen.push(...page.endpoints.map(({ id }) => id));
    pageToken = page.nextPageToken;
    if (seen.length === 60) {
      cells.endpoints.table.delete(60);
      cells.endpoints.table.delete(61);
      cells.endpoints.table.upsert(makeEndpoint(300));
    }
  } while (pageToken !== "");
  t.deepEqual(seen, [...Array.from({ length: 250 }, (_, index) => index + 1).filter((id) => id !== 61), 300]);
});

test("the default page has 100 items, a full last page has no successor, labels filter", async (t) => {
  const { endpoints, cells } = await serve(t);
  for (let id = 1; id <= 200; id++) cells.endpoints.table.upsert(makeEndpoint(id));
  const list = (request: Parameters<typeof ListEndpointsRequest.fromPartial>[0]) =>
    call(endpoints, endpoints.listEndpoints, ListEndpointsRequest.fromPartial(request));
  const first = await list({});
  t.is(first.endpoints.length, 100);
  const second = await list({ pageToken: first.nextPageToken });
  t.is(second.endpoints.length, 100);
  t.is(second.nextPageToken, "");
  const even = await list({ labels: { app: "even" }, pageSize: 1000 });
  t.is(even.endpoints.length, 100);
});

test("tokens that are not of this list, and pages too large, are refused", async (t) => {
  const { endpoints, services, cells } = await serve(t);
  for (let id = 1; id <= 3; id++) cells.endpoints.table.upsert(makeEndpoint(id));
  const list = (request: Parameters<typeof ListEndpointsRequest.fromPartial>[0]) =>
    call(endpoints, endpoints.listEndpoints, ListEndpointsRequest.fromPartial(request));
  const { nextPageToken } = await list({ pageSize: 1 });
  const refused = async (promise: Promise<unknown>, field: string) => {
    const error = await failure(promise);
    t.is(error.code, status.INVALID_ARGUMENT);
    t.deepEqual(Object.keys(violations(error)), [field]);
  };
  await refused(list({ pageToken: "garbage" }), "page_token");
  await refused(
    list({ pageToken: Buffer.from('[1,"endpoints []",{}]').toString("base64url") }),
    "page_token",
  );
  await refused(list({ pageToken: nextPageToken, labels: { app: "odd" } }), "page_token");
  await refused(
    call(services, services.listServices, { pageSize: 0, pageToken: nextPageToken }),
    "page_token",
  );
  await refused(list({ pageSize: 1001 }), "page_size");
  await refused(list({ labels: { "": "x" } }), 'labels[""]');
});
