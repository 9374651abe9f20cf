import test from "ava";
import { failEachCall, fakeNode, podSpec, writePlugin } from "../../../test/cells/fake-node.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { RefusalError } from "../errors.ts";

test("an endpoint is created with all that belongs to it, and deleted with all of it", async (t) => {
  const node = await fakeNode(t);
  const before = node.inventory();
  const web = await node.endpoints.create(podSpec("web"));
  t.is(web.state, "ready");
  t.is(node.endpoints.byName("default/web"), web);
  const chains = node.chains();
  t.is(Object.keys(chains).filter((name) => name.startsWith(`${web.ifindex} `)).length, 14);
  t.notDeepEqual(node.inventory(), before);
  await node.endpoints.delete(web.id);
  t.deepEqual(node.inventory(), before);
});

test("whichever call into the kernel fails, a failed creation leaves nothing", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  const neighbour = await node.endpoints.create(podSpec("neighbour"));
  const before = node.inventory();
  const chains = node.chains();
  let created = false;
  const calls = await failEachCall(
    node,
    async () => {
      created = false;
      await node.endpoints.create(podSpec("web"));
      created = true;
    },
    async ({ call, error }) => {
      // What a reconciler does it does again, and then the creation succeeds in spite of the failure.
      if (created) await node.endpoints.delete(node.endpoints.byName("default/web")!.id);
      else t.true(error instanceof Error, call);
      t.deepEqual(node.inventory(), before, call);
      t.deepEqual(node.chains(), chains, call);
    },
  );
  t.true(calls > 40, `${calls} calls`);
  t.is(node.endpoints.get(neighbour.id)?.state, "ready");
});

test("whichever call into the kernel fails, a deletion can be repeated until nothing is left", async (t) => {
  const node = await fakeNode(t);
  const before = node.inventory();
  const create = () => node.endpoints.create(podSpec("web"));
  let { id } = await create();
  await failEachCall(
    node,
    async () => {
      if (node.endpoints.get(id) !== undefined) await node.endpoints.delete(id);
    },
    async ({ call }) => {
      // A map that could not be written is written again a little later, and nothing is promised before.
      await eventually("the deletion succeeds", async () => {
        if (node.endpoints.get(id) !== undefined) await node.endpoints.delete(id);
        return true;
      });
      t.deepEqual(node.inventory(), before, call);
      ({ id } = await create());
    },
  );
  t.deepEqual(node.inventory(), before);
});

test("whichever call into the kernel fails, an update leaves an endpoint that works, and can be repeated", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  const { id } = await node.endpoints.create(podSpec("web"));
  const programs = node.inventory().programs;
  let turn = 0;
  const relabel = () => node.endpoints.update(id, { labels: { app: "web", turn: `${++turn}` } });
  await failEachCall(node, relabel, async ({ call, error }) => {
    node.chains();
    if (error === undefined) t.is(node.endpoints.get(id)?.state, "ready", call);
    await relabel();
    t.is(node.endpoints.get(id)?.state, "ready", call);
    t.deepEqual(node.inventory().programs, programs, call);
  });
});

test("an update that fails leaves the endpoint not ready, with the reason, until it is tried again", async (t) => {
  const node = await fakeNode(t);
  const { id } = await node.endpoints.create(podSpec("web"));
  node.kernel.failNext("load", "ENOMEM");
  await t.throwsAsync(node.endpoints.update(id, { labels: { app: "other" } }), { message: /ENOMEM/ });
  const { state, stateReason, spec } = node.endpoints.get(id)!;
  t.is(state, "not-ready");
  t.regex(stateReason, /endpoint default\/web: load .*ENOMEM/);
  t.deepEqual(spec.labels, { app: "other" }, "what is wanted is kept");
  t.regex(node.complaints().join(), /1 of 1 endpoints are not ready: default\/web/);
  // A change of plugins is reason to try again.
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  await eventually("the endpoint is ready", () => node.endpoints.get(id)?.state === "ready");
  t.deepEqual(node.complaints(), []);
});

test("a creation that is cancelled is taken back", async (t) => {
  const node = await fakeNode(t);
  const before = node.inventory();
  const abort = new AbortController();
  const creation = node.endpoints.create(podSpec("web"), abort.signal);
  abort.abort(new Error("changed my mind"));
  await t.throwsAsync(creation, { message: "changed my mind" });
  t.deepEqual(node.inventory(), before);
});

