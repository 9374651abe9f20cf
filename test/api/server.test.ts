import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectSocket, createServer } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import test from "ava";
import { ApiServerSettingsError, SocketError } from "../../src/cells/api-server/index.ts";
import { BadRequest } from "../../src/gen/google/rpc/error_details.ts";
import {
  HealthCheckResponse_ServingStatus,
  HealthClient,
  HealthListRequest,
} from "../../src/gen/health/v1/health.ts";
import { AgentServiceClient } from "../../src/gen/waggle/v1/agent.ts";
import { CreateEndpointRequest, GetEndpointRequest } from "../../src/gen/waggle/v1/endpoint.ts";
import { build, call, failure, serve, type settingsFor, temporaryDirectory } from "./harness.ts";

const run = promisify(execFile);
const buf = join(import.meta.dirname, "../../node_modules/.bin/buf");

/** `buf curl` against a Unix socket. */
async function curl(socket: string, path: string, ...options: string[]): Promise<string> {
  const { stdout } = await run(buf, [
    "curl",
    "--unix-socket",
    socket,
    "--http2-prior-knowledge",
    "--protocol",
    "grpc",
    ...options,
    `http://localhost/${path}`,
  ]);
  return stdout;
}

test("the socket belongs to its owner alone, in a directory of the owner's, and goes with the server", async (t) => {
  const directory = temporaryDirectory(t);
  const socket = join(directory, "run", "waggle", "waggle.sock");
  const { server } = build(t, { settings: { socket } });
  await server.start();
  t.is(statSync(socket).mode & 0o777, 0o600);
  t.is(statSync(dirname(socket)).mode & 0o777, 0o700);
  t.deepEqual(readdirSync(dirname(socket)), ["waggle.sock"], "nothing else is left there");
  t.is(server.socket, socket);
  await server.stop();
  t.false(existsSync(socket));
  await server.stop();
});

test("a client that hangs up without a word has its connection closed", async (t) => {
  const { server, settings } = build(t);
  await server.start();
  const client = connectSocket(settings.socket);
  await once(client, "connect");
  client.resume();
  // What an HTTP/2 client begins with (RFC 9113, 3.4): the preface and an empty SETTINGS frame.
  client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  client.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  await once(client, "data");
  client.end();
  // Only when the server has let go of its side as well.
  await once(client, "close", { signal: AbortSignal.timeout(30_000) });
  t.true(client.destroyed);
});

test("a directory that exists keeps its mode", async (t) => {
  const directory = temporaryDirectory(t);
  chmodSync(directory, 0o755);
  const { server } = build(t, { settings: { socket: join(directory, "s") } });
  await server.start();
  t.is(statSync(directory).mode & 0o777, 0o755);
});

