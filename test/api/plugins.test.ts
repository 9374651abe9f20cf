import { status } from "@grpc/grpc-js";
import test from "ava";
import {
  AttachmentPolicy,
  ListChainsRequest,
  ListPluginMapEntriesRequest,
  PlanChainsRequest,
  PluginConfigType,
  RegisterPluginRequest,
  UpdatePluginMapEntriesRequest,
} from "../../src/gen/waggle/v1/plugin.ts";
import { makePlugin } from "./fake-cells.ts";
import { call, failure, serve, violations } from "./harness.ts";

const zero = { packets: 0n, next: 0n, pass: 0n, drop: 0n, redirect: 0n, other: 0n, missed: 0n };

test("a plugin is registered with what the caller asked for", async (t) => {
  const { plugins, cells } = await serve(t);
  const request = RegisterPluginRequest.fromPartial({
    directory: "/plugins/cidr-drop",
    enable: true,
    priority: -5,
    config: { limit: "0xff" },
    replaceMaps: true,
  });
  const { plugin } = await call(plugins, plugins.registerPlugin, request);
  const [directory, options] = cells.plugins.registrations[0] ?? [];
  t.is(directory, "/plugins/cidr-drop");
  t.deepEqual({ ...options }, { enable: true, priority: -5, config: { limit: "0xff" }, replaceMaps: true });
  t.is(plugin?.name, "cidr-drop");
  t.is(plugin?.priority, -5);
  t.is(plugin?.manifestPriority, 100);
  t.is(plugin?.attachmentPolicy, AttachmentPolicy.BEST_EFFORT);
  t.deepEqual(plugin?.hooks, [
    { point: "to_container_pre_ct_v4", before: [], after: ["audit"], rewritesPackets: true },
  ]);
  t.deepEqual(plugin?.config[0], {
    name: "limit",
    type: PluginConfigType.U64,
    defaultValue: 5n,
    min: 0n,
    max: 2n ** 64n - 1n,
    description: "most",
    value: 2n ** 63n,
  });
  t.is(plugin?.maps[0]?.typeName, "lpm_trie");

  const plain = RegisterPluginRequest.fromPartial({ directory: "/plugins/other" });
  await call(plugins, plugins.registerPlugin, plain);
  t.false("priority" in (cells.plugins.registrations[1]?.[1] ?? {}), "no priority means the manifest's");
});

test("wrong directories, priorities, values and names are refused", async (t) => {
  const { plugins } = await serve(t);
  const request = RegisterPluginRequest.fromPartial({
    directory: "plugins/x",
    priority: 1_000_001,
    config: { "not a name": "1", limit: "many" },
  });
  t.deepEqual(violations(await failure(call(plugins, plugins.registerPlugin, request))), {
    directory: '"plugins/x" is not an absolute path',
    priority: "1000001 is not between -1000000 and 1000000",
    'config["not a name"]': "the name is not a C identifier",
    'config["limit"]': '"many" is not a number in decimal or 0x hexadecimal, true or false',
  });
  for (const name of ["", "Upper", "a/b", "-a", "x".repeat(64)]) {
    const error = await failure(call(plugins, plugins.enablePlugin, { name }));
    t.deepEqual(Object.keys(violations(error)), ["name"]);
  }
  t.is((await failure(call(plugins, plugins.enablePlugin, { name: "absent" }))).code, status.NOT_FOUND);
});

test("a plugin is enabled, configured, disabled and unregistered", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("audit"));
  const name = "audit";
  t.true((await call(plugins, plugins.enablePlugin, { name })).plugin?.enabled);
  const configured = await call(plugins, plugins.configurePlugin, { name, priority: 0, config: {} });
  t.is(configured.plugin?.priority, 0);
  const nothing = await failure(
    call(plugins, plugins.configurePlugin, { name, priority: undefined, config: {} }),
  );
  t.is(violations(nothing).config, "nothing to change: set priority, config or both");
  t.false((await call(plugins, plugins.disablePlugin, { name })).plugin?.enabled);
  t.deepEqual(
    (await call(plugins, plugins.listPlugins, { pageSize: 0, pageToken: "" })).plugins.map((one) => one.name),
    ["audit"],
  );
  await call(plugins, plugins.unregisterPlugin, { name });
  t.is((await failure(call(plugins, plugins.getPlugin, { name }))).code, status.NOT_FOUND);
});

