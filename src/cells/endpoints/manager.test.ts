import test from "ava";
import { failEachCall, fakeNode, podSpec, writePlugin } from "../../../test/cells/fake-node.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { ipBytes } from "../../datapath/address.ts";
import { DatapathToken } from "../datapath/index.ts";
import { RefusalError } from "../errors.ts";
import { NodeNetworking } from "../node-config/index.ts";

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
  node.kernel.failNext("update", "ENOMEM", { object: "waggle_endpoints" });
  await t.throwsAsync(node.endpoints.update(id, { labels: { app: "other" } }), { message: /ENOMEM/ });
  const { state, stateReason, spec } = node.endpoints.get(id)!;
  t.is(state, "not-ready");
  t.regex(stateReason, /endpoint default\/web: update map waggle_endpoints.*ENOMEM/);
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
  for (const own of ["cilium_host", "cilium_net", "cilium_vxlan", "eth0"]) {
    await t.throwsAsync(node.endpoints.create(podSpec("other", { hostInterface: own })), {
      message: `${own} is a device of the node and no pod's`,
    });
  }
});

test("a pod has an address, a gateway and routes of each family, with the room that the tunnel leaves", async (t) => {
  const node = await fakeNode(t);
  const spec = podSpec("web", { ipv6: "FD00:10:0:1::77" });
  const { ipv4, ipv6, nodeMac } = await node.endpoints.create(spec);
  t.is(ipv6, "fd00:10:0:1::77");
  const pod = node.hive.get(DatapathToken).openNamespace(spec.netns);
  t.teardown(() => pod.close());
  const made = (await pod.net.routes()).filter(({ protocol }) => protocol === 87);
  const routes = made.map(({ destination, gateway = "", source = "", mtu = 0 }) =>
    [destination, gateway, source, mtu].join(" "),
  );
  t.deepEqual(routes, [
    "10.0.1.1/32   0",
    `10.0.1.0/24 10.0.1.1 ${ipv4} 1500`,
    `0.0.0.0/0 10.0.1.1 ${ipv4} 1450`,
    "fd00:10:0:1::1/128   0",
    `fd00:10:0:1::/64 fd00:10:0:1::1 ${ipv6} 1500`,
    `::/0 fd00:10:0:1::1 ${ipv6} 1450`,
  ]);
  t.deepEqual(
    (await pod.net.neighbours()).map(({ ifindex: _, ...gateway }) => gateway),
    ["10.0.1.1", "fd00:10:0:1::1"].map((address) => ({
      address,
      mac: nodeMac,
      permanent: true,
      protocol: 87,
    })),
  );
  t.is(await pod.net.getSysctl("ipv6/conf/eth0/addr_gen_mode"), "1");
  const { lxc, ipcache } = node.inventory();
  for (const list of [lxc, ipcache])
    t.is(list.filter((row) => row.includes(ipBytes(ipv6).toString("hex"))).length, 1);
  for (const [wanted, message] of [
    ["fd00:10:0:1::77", /fd00:10:0:1::77 is taken by default\/web/],
    ["fd00:10:0:1::1", /taken by the router/],
    ["fd00:10:0:2::5", /no address for a pod in fd00:10:0:1::\/64/],
    ["10.0.1.9", /no IPv6 address/],
  ] as const) {
    await t.throwsAsync(node.endpoints.create(podSpec("other", { ipv6: wanted })), { message }, wanted);
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

test("a pod's devices that somebody deletes are made anew, as they were", async (t) => {
  const node = await fakeNode(t);
  const before = await node.endpoints.create(podSpec("web"));
  const inventory = node.inventory();
  const datapath = node.hive.get(DatapathToken);
  await datapath.net.deleteLink(before.ifindex);
  await eventually("the pod is back", () => {
    const now = node.endpoints.get(before.id);
    return now?.state === "ready" && now.generation > before.generation;
  });
  const { ifindex, mac, nodeMac, ipv6 } = node.endpoints.get(before.id)!;
  t.deepEqual(
    { ifindex, mac, nodeMac, ipv6 },
    { ifindex: before.ifindex, mac: before.mac, nodeMac: before.nodeMac, ipv6: before.ipv6 },
  );
  t.deepEqual(node.inventory(), inventory);
  node.chains();
});

test("the pods' programs follow the node's devices to other numbers, and no further", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  const podPrograms = () =>
    node.loader
      .programs()
      .filter(({ attachment }) => attachment === "lxc")
      .map(({ id }) => id);
  const before = podPrograms();
  const { net } = node.hive.get(DatapathToken);
  const network = node.hive.get(NodeNetworking);
  const { host } = network.config;
  await net.deleteLink(host.ifindex);
  await eventually("cilium_host is back", async () => (await net.linkByName("cilium_host"))?.up);
  t.is(network.config.host.ifindex, host.ifindex);
  await eventually("its programs are back", () =>
    node.kernel.links.some(({ ifindex }) => ifindex === host.ifindex),
  );
  t.deepEqual(podPrograms(), before, "nothing that they know has changed");
  // Somebody is quicker: the number is taken.
  await net.deleteLink(host.ifindex);
  await net.createVeth({ name: "x0", peerName: "x1", mtu: 1500, ifindex: host.ifindex });
  await eventually("the pods' programs know the new number", () => podPrograms()[0] !== before[0]);
  t.not(network.config.host.ifindex, host.ifindex);
  node.chains();
});
