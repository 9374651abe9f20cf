// Endpoints come and go, and what cannot come leaves nothing behind.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CallError } from "../../src/client/index.ts";
import { type Endpoint, type EndpointSpec, EndpointState } from "../../src/gen/waggle/v1/endpoint.ts";
import { namespacePath, run, type World } from "../../src/playground/index.ts";
import { capture } from "../support/capture.ts";
import { addNamespace, byId, byName, createEndpoint, deleteEndpoint, specFor } from "../support/endpoints.ts";
import { eventually } from "../support/eventually.ts";
import { takeInventory } from "../support/inventory.ts";
import { lifecycleTests } from "../support/lifecycle.ts";
import { allowFrom, anyone, ingress, open } from "../support/policy.ts";
import { echo, reaches } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const { CREATING, REGENERATING, READY, DISCONNECTING } = EndpointState;

/** What a call was refused with. */
async function refusal(call: Promise<unknown>): Promise<{ status: string; text: string }> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    const violations = error.violations.map(({ field, description }) => `${field}: ${description}`);
    return { status: error.status, text: [error.message, ...violations].join("\n") };
  }
  throw new Error("the call was not refused");
}

/** What a namespace knows of neighbours for good. */
async function gatewaysOf(namespace: string): Promise<readonly string[]> {
  const shown = await run(["ip", "-n", namespace, "-j", "neigh", "show", "nud", "permanent"]);
  const entries = JSON.parse(shown) as readonly { readonly dst: string; readonly lladdr: string }[];
  return entries.map(({ dst, lladdr }) => `${dst} ${lladdr}`).sort();
}

/** What a pod should know. */
const gateways = ({ nodeMac }: Endpoint): readonly string[] =>
  ["10.0.1.1", "fd00:10:0:1::1"].map((gateway) => `${gateway} ${nodeMac}`);

interface Refused {
  readonly title: string;
  readonly wanted: (world: World, namespace: string) => Partial<EndpointSpec>;
  readonly status: string;
  readonly says: RegExp;
  /** Prepares the namespace, or the world. */
  readonly prepare?: (world: World, namespace: string) => Promise<unknown>;
}

const refused: readonly Refused[] = [
  {
    title: "a name that is taken",
    wanted: () => ({ name: "default/pod1" }),
    status: "ALREADY_EXISTS",
    says: /default\/pod1/,
  },
  {
    title: "an address that is taken",
    wanted: (world) => ({ ipv4: world.pod("pod1").ipv4 }),
    status: "ALREADY_EXISTS",
    says: /10\.0\.1\.\d+ is taken by default\/pod1/,
  },
  {
    title: "the router's address",
    wanted: () => ({ ipv4: "10.0.1.1" }),
    status: "ALREADY_EXISTS",
    says: /10\.0\.1\.1 is taken/,
  },
  {
    title: "an address outside of the pod network",
    wanted: () => ({ ipv4: "10.0.2.5" }),
    status: "INVALID_ARGUMENT",
    says: /spec\.ipv4: .*10\.0\.1\.0\/24/,
  },
  {
    title: "the broadcast address",
    wanted: () => ({ ipv4: "10.0.1.255" }),
    status: "INVALID_ARGUMENT",
    says: /spec\.ipv4/,
  },
  {
    title: "a namespace that does not exist",
    wanted: () => ({ netns: "/run/netns/nobody-made-this" }),
    status: "INVALID_ARGUMENT",
    says: /spec\.netns: .*nobody-made-this.*(ENOENT|No such file)/,
  },
  {
    title: "a file that is no namespace",
    wanted: (world) => ({ netns: join(world.scratch.directory, "no-namespace") }),
    status: "INVALID_ARGUMENT",
    says: /spec\.netns: /,
    prepare: (world) => writeFile(join(world.scratch.directory, "no-namespace"), ""),
  },
  {
    title: "a namespace of another kind",
    wanted: () => ({ netns: "/proc/self/ns/mnt" }),
    status: "INVALID_ARGUMENT",
    says: /spec\.netns: /,
  },
  {
    title: "the node's own namespace, where the interface is there already",
    wanted: (world) => ({ netns: namespacePath(world.namespaces.node!) }),
    status: "FAILED_PRECONDITION",
    says: /eth0/,
  },
  {
    title: "an interface that is in the pod already",
    wanted: () => ({}),
    status: "FAILED_PRECONDITION",
    says: /has an interface eth0 already/,
    prepare: (_, namespace) =>
      run(["ip", "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", "other"]),
  },
  {
    title: "an interface to adopt that the node does not have",
    wanted: () => ({ hostInterface: "lxc-nowhere" }),
    status: "FAILED_PRECONDITION",
    says: /no interface lxc-nowhere/,
  },
  {
    title: "an interface to adopt that is no pair with the pod's",
    wanted: () => ({ hostInterface: "lo" }),
    status: "FAILED_PRECONDITION",
    says: /not the two ends/,
    prepare: (_, namespace) =>
      run(["ip", "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", "other"]),
  },
  {
    title: "an interface to adopt without the namespace of its other end",
    wanted: () => ({ hostInterface: "lxc-nowhere", netns: "" }),
    status: "INVALID_ARGUMENT",
    says: /spec\.netns/,
  },
  {
    title: "a relative path",
    wanted: () => ({ netns: "run/netns/pod1" }),
    status: "INVALID_ARGUMENT",
    says: /spec\.netns/,
  },
  {
    title: "no name, a bad interface, bad labels and a bad rule, all told at once",
    wanted: () => ({
      name: "",
      podInterface: "much-too-long-for-an-interface",
      labels: { "not a key": "x" },
      policy: { ...open, rules: [{ ...allowFrom(anyone), port: 80 }] },
    }),
    status: "INVALID_ARGUMENT",
    says: /spec\.name.*spec\.pod_interface.*spec\.labels.*spec\.policy\.rules\[0\]\.port/s,
  },
];