test("chains are found by attachment, hook point and plugin", async (t) => {
  const { plugins, cells } = await serve(t);
  const chain = (attachment: string, hook: string, ...names: string[]) => ({
    attachment,
    hook,
    links: names.map((plugin, index) => ({ plugin, version: "1.0.0", programId: index, rank: index })),
    target: "tail_ct_ingress_v4",
    unresolved: ["audit BEFORE firewall"],
    skipped: [{ plugin: "bad", reason: "R1 is bad" }],
  });
  cells.hooks.chainsNow = [
    chain("lxc-2", "to_container_pre_ct_v4", "audit"),
    chain("lxc-1", "to_container_pre_policy_v4", "audit", "firewall"),
    chain("lxc-1", "to_container_pre_ct_v4", "firewall"),
  ];
  const list = async (filter: Parameters<typeof ListChainsRequest.fromPartial>[0]) =>
    (await call(plugins, plugins.listChains, ListChainsRequest.fromPartial(filter))).chains.map(
      ({ attachment, hook }) => `${attachment} ${hook}`,
    );
  t.deepEqual(await list({}), [
    "lxc-1 to_container_pre_ct_v4",
    "lxc-1 to_container_pre_policy_v4",
    "lxc-2 to_container_pre_ct_v4",
  ]);
  t.is((await list({ attachment: "lxc-1" })).length, 2);
  t.is((await list({ plugin: "audit" })).length, 2);
  t.is((await list({ hook: "to_container_pre_ct_v4", plugin: "audit" })).length, 1);
  const one = { attachment: "lxc-1", hook: "to_container_pre_policy_v4" };
  const found = await call(plugins, plugins.getChain, one);
  t.deepEqual(
    found.chain?.links.map(({ plugin }) => plugin),
    ["audit", "firewall"],
  );
  t.deepEqual(found.chain?.skipped, [{ plugin: "bad", reason: "R1 is bad" }]);
  const none = await failure(call(plugins, plugins.getChain, { ...one, attachment: "lxc-9" }));
  t.is(none.code, status.NOT_FOUND);
  t.is(none.details, 'attachment "lxc-9" does not exist');
  const absent = await failure(list({ attachment: "lxc-9" }));
  t.deepEqual([absent.code, absent.details], [none.code, none.details]);
  t.deepEqual(await list({ attachment: "lxc" }), [], "all pods, of which there may be none");
  const wrong = await failure(call(plugins, plugins.getChain, { attachment: "../etc", hook: "a b" }));
  t.deepEqual(Object.keys(violations(wrong)), ["attachment", "hook"]);
});

test("a plan tells the order that a change would give, and changes nothing", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("first", { enabled: true, priority: 1 }));
  cells.plugins.table.upsert(makePlugin("second", { priority: 2 }));
  cells.plugins.table.upsert(makePlugin("third", { enabled: true, priority: 3 }));
  const plan = (request: Parameters<typeof PlanChainsRequest.fromPartial>[0]) =>
    call(plugins, plugins.planChains, PlanChainsRequest.fromPartial(request));
  const order = async (request: Parameters<typeof PlanChainsRequest.fromPartial>[0]) =>
    (await plan(request)).chains[0]?.plugins;
  t.deepEqual(await order({}), ["first", "third"]);
  t.deepEqual(await order({ enable: ["second"] }), ["first", "second", "third"]);
  t.deepEqual(await order({ enable: ["second"], disable: ["first"] }), ["second", "third"]);
  t.deepEqual(await order({ priorities: { first: 9 } }), ["third", "first"]);
  t.is((await failure(plan({ enable: ["fourth"] }))).code, status.NOT_FOUND);
  const both = await failure(plan({ enable: ["first"], disable: ["first"] }));
  t.is(violations(both)["disable[0]"], "first is in enable, too");
  t.false(cells.plugins.table.get("second")?.enabled);
});

test("a plugin's counters are given one by one and as a sum", async (t) => {
  const { plugins, cells, datapath } = await serve(t);
  cells.plugins.table.upsert(makePlugin("audit"));
  const hook = "to_container_pre_ct_v4";
  cells.hooks.countersNow = [
    { ...zero, plugin: "audit", hook, attachment: "lxc-1", packets: 2n ** 62n, next: 3n },
    { ...zero, plugin: "audit", hook, attachment: "lxc-2", packets: 1n, drop: 1n },
    { ...zero, plugin: "other", hook, attachment: "lxc-2", packets: 9n },
  ];
  const stats = await call(plugins, plugins.getPluginStats, { name: "audit", attachment: "" });
  t.deepEqual(stats.total, {
    ...zero,
    plugin: "audit",
    hook: "",
    attachment: "",
    packets: 2n ** 62n + 1n,
    next: 3n,
    drop: 1n,
  });
  t.is(stats.counters.length, 2);
  const filter = { plugin: "", attachment: "lxc-2", pageSize: 0, pageToken: "" };
  const counters = await call(datapath, datapath.listHookCounters, filter);
  t.deepEqual(
    counters.counters.map(({ plugin }) => plugin),
    ["audit", "other"],
  );
});