test("a socket that nobody listens on is replaced", async (t) => {
  const directory = temporaryDirectory(t);
  const socket = join(directory, "waggle.sock");
  await run(process.execPath, [
    "-e",
    `require("node:net").createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]).catch(() => undefined);
  t.true(statSync(socket).isSocket());
  const { server } = build(t, { settings: { socket } });
  await server.start();
  t.regex(await curl(socket, "waggle.v1.AgentService/GetStatus"), /"version": *"1\.2\.3"/);
});

test("a socket with a listener, and a file in its place, are left alone", async (t) => {
  const first = await serve(t);
  const second = build(t, { settings: { socket: first.settings.socket } });
  const taken = await t.throwsAsync(second.server.start(), { instanceOf: SocketError });
  t.regex(taken?.message ?? "", /another process listens/);
  await second.server.stop();
  t.is((await call(first.agent, first.agent.getStatus, {})).version, "1.2.3", "the first is not disturbed");

  const directory = temporaryDirectory(t);
  const file = join(directory, "file");
  writeFileSync(file, "precious");
  const third = build(t, { settings: { socket: file } });
  await t.throwsAsync(third.server.start(), { instanceOf: SocketError, message: /not a socket/ });
  t.true(existsSync(file));
});

test("services, methods and messages are found by reflection, and can be called with nothing else", async (t) => {
  const { settings } = await serve(t);
  const methods = (await curl(settings.socket, "", "--list-methods")).trim().split("\n");
  for (const method of [
    "waggle.v1.AgentService/GetStatus",
    "waggle.v1.DatapathService/Monitor",
    "waggle.v1.EndpointService/CreateEndpoint",
    "waggle.v1.IPCacheService/UpsertIPCacheEntry",
    "waggle.v1.IdentityService/ListIdentities",
    "waggle.v1.LoadBalancerService/UpsertService",
    "waggle.v1.PluginService/UpdatePluginMapEntries",
  ]) {
    t.true(methods.includes(method), `${method}\nin ${methods.join("\n")}`);
  }
  const service = { name: "default/web", ip: "10.96.0.1", port: 80, protocol: "SERVICE_PROTOCOL_TCP" };
  const data = JSON.stringify({ service });
  const answer = await curl(settings.socket, "waggle.v1.LoadBalancerService/UpsertService", "-d", data);
  t.like(JSON.parse(answer), { service: { name: "default/web", revNat: 1 } });
  // An optional scalar and a map, which poorer descriptors lose.
  const plugin = JSON.stringify({ directory: "/plugins/x", priority: 0, config: { limit: "1" } });
  const registered = await curl(settings.socket, "waggle.v1.PluginService/RegisterPlugin", "-d", plugin);
  t.is(JSON.parse(registered).plugin.priority ?? 0, 0);
});

test("both versions of reflection are served", async (t) => {
  const { settings } = await serve(t);
  for (const protocol of ["grpc-v1", "grpc-v1alpha"]) {
    const methods = await curl(settings.socket, "", "--list-methods", "--reflect-protocol", protocol);
    t.regex(methods, /waggle\.v1\.AgentService\/GetStatus/);
  }
});

test("rich errors are understood by other clients", async (t) => {
  const { settings } = await serve(t);
  const error = await t.throwsAsync(
    curl(settings.socket, "waggle.v1.IPCacheService/GetIPCacheEntry", "-d", '{"prefix":"x"}'),
  );
  const { stderr } = error as unknown as { readonly stderr: string };
  const { code, details } = JSON.parse(stderr);
  t.is(code, "invalid_argument");
  t.is(details[0].type, "google.rpc.BadRequest");
  const { fieldViolations } = BadRequest.decode(Buffer.from(details[0].value, "base64"));
  t.like(fieldViolations[0], {
    field: "prefix",
    description: '"x" is not a prefix such as 10.0.0.0/8 or fd00::/64',
  });
});

test("the standard health service follows the server's state", async (t) => {
  const { settings, server } = await serve(t, { settings: { drainTimeout: 30_000 } });
  const health = new HealthClient(`unix:${settings.socket}`, credentials.createInsecure());
  t.teardown(() => health.close());
  for (const service of ["", "waggle.v1.EndpointService"]) {
    t.is((await call(health, health.check, { service })).status, HealthCheckResponse_ServingStatus.SERVING);
  }
  const unknown = await failure(call(health, health.check, { service: "nothing" }));
  t.is(unknown.code, status.NOT_FOUND);
  const { statuses } = await call(health, health.list, HealthListRequest.fromPartial({}));
  t.is(Object.keys(statuses).length, 9);
  const seen: number[] = [];
  const watch = health.watch({ service: "" });
  const ended = new Promise<void>((resolve) => {
    watch.on("data", (response: { status: number }) => {
      seen.push(response.status);
      if (seen.length === 1) void server.stop();
    });
    watch.on("end", resolve);
    watch.on("error", () => resolve());
  });
  await ended;
  t.deepEqual(seen, [
    HealthCheckResponse_ServingStatus.SERVING,
    HealthCheckResponse_ServingStatus.NOT_SERVING,
  ]);
});

test("a stop lets calls under way finish, and cuts off those that do not", async (t) => {
  const quick = await serve(t, { settings: { drainTimeout: 30_000 } });
  const spec = { name: "a", netns: "/run/netns/a" };
  const gate = Promise.withResolvers<void>();
  quick.cells.endpoints.gate = gate.promise;
  const request = CreateEndpointRequest.fromPartial({ spec });
  const finishing = call(quick.endpoints, quick.endpoints.createEndpoint, request);
  while (quick.cells.endpoints.signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const stopped = quick.server.stop();
  gate.resolve();
  t.is((await finishing).endpoint?.spec?.name, "a");
  await stopped;

  const stuck = await serve(t, { settings: { drainTimeout: 100 } });
  stuck.cells.endpoints.gate = new Promise(() => undefined);
  const hanging = failure(call(stuck.endpoints, stuck.endpoints.createEndpoint, request));
  while (stuck.cells.endpoints.signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await stuck.server.stop();
  t.not((await hanging).code, status.OK);
  t.true(stuck.cells.endpoints.signals[0]?.aborted, "the cell is told to give up");
});

test("requests that are too large or are no messages are refused, and the server goes on", async (t) => {
  const { settings, endpoints, ipcache } = await serve(t, { settings: { maxMessageSize: 64 * 1024 } });
  const huge = GetEndpointRequest.fromPartial({
    endpoint: { ref: { $case: "name", value: "x".repeat(70_000) } },
  });
  t.is((await failure(call(endpoints, endpoints.getEndpoint, huge))).code, status.RESOURCE_EXHAUSTED);

  const raw = new Client(`unix:${settings.socket}`, credentials.createInsecure());
  t.teardown(() => raw.close());
  const send = (path: string, bytes: Buffer) =>
    failure(
      new Promise((resolve, reject) => {
        raw.makeUnaryRequest(
          path,
          () => bytes,
          (buffer) => buffer,
          null,
          new Metadata(),
          {},
          (error, value) => (error === null ? resolve(value) : reject(error)),
        );
      }),
    );
  const garbage = await send("/waggle.v1.EndpointService/GetEndpoint", Buffer.from([0x0a, 0xff, 0xff, 0xff]));
  t.is(garbage.code, status.INTERNAL);
  const unknown = await send("/waggle.v1.EndpointService/Nothing", Buffer.alloc(0));
  t.is(unknown.code, status.UNIMPLEMENTED);
  const fine = await failure(call(ipcache, ipcache.getIpCacheEntry, { prefix: "10.0.0.0/8" }));
  t.is(fine.code, status.NOT_FOUND);
});

test("TCP without TLS is served on loopback alone, and only when asked for", async (t) => {
  const settings = { listen: "127.0.0.1:0", insecure: true };
  const { server } = build(t, { settings });
  await server.start();
  t.regex(server.address, /^127\.0\.0\.1:\d+$/);
  const agent = new AgentServiceClient(server.address, credentials.createInsecure());
  t.teardown(() => agent.close());
  t.is((await call(agent, agent.getStatus, {})).version, "1.2.3");

  const refused = (change: Parameters<typeof settingsFor>[1], message: RegExp) =>
    t.throws(() => build(t, { settings: { ...change } }), { instanceOf: ApiServerSettingsError, message });
  refused({ listen: "0.0.0.0:0", insecure: true }, /0\.0\.0\.0 is not a loopback address/);
  refused({ listen: "[::]:0", insecure: true }, /not a loopback address/);
  refused({ listen: "example.org:1", insecure: true }, /not a loopback address/);
  refused({ listen: "127.0.0.1:0" }, /needs tls-cert, tls-key and tls-client-ca/);
  refused({ listen: "127.0.0.1:0", tlsCert: "/x" }, /belong together/);
  refused(
    { listen: "127.0.0.1:0", insecure: true, tlsCert: "/x", tlsKey: "/y", tlsClientCa: "/z" },
    /insecure contradicts/,
  );
  refused({ socket: "" }, /nobody could connect/);
});

test("a missing TLS file fails the start with its name", async (t) => {
  const files = { tlsCert: "/nowhere/cert.pem", tlsKey: "/nowhere/key.pem", tlsClientCa: "/nowhere/ca.pem" };
  const { server, settings } = build(t, { settings: { listen: "127.0.0.1:0", ...files } });
  await t.throwsAsync(server.start(), {
    instanceOf: ApiServerSettingsError,
    message: /tls-client-ca: read \/nowhere\/ca\.pem/,
  });
  t.false(existsSync(settings.socket));
});

test("over TLS a client needs a certificate of the right authority", async (t) => {
  const directory = temporaryDirectory(t);
  const pki = await makePki(directory);
  const { server } = build(t, {
    settings: {
      listen: "127.0.0.1:0",
      tlsCert: pki.server.cert,
      tlsKey: pki.server.key,
      tlsClientCa: pki.ca,
    },
  });
  await server.start();
  const { readFileSync } = await import("node:fs");
  const client = (pair?: { readonly cert: string; readonly key: string }) => {
    const secure = credentials.createSsl(
      readFileSync(pki.ca),
      pair && readFileSync(pair.key),
      pair && readFileSync(pair.cert),
    );
    const made = new AgentServiceClient(server.address, secure);
    t.teardown(() => made.close());
    return made;
  };
  const known = client(pki.client);
  t.is((await call(known, known.getStatus, {})).version, "1.2.3");
  for (const stranger of [client(), client(pki.stranger)]) {
    t.is((await failure(call(stranger, stranger.getStatus, {}))).code, status.UNAVAILABLE);
  }
  const plain = connectHttp2(`http://${server.address}`);
  await new Promise<void>((resolve) => {
    plain.on("error", () => resolve());
    plain.on("close", () => resolve());
  });
  t.true(plain.destroyed, "and nobody gets in without TLS");
});

interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** Two authorities with a certificate each for clients, one for the server. */
async function makePki(directory: string) {
  const openssl = (...args: string[]) => run("openssl", args, { cwd: directory });
  const authority = async (name: string) => {
    const files = ["-keyout", `${name}.key`, "-out", `${name}.pem`];
    await openssl("req", "-x509", ...curve, "-nodes", "-subj", `/CN=${name}`, "-days", "2", ...files);
  };
  const issue = async (name: string, ca: string): Promise<KeyPair> => {
    await openssl(
      "req",
      ...curve,
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
    );
    writeFileSync(join(directory, `${name}.ext`), "subjectAltName=IP:127.0.0.1\n");
    const signing = ["-CA", `${ca}.pem`, "-CAkey", `${ca}.key`, "-CAcreateserial", "-days", "2"];
    const files = ["-in", `${name}.csr`, "-out", `${name}.pem`, "-extfile", `${name}.ext`];
    await openssl("x509", "-req", ...signing, ...files);
    return { cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) };
  };
  await authority("ca");
  await authority("other");
  return {
    ca: join(directory, "ca.pem"),
    server: await issue("server", "ca"),
    client: await issue("client", "ca"),
    stranger: await issue("stranger", "other"),
  };
}

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

test("a socket whose directory cannot be made, or whose queue is somebody else's, says so", async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, "file");
  writeFileSync(file, "");
  const blocked = build(t, { settings: { socket: join(file, "waggle.sock") } });
  await t.throwsAsync(blocked.server.start(), { instanceOf: SocketError, message: /make its directory/ });

  mkdirSync(join(directory, "run"));
  const socket = join(directory, "run", "other.sock");
  const other = createServer().listen(socket);
  t.teardown(() => void other.close());
  const refused = build(t, { settings: { socket } });
  await t.throwsAsync(refused.server.start(), {
    instanceOf: SocketError,
    message: /another process listens/,
  });
});