test("names, addresses and adopted interfaces belong to one endpoint alone", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web", { ipv4: "10.0.1.7" }));
  const refusal = async (spec: Parameters<typeof podSpec>[1], name: string, message: RegExp) => {
    const error = await t.throwsAsync(node.endpoints.create(podSpec(name, spec)), {
      instanceOf: RefusalError,
      message,
    });
    t.is((error as RefusalError).kind, "ALREADY_EXISTS");
  };
  await refusal({}, "web", /default\/web/);
  await refusal({ ipv4: "10.0.1.7" }, "other", /10\.0\.1\.7 is taken by default\/web/);
  await refusal({ hostInterface: "lxc1" }, "other", /interface lxc1 is taken by endpoint default\/web/);
  for (const own of ["cilium_host", "eth0"]) {
    await t.throwsAsync(node.endpoints.create(podSpec("other", { hostInterface: own })), {
      message: `${own} is a device of the node and no pod's`,
    });
  }
});

test("a namespace that is connected already keeps its default route", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  const before = node.inventory();
  const second = { ...podSpec("second"), netns: podSpec("web").netns, podInterface: "eth1" };
  await t.throwsAsync(node.endpoints.create(second), {
    instanceOf: RefusalError,
    message: /has a default route over eth0, which an endpoint would replace/,
  });
  t.deepEqual(node.inventory(), before);
});

test("regenerations that wait are one; who cancels waits no longer, and the others get theirs", async (t) => {
  const node = await fakeNode(t);
  const { id, generation } = await node.endpoints.create(podSpec("web"));
  const abort = new AbortController();
  const calls = [
    node.endpoints.regenerate(id, "a"),
    node.endpoints.regenerate(id, "b", abort.signal),
    node.endpoints.regenerate(id, "c"),
  ];
  abort.abort(new Error("no time"));
  const settled = await Promise.allSettled(calls);
  t.deepEqual(
    settled.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  t.is(node.endpoints.get(id)?.generation, generation + 1, "three calls, one load");
  t.is(node.endpoints.get(id)?.state, "ready");
});

test("many labels at once end as the last one asked for, with few loads", async (t) => {
  const node = await fakeNode(t);
  const { id, generation } = await node.endpoints.create(podSpec("web"));
  await Promise.all(
    Array.from({ length: 20 }, (_, turn) => node.endpoints.update(id, { labels: { turn: `${turn}` } })),
  );
  const { spec, generation: after, state } = node.endpoints.get(id)!;
  t.deepEqual(spec.labels, { turn: "19" });
  t.is(state, "ready");
  t.true(after - generation < 20, `${after - generation} loads for 20 updates`);
});

test("a restart adopts everything, and what the last run left unfinished is gone", async (t) => {
  const node = await fakeNode(t);
  const twin = await node.endpoints.create(podSpec("twin", { labels: { app: "web" } }));
  const before = node.inventory();
  const programs = node.kernel.programs.map(({ id }) => id);
  const web = await node.endpoints.create(podSpec("web"));
  await node.stop();
  await node.onDisk(async (state) => {
    const rows = state.collection<object>("endpoints");
    await rows.put(`${web.id}`, { ...rows.get(`${web.id}`), state: "disconnecting" });
  });
  await node.start();
  t.deepEqual(node.inventory(), before);
  t.deepEqual(
    node.kernel.programs.map(({ id }) => id),
    programs,
    "the twin's programs have not been touched",
  );
  t.is(node.endpoints.get(twin.id)?.identity, twin.identity);
  t.deepEqual(node.complaints(), []);
});

test("an unfinished removal that fails again keeps nobody else down", async (t) => {
  const node = await fakeNode(t);
  const web = await node.endpoints.create(podSpec("web"));
  const other = await node.endpoints.create(podSpec("other"));
  await node.stop();
  await node.onDisk(async (state) => {
    const rows = state.collection<object>("endpoints");
    await rows.put(`${web.id}`, { ...rows.get(`${web.id}`), state: "creating", identity: 0 });
  });
  node.kernel.failNext("deleteLink", "EBUSY");
  await node.start();
  t.is(node.endpoints.get(other.id)?.state, "ready");
  t.regex(node.endpoints.get(web.id)?.stateReason ?? "", /removal failed: .*EBUSY/);
  await node.endpoints.delete(web.id);
  t.is(node.endpoints.get(web.id), undefined);
});