test("an LPM map of a plugin is filled, listed and emptied by prefix", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("cidr-drop"));
  const target = { plugin: "cidr-drop", map: "denied" };
  const update = (...cidrs: string[]) =>
    call(
      plugins,
      plugins.updatePluginMapEntries,
      UpdatePluginMapEntriesRequest.fromPartial({
        ...target,
        entries: cidrs.map((value) => ({ key: { key: { $case: "cidr" as const, value } } })),
      }),
    );
  t.is((await update("192.0.2.0/24", "10.0.0.0/8", "198.51.100.7")).count, 3);
  t.deepEqual(
    cells.plugins.opened.denied?.lookup(Buffer.from([24, 0, 0, 0, 192, 0, 2, 0])),
    Buffer.from([1]),
  );
  const listed = await call(
    plugins,
    plugins.listPluginMapEntries,
    ListPluginMapEntriesRequest.fromPartial({ ...target, pageSize: 2 }),
  );
  t.deepEqual(
    listed.entries.map(({ key }) => key?.key),
    [
      { $case: "cidr", value: "10.0.0.0/8" },
      { $case: "cidr", value: "192.0.2.0/24" },
    ],
  );
  const rest = await call(plugins, plugins.listPluginMapEntries, {
    ...target,
    pageSize: 2,
    pageToken: listed.nextPageToken,
  });
  t.deepEqual(
    rest.entries.map(({ key }) => key?.key),
    [{ $case: "cidr", value: "198.51.100.7/32" }],
  );
  const keys = ["10.0.0.0/8", "203.0.113.0/24"].map((value) => ({
    key: { $case: "cidr" as const, value },
  }));
  t.is((await call(plugins, plugins.deletePluginMapEntries, { ...target, keys })).count, 1);
});

test("an LPM map over IPv6 takes prefixes of that family, and no others", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("cidr-drop"));
  const target = { plugin: "cidr-drop", map: "denied6" };
  const update = (value: string) =>
    call(
      plugins,
      plugins.updatePluginMapEntries,
      UpdatePluginMapEntriesRequest.fromPartial({
        ...target,
        entries: [{ key: { key: { $case: "cidr" as const, value } } }],
      }),
    );
  t.is((await update("fd00:10::/32")).count, 1);
  const key = Buffer.alloc(20);
  key.set([32, 0, 0, 0, 0xfd, 0, 0, 0x10]);
  t.deepEqual(cells.plugins.opened.denied6?.lookup(key), Buffer.from([1]));
  const listed = await call(
    plugins,
    plugins.listPluginMapEntries,
    ListPluginMapEntriesRequest.fromPartial(target),
  );
  t.deepEqual(
    listed.entries.map((entry) => entry.key?.key),
    [{ $case: "cidr", value: "fd00:10::/32" }],
  );
  t.deepEqual(violations(await failure(update("10.0.0.0/8"))), {
    "entries[0].key.cidr": '"10.0.0.0/8" is not an IPv6 prefix such as fd00::/64, or an address',
  });
});

test("keys and values that do not fit a plugin's map are refused, and nothing is written", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("cidr-drop"));
  const write = (map: string, entries: object[]) =>
    failure(
      call(
        plugins,
        plugins.updatePluginMapEntries,
        UpdatePluginMapEntriesRequest.fromPartial({ plugin: "cidr-drop", map, entries }),
      ),
    );
  const raw = (bytes: number[]) => ({ key: { $case: "raw", value: Buffer.from(bytes) } });
  const cidr = (value: string) => ({ key: { $case: "cidr", value } });
  const wrong = await write("table", [
    { key: raw([1, 2]), value: Buffer.alloc(4) },
    { key: raw([1]), value: Buffer.alloc(4) },
    { key: raw([1, 2]), value: Buffer.alloc(5) },
    { key: cidr("10.0.0.0/8"), value: Buffer.alloc(4) },
    { value: Buffer.alloc(4) },
  ]);
  t.deepEqual(violations(wrong), {
    "entries[1].key.raw": "1 bytes; keys of table have 2",
    "entries[2].value": "5 bytes; values of table have 4",
    "entries[3].key.cidr": "table is no LPM trie over addresses but a hash with keys of 2 bytes",
    "entries[4].key": "required: raw or cidr",
  });
  t.is(cells.plugins.opened.table?.lookup(Buffer.from([1, 2])), undefined);
  t.regex(
    violations(await write("denied", [{ key: cidr("10.0.0.1/8") }]))["entries[0].key.cidr"] ?? "",
    /host bits/,
  );
  t.deepEqual(violations(await write("table", [])), { entries: "required" });

  t.is((await write("cilium_lxc", [])).code, status.NOT_FOUND, "only the plugin's own maps are reached");
  t.is((await write("__proto__", [])).code, status.NOT_FOUND);
  const perCpu = await write("counts", [{ key: raw([1, 2, 3, 4]), value: Buffer.alloc(8) }]);
  t.is(perCpu.code, status.FAILED_PRECONDITION);
  const keys = [{ key: { $case: "raw" as const, value: Buffer.alloc(4) } }];
  const array = await failure(
    call(plugins, plugins.deletePluginMapEntries, { plugin: "cidr-drop", map: "slots", keys }),
  );
  t.is(array.code, status.FAILED_PRECONDITION);
});

test("a full map is an exhausted resource", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("cidr-drop"));
  const entries = Array.from({ length: 11 }, (_, index) => ({
    key: { key: { $case: "raw" as const, value: Buffer.from([index, 0]) } },
    value: Buffer.alloc(4),
  }));
  const request = UpdatePluginMapEntriesRequest.fromPartial({ plugin: "cidr-drop", map: "table", entries });
  const error = await failure(call(plugins, plugins.updatePluginMapEntries, request));
  t.is(error.code, status.RESOURCE_EXHAUSTED);
  t.regex(error.details, /update map table/);
});
