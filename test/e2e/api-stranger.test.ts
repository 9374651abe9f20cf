// The API as somebody meets it who has nothing of ours: buf curl with reflection over the Unix socket, and the
// command line with --json.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { everything } from "../../src/client/index.ts";
import { BadRequest } from "../../src/gen/google/rpc/error_details.ts";
import { attempt, type CommandResult, type World } from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";
import { reaches } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import { shipped } from "./fixtures/plugins/index.ts";

const root = join(import.meta.dirname, "../..");
const buf = join(root, "node_modules/.bin/buf");
const waggle = join(root, "bin/waggle");

const services = [
  "Agent",
  "Datapath",
  "Endpoint",
  "IPCache",
  "Identity",
  "LoadBalancer",
  "Node",
  "Plugin",
].map((name) => `waggle.v1.${name}Service`);

/** Runs buf curl against the agent's socket. */
function curl(world: World, path: string, ...args: readonly string[]): Promise<CommandResult> {
  const target = ["--protocol", "grpc", "--http2-prior-knowledge", "--unix-socket", world.socket];
  return attempt([buf, "curl", ...target, ...args, `http://localhost${path}`], { timeoutMs: 60_000 });
}

/** Calls a method and returns its response. */
async function call(
  world: World,
  method: string,
  request: object = {},
  ...args: readonly string[]
): Promise<Record<string, unknown>> {
  const { stdout, stderr, code } = await curl(
    world,
    `/${method}`,
    ...args,
    "--data",
    JSON.stringify(request),
  );
  if (code !== 0) throw new Error(`${method}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** An error as buf curl prints it; the details are encoded messages. */
interface CurlError {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

/** Calls a method that must fail. */
async function refused(world: World, method: string, request: object = {}): Promise<CurlError> {
  const { stdout, stderr, code } = await curl(world, `/${method}`, "--data", JSON.stringify(request));
  if (code === 0) throw new Error(`${method} was not refused: ${stdout}`);
  return JSON.parse(stderr) as CurlError;
}

/** Runs `waggle … --json`. */
const cli = (world: World, ...args: readonly string[]): Promise<CommandResult> =>
  attempt([waggle, "--socket", world.socket, "--json", ...args], { timeoutMs: 60_000 });

async function json(world: World, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr, code } = await cli(world, ...args);
  if (code !== 0) throw new Error(`waggle ${args.join(" ")}: exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

interface ListedMap {
  readonly name: string;
  readonly id: number;
  readonly typeName: string;
  readonly maxEntries: number;
  readonly valueSize: number;
  readonly listable: boolean;
}

const hex = (bytes: readonly string[]): string =>
  bytes.map((byte) => Number(byte).toString(16).padStart(2, "0")).join("");

/**
 * Entries of a map as bpftool finds them, "KEY VALUE" in hexadecimal; values of several CPUs as the kernel puts them. Slots
 * of arrays that nobody has written to, which the API leaves out, are left out.
 */
async function dumped(world: World, { id, typeName }: ListedMap): Promise<readonly string[]> {
  const padded = (text: string): string => text.padEnd(Math.ceil(text.length / 16) * 16, "0");
  const output = await world.run("node", ["bpftool", "--json", "map", "dump", "id", String(id)]);
  const entries = JSON.parse(output) as readonly {
    readonly key: readonly string[];
    readonly value?: readonly string[];
    readonly values?: readonly { readonly value: readonly string[] }[];
  }[];
  return entries
    .map(({ key, value, values }) => {
      const bytes = value === undefined ? values!.map((one) => padded(hex(one.value))).join("") : hex(value);
      return { key: hex(key), bytes };
    })
    .filter(({ bytes }) => !typeName.includes("array") || /[^0]/.test(bytes))
    .map(({ key, bytes }) => `${key} ${bytes}`)
    .sort();
}

interface ListedEntry<Bytes> {
  readonly rawKey: Bytes;
  readonly rawValue: Bytes;
  readonly missing: boolean;
}

/** The same, as `waggle map get` prints them. */
async function printedEntries(world: World, { name }: ListedMap): Promise<readonly string[]> {
  const { entries } = (await json(world, "map", "get", name)) as unknown as {
    entries: readonly ListedEntry<string>[];
  };
  return entries
    .filter(({ missing }) => !missing)
    .map(({ rawKey, rawValue }) => `${rawKey} ${rawValue}`)
    .sort();
}

/** The same, as the API lists them. */
async function listedEntries(world: World, { name }: ListedMap): Promise<readonly string[]> {
  const entries: readonly ListedEntry<Buffer>[] = await everything(
    (page) => world.client.datapath.listMapEntries({ ...page, map: name }),
    (page) => page.entries,
  );
  return entries
    .filter(({ missing }) => !missing)
    .map(({ rawKey, rawValue }) => `${rawKey.toString("hex")} ${rawValue.toString("hex")}`)
    .sort();
}

await worldTests("the API as strangers meet it", { pods: 2 }, (test) => {
  test("reflection lists all of our services", async (t, world) => {
    const { stdout, code } = await curl(world, "", "--list-services");
    t.is(code, 0);
    const listed = stdout.trim().split("\n");
    t.deepEqual(listed.filter((name) => name.startsWith("waggle.")).sort(), [...services].sort());
  });

  test("reflection lists the methods of every service", async (t, world) => {
    const { stdout, code } = await curl(world, "", "--list-methods");
    t.is(code, 0);
    for (const method of [
      "waggle.v1.EndpointService/CreateEndpoint",
      "waggle.v1.EndpointService/WatchEndpoints",
      "waggle.v1.PluginService/RegisterPlugin",
      "waggle.v1.DatapathService/Monitor",
      "waggle.v1.LoadBalancerService/UpsertService",
    ]) {
      t.true(stdout.includes(method), method);
    }
  });

  test("the standard health service says that the agent serves, of every service", async (t, world) => {
    const method = "grpc.health.v1.Health/Check";
    const schema = ["--schema", join(root, "node_modules/grpc-health-check/proto")];
    const check = (service: string): Promise<unknown> => call(world, method, { service }, ...schema);
    for (const service of ["", ...services])
      t.deepEqual(await check(service), { status: "SERVING" }, service);
    await t.throwsAsync(check("nobody.v1.Service"), { message: /not_found/ });
  });

  test("a request in JSON is answered in JSON: status, endpoints, programs, maps", async (t, world) => {
    const status = await call(world, "waggle.v1.AgentService/GetStatus");
    t.is((status.endpoints as { ready: number }).ready, 2);
    t.is(status.health, "HEALTH_LEVEL_OK");
    const { endpoint } = await call(world, "waggle.v1.EndpointService/GetEndpoint", {
      endpoint: { name: "default/pod1" },
    });
    t.is((endpoint as { ipv4: string }).ipv4, world.pod("pod1").ipv4);
    t.is((endpoint as { state: string }).state, "ENDPOINT_STATE_READY");
    const { programs } = await call(world, "waggle.v1.DatapathService/ListPrograms", {
      attachment: `lxc-${world.pod("pod1").id}`,
    });
    t.true((programs as { name: string }[]).some(({ name }) => name === "cil_from_container"));
    const { entries } = await call(world, "waggle.v1.DatapathService/ListMapEntries", { map: "cilium_lxc" });
    t.true((entries as { key: string }[]).some(({ key }) => key.includes(world.pod("pod2").ipv4)));
    const { hookPoints } = await call(world, "waggle.v1.DatapathService/ListHookPoints");
    const names = (hookPoints as { name: string }[]).map(({ name }) => name);
    for (const name of ["from_container_pre_service", "to_container_pre_deliver", "from_overlay"])
      for (const family of ["v4", "v6"]) t.true(names.includes(`${name}_${family}`), `${name}_${family}`);
  });

  test("a service is created, seen by pods, changed and deleted by a stranger", async (t, world) => {
    const service = {
      name: "stranger/web",
      ip: "10.96.3.3",
      port: 80,
      protocol: "SERVICE_PROTOCOL_TCP",
      backends: [{ ip: world.pod("pod2").ipv4, port: 8_080 }],
    };
    const made = await call(world, "waggle.v1.LoadBalancerService/UpsertService", { service });
    t.like(made.service, { name: "stranger/web", ip: "10.96.3.3", port: 80 });
    const { services: listed } = await call(world, "waggle.v1.LoadBalancerService/ListServices");
    t.is((listed as unknown[]).length, 1);
    t.deepEqual(
      await call(world, "waggle.v1.LoadBalancerService/DeleteService", { name: "stranger/web" }),
      {},
    );
    t.is(
      (await refused(world, "waggle.v1.LoadBalancerService/DeleteService", { name: "stranger/web" })).code,
      "not_found",
    );
  });

  test("a refused request names every field, and says what is accepted", async (t, world) => {
    const error = await refused(world, "waggle.v1.EndpointService/CreateEndpoint", {
      spec: { name: "Not A Name", netns: "relative", ipv4: "10.0.1.300", policy: { rules: [{}] } },
    });
    t.is(error.code, "invalid_argument");
    const detail = error.details?.find(({ type }) => type === "google.rpc.BadRequest");
    const { fieldViolations } = BadRequest.decode(Buffer.from(detail?.value ?? "", "base64"));
    const fields = fieldViolations.map(({ field }) => field);
    for (const field of ["spec.name", "spec.netns", "spec.ipv4", "spec.policy.rules[0].direction"]) {
      t.true(fields.includes(field), `${field} of ${fields.join(", ")}`);
    }
    t.true(fieldViolations.every(({ description }) => description.length > 5));
    for (const field of fields)
      t.true(error.message.includes(field), `the message alone says it too: ${field}`);
  });

  test("a watch begins with what is there", async (t, world) => {
    // The stream never ends by itself.
    const child = spawn(
      buf,
      [
        ...["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--unix-socket", world.socket],
        ...["--data", "{}", "http://localhost/waggle.v1.EndpointService/WatchEndpoints"],
      ],
      // A group of its own: npm's buf starts the real one.
      { stdio: ["ignore", "pipe", "ignore"], detached: true },
    );
    const closed = once(child, "close");
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (data: string) => {
      stdout += data;
    });
    try {
      await eventually("the snapshot is complete", () => stdout.includes('"sync"'));
    } finally {
      process.kill(-child.pid!, "SIGKILL");
      await closed;
    }
    for (const pod of world.pods) t.true(stdout.includes(`"${pod.endpointName}"`), pod.name);
  });

  test("an unknown method and an unknown service are unimplemented", async (t, world) => {
    const schema = ["--schema", join(root, "proto")];
    const path = "/waggle.v1.EndpointService/GetEndpoint";
    t.is(
      (await curl(world, path, ...schema, "--data", '{"endpoint":{"id":1}}')).code,
      0,
      "without reflection",
    );
    const { stderr } = await curl(world, "/waggle.v1.NoService/NoMethod", "--data", "{}");
    t.regex(stderr, /NoService/);
  });

  test("the socket is for its owner alone", async (t, world) => {
    t.is((await world.run("node", ["stat", "-c", "%a", world.socket])).trim(), "600");
  });

  test("waggle --json: status, health, config, hive, version", async (t, world) => {
    const status = await json(world, "status");
    t.truthy(status);
    t.true(JSON.stringify(status).includes('"podCidr":"10.0.1.0/24"'));
    t.true(JSON.stringify(await json(world, "health")).includes("serving"));
    t.true(JSON.stringify(await json(world, "config")).includes('"pod-cidr"'));
    t.true(JSON.stringify(await json(world, "hive")).includes("endpoints"));
    t.true(JSON.stringify(await json(world, "version")).includes("0.1.0"));
  });

  test("waggle --json: what the kernel has", async (t, world) => {
    t.true(await reaches(world, "pod1", world.pod("pod2").ipv4));
    const { maps } = await json(world, "map", "list");
    t.true((maps as { name: string }[]).some(({ name }) => name === "cilium_ipcache"));
    const entries = await json(world, "map", "get", "cilium_lxc");
    t.true(JSON.stringify(entries).includes(world.pod("pod1").ipv4));
    for (const [command, word] of [
      [["program", "list"], "cil_from_container"],
      [["hook", "list"], "to_container_pre_ct_v4"],
      [["ipcache", "list"], `${world.pod("pod2").ipv4}/32`],
      [["metrics"], '"packets"'],
    ] as const) {
      t.true(JSON.stringify(await json(world, ...command)).includes(word), `${command.join(" ")}: ${word}`);
    }
  });

  test("waggle map get prints what bpftool finds, in maps of every kind", async (t, world) => {
    await json(world, "plugin", "register", shipped("packet-counter"), "--enable");
    await json(world, "service", "upsert", "maps/web", "10.96.4.5:80", "-b", "10.0.1.2:8080");
    await json(world, "endpoint", "update", "default/pod2", "--rule", "allow ingress app=pod1 icmp");
    t.teardown(async () => {
      await json(world, "endpoint", "update", "default/pod2", "--enforce", "none");
      await json(world, "service", "delete", "maps/web");
      await json(world, "plugin", "unregister", "packet-counter");
    });
    for (const address of [world.pod("pod2").ipv4, world.pod("pod2").ipv6])
      t.true(await reaches(world, "pod1", address));
    const { maps } = (await json(world, "map", "list")) as unknown as { maps: readonly ListedMap[] };
    const printed = new Set<string>();
    // Large arrays are all alike, and take long to print.
    const small = maps.filter(
      ({ listable, typeName, maxEntries }) =>
        listable && (maxEntries <= 4_096 || !typeName.includes("array")),
    );
    for (const map of small) {
      // What BPF programs write may change while it is read.
      await eventually(`${map.name} is the same in both`, async () => {
        const found = await dumped(world, map);
        // The command line starts anew for each: one map of a kind is enough for it.
        const first = found.length > 0 && !printed.has(map.typeName);
        const listed = await (first ? printedEntries(world, map) : listedEntries(world, map));
        if (JSON.stringify(listed) !== JSON.stringify(found))
          throw new Error(`${listed.join(", ")} instead of ${found.join(", ")}`);
        if (first) printed.add(map.typeName);
        return true;
      });
    }
    const endpoints = maps.find(({ name }) => name === "waggle_endpoints")!;
    const rows = await printedEntries(world, endpoints);
    t.is(rows.length, world.pods.length);
    for (const row of rows) {
      const [key, value] = row.split(" ");
      const lookup = ["map", "lookup", "id", String(endpoints.id), "key", "hex", ...key!.match(/../g)!];
      const found = JSON.parse(await world.run("node", ["bpftool", "--json", ...lookup]));
      t.is(hex((found as { readonly value: readonly string[] }).value), value!);
    }
    printed.add(endpoints.typeName);
    t.log(`${small.length} maps; printed: ${[...printed].sort().join(", ")}`);
    for (const kind of ["array", "hash", "lru_hash", "lpm_trie", "percpu_array", "percpu_hash"])
      t.true(printed.has(kind), kind);
  });

  test("waggle --json: services and IP cache entries are written, read and removed", async (t, world) => {
    const made = await json(world, "service", "upsert", "cli/web", "10.96.4.4:80", "-b", "10.0.1.2:8080");
    t.like(made, { name: "cli/web", ip: "10.96.4.4", port: 80 });
    t.like(await json(world, "service", "get", "cli/web"), { name: "cli/web" });
    t.deepEqual(await json(world, "service", "delete", "cli/web"), { deleted: "cli/web" });
    t.is((await cli(world, "service", "get", "cli/web")).code, 3, "3: not found");
  });

  test("waggle --json: an endpoint's policy is changed, and a mistake is explained", async (t, world) => {
    const changed = await json(
      world,
      "endpoint",
      "update",
      "default/pod2",
      "--rule",
      "allow ingress app=pod1 tcp/80",
    );
    t.true(JSON.stringify(changed).includes('"enforceIngress":true'));
    t.true(JSON.stringify(await json(world, "endpoint", "get", "default/pod2")).includes('"port":80'));
    await json(world, "endpoint", "update", "default/pod2", "--enforce", "none");
    const wrong = await cli(world, "endpoint", "update", "default/pod2", "--rule", "allow sideways anybody");
    t.is(wrong.code, 2, "2: a value was refused");
    t.regex(wrong.stderr, /sideways/);
    t.is((await cli(world, "endpoint", "get", "default/nobody")).code, 3);
  });

  test("waggle without an agent says so, with exit code 5", async (t, world) => {
    const { code, stderr } = await attempt([
      waggle,
      "--socket",
      join(world.scratch.directory, "none"),
      "status",
    ]);
    t.is(code, 5);
    t.regex(stderr, /none/);
  });
});