await worldTests("the life cycle of endpoints", { pods: 2, ipv6: true }, (test) => {
  lifecycleTests(test);

  for (const { title, wanted, status, says, prepare } of refused) {
    test(`refused, and nothing is left behind: ${title}`, async (t, world) => {
      const namespace = await addNamespace(t, world);
      await prepare?.(world, namespace);
      const links = await run(["ip", "-n", namespace, "-j", "address", "show"]);
      const before = await takeInventory(world);
      const answer = await refusal(createEndpoint(world, specFor(namespace, wanted(world, namespace))));
      t.is(answer.status, status, answer.text);
      t.regex(answer.text, says);
      t.deepEqual(await takeInventory(world), before);
      t.is(await run(["ip", "-n", namespace, "-j", "address", "show"]), links);
      t.true(await reaches(world, "pod1", world.pod("pod2").ipv4));
    });
  }

  test("endpoints that do not exist are not found", async (t, world) => {
    const { endpoints } = world.client;
    for (const endpoint of [byId(4_711), byName("default/nobody")]) {
      t.is((await refusal(endpoints.getEndpoint({ endpoint }))).status, "NOT_FOUND");
      t.is((await refusal(endpoints.deleteEndpoint({ endpoint }))).status, "NOT_FOUND");
      t.is((await refusal(endpoints.regenerateEndpoint({ endpoint, reason: "" }))).status, "NOT_FOUND");
      const change = { endpoint, labels: { labels: {} }, policy: undefined };
      t.is((await refusal(endpoints.updateEndpoint(change))).status, "NOT_FOUND");
    }
  });

  test("an endpoint is found by id, by name and by label, and gone after the first of two deletions", async (t, world) => {
    const { endpoints } = world.client;
    const namespace = await addNamespace(t, world);
    const endpoint = await createEndpoint(
      world,
      specFor(namespace, { labels: { found: "by-label", app: "x" } }),
    );
    t.deepEqual((await endpoints.getEndpoint({ endpoint: byId(endpoint.id) })).endpoint, endpoint);
    t.deepEqual((await endpoints.getEndpoint({ endpoint: byName(endpoint.spec!.name) })).endpoint, endpoint);
    const listed = await endpoints.listEndpoints({
      pageSize: 0,
      pageToken: "",
      labels: { found: "by-label" },
    });
    t.deepEqual(listed.endpoints, [endpoint]);
    const results = await Promise.allSettled([
      deleteEndpoint(world, endpoint),
      deleteEndpoint(world, endpoint),
    ]);
    t.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    const [lost] = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as CallError] : [],
    );
    t.is(lost?.status, "NOT_FOUND");
  });

  test("of two endpoints with one name created at once, one comes to be", async (t, world) => {
    const before = await takeInventory(world);
    const [one, other] = [await addNamespace(t, world), await addNamespace(t, world)];
    const results = await Promise.allSettled([
      createEndpoint(world, specFor(one, { name: "test/same" })),
      createEndpoint(world, specFor(other, { name: "test/same" })),
    ]);
    t.deepEqual(
      results
        .map((result) => (result.status === "rejected" ? (result.reason as Error).message : "created"))
        .sort(),
      ["created", 'endpoint "test/same" exists already'],
    );
    await world.client.endpoints.deleteEndpoint({ endpoint: byName("test/same") });
    t.deepEqual(await takeInventory(world), before);
  });

  test("wanted addresses are given, and free again after deletion", async (t, world) => {
    const namespace = await addNamespace(t, world);
    const wanted = { ipv4: "10.0.1.200", ipv6: "fd00:10:0:1:ffff::200" };
    for (let time = 0; time < 2; time++) {
      const endpoint = await createEndpoint(world, specFor(namespace, wanted));
      t.like(endpoint, wanted);
      for (const address of [endpoint.ipv4, endpoint.ipv6]) {
        for (const from of ["pod1", "node", "outside"]) {
          t.true(await reaches(world, from, address), `${from} to ${address}`);
        }
      }
      await deleteEndpoint(world, endpoint);
    }
  });

  test("a creation that is cancelled is undone", async (t, world) => {
    const before = await takeInventory(world);
    const namespace = await addNamespace(t, world);
    for (const afterMs of [0, 2, 4, 8]) {
      const creation = createEndpoint(world, specFor(namespace), { signal: AbortSignal.timeout(afterMs) });
      await Promise.allSettled([creation]);
      await eventually("everything is as before", async () => {
        // A machine in a hurry may have finished before, also when its answer came too late.
        const endpoint = byName(`test/${namespace}`);
        const [found] = await Promise.allSettled([world.client.endpoints.getEndpoint({ endpoint })]);
        const made = found?.status === "fulfilled" ? found.value.endpoint : undefined;
        if (made?.state === EndpointState.READY) await deleteEndpoint(world, made);
        const now = await takeInventory(world);
        return JSON.stringify(now) === JSON.stringify(before);
      });
    }
    t.deepEqual(await takeInventory(world), before);
  });

  test("an endpoint whose namespace has gone away can be deleted", async (t, world) => {
    const before = await takeInventory(world);
    const namespace = await addNamespace(t, world);
    const endpoint = await createEndpoint(world, specFor(namespace));
    await run(["ip", "netns", "delete", namespace]);
    await eventually("the kernel has taken the pair away", async () => {
      const links = await world.run("node", ["ip", "-j", "link", "show"]);
      return !links.includes(`"${endpoint.hostInterface}"`);
    });
    await deleteEndpoint(world, endpoint);
    t.deepEqual(await takeInventory(world), before);
  });

  test("a pod knows its gateway for good: entries of both families are permanent, and it never asks", async (t, world) => {
    const namespace = await addNamespace(t, world);
    const endpoint = await createEndpoint(world, specFor(namespace));
    t.deepEqual(await gatewaysOf(namespace), gateways(endpoint));
    const { ipv4, ipv6 } = world.pod("pod1");
    const last = world.addressing.nodeIpv4;
    const ping = (to: string) => run(["ip", "netns", "exec", namespace, "ping", "-nqc", "1", "-W", "5", to]);
    const questions = "arp or (icmp6 and ip6[40] == 135)";
    const seen = await capture(world, "node", `${questions} or dst host ${last}`, endpoint.hostInterface);
    try {
      for (const to of [ipv4, ipv6, last]) await ping(to);
      t.deepEqual(await seen.next(), { source: endpoint.ipv4, destination: last }, "no question came first");
    } finally {
      await seen.stop();
    }
    await deleteEndpoint(world, endpoint);
    t.deepEqual(await gatewaysOf(namespace), []);
  });

  test("an existing pair is adopted, works, and stays behind as it was", async (t, world) => {
    const namespace = await addNamespace(t, world);
    const node = world.namespaces.node!;
    const pair = ["type", "veth", "peer", "name", "eth0", "netns", namespace];
    await run(["ip", "link", "add", "adopted0", "netns", node, ...pair]);
    t.teardown(() => run(["ip", "-n", node, "link", "delete", "adopted0"]));
    const before = await takeInventory(world);
    const addresses = (): Promise<string> =>
      run(["ip", "-n", namespace, "-o", "address", "show", "dev", "eth0", "scope", "global"]);
    const pairBefore = await addresses();

    const endpoint = await createEndpoint(world, specFor(namespace, { hostInterface: "adopted0" }));
    t.is(endpoint.hostInterface, "adopted0");
    t.deepEqual(await gatewaysOf(namespace), gateways(endpoint));
    for (const from of ["pod1", "node", "outside"]) {
      for (const address of [endpoint.ipv4, endpoint.ipv6]) {
        t.true(await reaches(world, from, address), `${from} to ${address}`);
      }
    }
    const policy = ingress();
    await world.client.endpoints.updateEndpoint({ endpoint: byId(endpoint.id), labels: undefined, policy });
    t.is((await echo(world, "pod1", endpoint.ipv4, 1)).received, 0);

    await deleteEndpoint(world, endpoint);
    t.deepEqual(await takeInventory(world), before);
    t.is(await addresses(), pairBefore);
    t.is(await run(["ip", "-n", namespace, "route", "show"]), "");
    t.deepEqual(await gatewaysOf(namespace), []);
  });

  test("50 endpoints are created at once, all work, and go at once", async (t, world) => {
    const before = await takeInventory(world);
    const namespaces = await Promise.all(Array.from({ length: 50 }, () => addNamespace(t, world)));
    const begun = performance.now();
    const endpoints = await Promise.all(
      namespaces.map((namespace, index) =>
        createEndpoint(world, specFor(namespace, { labels: { group: `g${index % 5}` } })),
      ),
    );
    t.log(`50 endpoints in ${Math.round(performance.now() - begun)} ms`);
    t.is(new Set(endpoints.map(({ id }) => id)).size, 50);
    t.is(new Set(endpoints.map(({ ipv4 }) => ipv4)).size, 50);
    t.is(new Set(endpoints.map(({ ifindex }) => ifindex)).size, 50);
    t.is(new Set(endpoints.map(({ identity }) => identity)).size, 5, "equal labels share an identity");
    t.true(endpoints.every(({ state }) => state === READY));
    const answers = await Promise.all(
      endpoints.map(({ ipv4 }, index) => echo(world, index % 2 === 0 ? "pod1" : "outside", ipv4, 1)),
    );
    t.is(answers.filter(({ received }) => received === 1).length, 50);
    await Promise.all(endpoints.map((endpoint) => deleteEndpoint(world, endpoint)));
    t.deepEqual(await takeInventory(world), before);
  });

  test("a watch tells what was there, that it is complete, and then every state in order", async (t, world) => {
    const abort = new AbortController();
    t.teardown(() => abort.abort());
    const seen: { kind: string; name: string; state: number; revision: bigint }[] = [];
    const reading = (async () => {
      for await (const { change, revision } of world.client.endpoints.watchEndpoints(
        {},
        { signal: abort.signal },
      )) {
        if (change?.$case === "sync") seen.push({ kind: "sync", name: "", state: 0, revision });
        else if (change !== undefined) {
          const { $case: kind, value } = change;
          seen.push({ kind, name: value.spec?.name ?? "", state: value.state, revision });
        }
      }
    })();
    await eventually("the snapshot is complete", () => seen.some(({ kind }) => kind === "sync"));
    t.deepEqual(
      seen.map(({ kind, name }) => `${kind} ${name}`.trim()),
      ["upsert default/pod1", "upsert default/pod2", "sync"],
    );
    seen.length = 0;
    const namespace = await addNamespace(t, world);
    const endpoint = await createEndpoint(world, specFor(namespace));
    await world.client.endpoints.updateEndpoint({
      endpoint: byId(endpoint.id),
      labels: undefined,
      policy: ingress(allowFrom(anyone)),
    });
    await deleteEndpoint(world, endpoint);
    await eventually("the deletion is seen", () => seen.some(({ kind }) => kind === "delete"));
    abort.abort();
    await reading;
    t.true(seen.every(({ name }) => name === endpoint.spec!.name));
    const states = seen.filter(({ kind }) => kind === "upsert").map(({ state }) => state);
    const distinct = states.filter((state, index) => state !== states[index - 1]);
    t.deepEqual(distinct, [CREATING, READY, REGENERATING, READY, DISCONNECTING]);
    t.is(seen.at(-1)?.kind, "delete");
    const revisions = seen.map(({ revision }) => revision);
    t.deepEqual(
      revisions,
      [...revisions].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  });

  // Last, for where it is not refused the pod loses its programs to a stranger.
  test("another endpoint's interface cannot be adopted", async (t, world) => {
    const before = await takeInventory(world);
    const { endpoint, netns } = world.pod("pod1");
    for (const hostInterface of [endpoint.hostInterface, "cilium_host"]) {
      const spec = { ...specFor("thief"), netns, hostInterface };
      const { status, text } = await refusal(createEndpoint(world, spec));
      t.true(["ALREADY_EXISTS", "FAILED_PRECONDITION"].includes(status), status);
      t.true(text.includes(hostInterface), text);
    }
    t.deepEqual(await takeInventory(world), before);
    t.true(await reaches(world, "outside", endpoint.ipv4));
  });
});
