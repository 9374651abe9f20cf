import { endianness } from "node:os";
import { type ServiceError, status } from "@grpc/grpc-js";
import test from "ava";
import type { DatapathEvent } from "../../src/datapath/events/index.ts";
import { lxcMap, policyEntry } from "../../src/datapath/maps/index.ts";
import { AttachmentKind, TrafficDirection } from "../../src/gen/waggle/v1/common.ts";
import {
  AttachMode,
  DatapathMapEntryState,
  HookPath,
  LostEventsSource,
  MonitorRequest,
  type MonitorResponse,
  VerdictAction,
} from "../../src/gen/waggle/v1/datapath.ts";
import { makePlugin } from "./fake-cells.ts";
import { call, failure, serve, violations } from "./harness.ts";

const frame = Buffer.from(
  "0a00000000010a000000000208004500003c1c4640004006b1e60a0001050a000109a028005000000001000000005002ffff00000000",
  "hex",
);
const header = { source: 12, hash: 0xabcd, originalLength: 1500, payload: frame };
const drop: DatapathEvent = {
  kind: "drop",
  ...header,
  reason: 133,
  reasonName: "Policy denied",
  extError: -2,
  sourceIdentity: 300,
  destinationIdentity: 301,
  destinationEndpoint: 7,
  file: 3,
  line: 99,
  ifindex: 5,
};
const at = new Date("2026-01-02T03:04:05.000Z");

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("maps are listed with their layouts; entries are shown in columns and in bytes", async (t) => {
  const { datapath, cells } = await serve(t);
  const { maps } = await call(datapath, datapath.listMaps, {});
  t.deepEqual(
    maps.map(({ name, typeName, listable }) => [name, typeName, listable]),
    [
      ["cilium_lxc", "hash", true],
      ["cilium_policy_00007", "lpm_trie", true],
      ["waggle_call_policy", "prog_array", false],
      ["waggle_scratch", "percpu_array", true],
    ],
  );
  const rawKey = Buffer.alloc(lxcMap.keySize);
  rawKey.set([10, 0, 1, 5]);
  rawKey[16] = 1;
  const rawValue = Buffer.alloc(lxcMap.valueSize);
  rawValue.writeUInt32LE(8, 0);
  rawValue.writeUInt16LE(51, 6);
  cells.maps.raw.cilium_lxc?.update(rawKey, rawValue);
  const list = await call(datapath, datapath.listMapEntries, {
    map: "cilium_lxc",
    pageSize: 0,
    pageToken: "",
  });
  const [entry] = list.entries;
  t.is(entry?.key, "10.0.1.5:0");
  t.regex(entry?.values[0] ?? "", /^id=51 +flags=0x0000 ifindex=8 /);
  t.deepEqual(entry?.rawKey, rawKey);
  const got = await call(datapath, datapath.getMapEntry, { map: "cilium_lxc", rawKey });
  t.deepEqual(got.entry, entry);

  const short = await failure(
    call(datapath, datapath.getMapEntry, { map: "cilium_lxc", rawKey: Buffer.alloc(3) }),
  );
  t.is(violations(short).raw_key, "3 bytes; keys of cilium_lxc have 20");
  const absent = { map: "cilium_lxc", rawKey: Buffer.alloc(20) };
  t.is((await failure(call(datapath, datapath.getMapEntry, absent))).code, status.NOT_FOUND);
  const list2 = (map: string) =>
    failure(call(datapath, datapath.listMapEntries, { map, pageSize: 0, pageToken: "" }));
  t.is((await list2("nothing")).code, status.NOT_FOUND);
  t.is((await list2("constructor")).code, status.NOT_FOUND);
  t.is((await list2("a b")).code, status.INVALID_ARGUMENT);
  t.is((await list2("waggle_call_policy")).code, status.FAILED_PRECONDITION);
});

test("entries tell how they stand with what is wanted, and wanted ones that are missing are shown", async (t) => {
  const { datapath, cells } = await serve(t);
  const entry = (address: number, lxcId: number) => {
    const key = Buffer.alloc(lxcMap.keySize);
    key.set([10, 0, 1, address]);
    key[16] = 1;
    const value = Buffer.alloc(lxcMap.valueSize);
    value.writeUInt16LE(lxcId, 6);
    return { key, value };
  };
  const [inPlace, failing, gone, absent] = [entry(1, 1), entry(2, 2), entry(3, 3), entry(4, 4)];
  for (const { key, value } of [inPlace, failing, gone]) cells.maps.raw.cilium_lxc?.update(key, value);
  const [states] = cells.reconciled;
  states?.known.set(inPlace.key.toString("hex"), { state: "sync" });
  const failed = { state: "pending", error: "update map cilium_lxc: E2BIG" } as const;
  states?.known.set(failing.key.toString("hex"), failed);
  if (states !== undefined) {
    states.wanted = [
      { ...failing, status: failed },
      { ...absent, status: { state: "pending" } },
    ];
  }
  const list = async (pageToken: string) =>
    call(datapath, datapath.listMapEntries, { map: "cilium_lxc", pageSize: 2, pageToken });
  const first = await list("");
  const second = await list(first.nextPageToken);
  t.is(second.nextPageToken, "");
  const rows = [...first.entries, ...second.entries];
  t.deepEqual(
    rows.map(({ key, state, error, missing }) => [key, state, error, missing]),
    [
      ["10.0.1.1:0", DatapathMapEntryState.SYNC, "", false],
      ["10.0.1.2:0", DatapathMapEntryState.PENDING, failed.error, false],
      ["10.0.1.3:0", DatapathMapEntryState.STALE, "", false],
      ["10.0.1.4:0", DatapathMapEntryState.PENDING, "", true],
    ],
  );
  t.regex(rows[3]?.values[0] ?? "", /^id=4 /);
  const got = await call(datapath, datapath.getMapEntry, { map: "cilium_lxc", rawKey: failing.key });
  t.is(got.entry?.error, failed.error);
  const missing = await failure(
    call(datapath, datapath.getMapEntry, { map: "cilium_lxc", rawKey: absent.key }),
  );
  t.is(missing.code, status.NOT_FOUND);
});

test("an endpoint's policy map is read like any other", async (t) => {
  const { datapath, cells } = await serve(t);
  const key = { identity: 300, direction: "ingress", protocol: 6, port: 80 } as const;
  cells.policies.map.update(key, policyEntry(key, false));
  const map = "cilium_policy_00007";
  const list = () => call(datapath, datapath.listMapEntries, { map, pageSize: 0, pageToken: "" });
  const [entry] = (await list()).entries;
  t.is(entry?.key, "Ingress: 300 80/TCP");
  t.regex(entry?.values[0] ?? "", /^Allow /);
  t.is(entry?.state, DatapathMapEntryState.SYNC);
  cells.policies.lagging = new Error("no room");
  const [lagging] = (await list()).entries;
  t.deepEqual([lagging?.state, lagging?.error], [DatapathMapEntryState.PENDING, "no room"]);
  const absent = { map: "cilium_policy_00008", pageSize: 0, pageToken: "" };
  t.is((await failure(call(datapath, datapath.listMapEntries, absent))).code, status.NOT_FOUND);
});

test("an array is listed by index, without the slots that nobody has written to", async (t) => {
  const { datapath, cells } = await serve(t);
  const map = cells.maps.raw.waggle_scratch!;
  const key = (index: number): Buffer => {
    const bytes = Buffer.alloc(4);
    if (endianness() === "LE") bytes.writeUInt32LE(index);
    else bytes.writeUInt32BE(index);
    return bytes;
  };
  // In the order of bytes 256 would come first, and 2 last.
  const written = [2, 1, 256, 300];
  for (let index = 0; index < 400; index++)
    map.update(key(index), Buffer.alloc(8, Number(written.includes(index))));
  const list = (pageToken: string) =>
    call(datapath, datapath.listMapEntries, { map: "waggle_scratch", pageSize: 3, pageToken });
  const first = await list("");
  const second = await list(first.nextPageToken);
  t.deepEqual(
    [...first.entries, ...second.entries].map(({ rawKey }) => rawKey),
    [1, 2, 256, 300].map(key),
  );
  t.is(second.nextPageToken, "");
  const empty = await call(datapath, datapath.getMapEntry, { map: "waggle_scratch", rawKey: key(3) });
  t.deepEqual(empty.entry?.rawValue, Buffer.alloc(8), "a slot that is asked for is shown");
});

test("a map whose layout nobody knows is shown in hexadecimal, and stands nowhere", async (t) => {
  const { datapath, cells } = await serve(t);
  cells.maps.raw.waggle_scratch?.update(Buffer.alloc(4), Buffer.from("abcdabcd"));
  const request = { map: "waggle_scratch", pageSize: 0, pageToken: "" };
  const [entry] = (await call(datapath, datapath.listMapEntries, request)).entries;
  t.is(entry?.key, "00000000");
  t.deepEqual(entry?.values, ["6162636461626364"]);
  t.is(entry?.state, DatapathMapEntryState.UNSPECIFIED);
});

test("programs, attachments, hook points and metrics are shown in a stable order", async (t) => {
  const { datapath, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("audit", { enabled: true }));
  cells.plugins.table.upsert(makePlugin("idle"));
  const programs = await call(datapath, datapath.listPrograms, {
    attachment: "",
    pageSize: 0,
    pageToken: "",
  });
  t.deepEqual(
    programs.programs.map(({ attachment }) => attachment),
    ["lxc-1", "lxc-2"],
  );
  const { attachments } = await call(datapath, datapath.listAttachments, { settled: false });
  const lxc1 = {
    name: "lxc-1",
    kind: AttachmentKind.LXC,
    ifindex: 9,
    device: "lxc1",
    ingress: AttachMode.TCX,
    egress: AttachMode.CLSACT,
  };
  t.deepEqual(attachments, [lxc1]);
  const settled = call(datapath, datapath.listAttachments, { settled: true });
  // One that is asked later has its answer, and this one has not.
  const first = await Promise.race([settled, call(datapath, datapath.listHookPoints, {})]);
  t.true("hookPoints" in first);
  cells.loader.settling.resolve();
  t.deepEqual((await settled).attachments, [lxc1]);
  const { hookPoints } = await call(datapath, datapath.listHookPoints, {});
  const hook = hookPoints.find(({ name }) => name === "to_container_pre_ct_v4");
  t.is(hook?.path, HookPath.POD_INGRESS);
  t.is(hook?.pluginSource, "hooks/lxc.c");
  t.deepEqual(hook?.plugins, ["audit"]);
  const { metrics } = await call(datapath, datapath.getMetrics, {});
  t.deepEqual(
    metrics.map(({ reason, direction, packets }) => [reason, direction, packets]),
    [
      [0, TrafficDirection.EGRESS, 2n ** 60n],
      [133, TrafficDirection.INGRESS, 3n],
    ],
  );
});

test("the monitor streams decoded events with the packet's headers in words", async (t) => {
  const { datapath, cells } = await serve(t);
  const stream = datapath.monitor(MonitorRequest.fromPartial({ verdicts: true, endpointId: 12 }));
  const items = stream[Symbol.asyncIterator]() as AsyncIterator<MonitorResponse>;
  await until(() => cells.monitor.filters.length === 1);
  t.deepEqual(
    { ...cells.monitor.filters[0] },
    { drops: false, traces: false, verdicts: true, endpointId: 12 },
  );
  const send = (event: DatapathEvent) => cells.monitor.messages.next({ kind: "event", at, cpu: 3, event });
  send(drop);
  const { value: first } = await items.next();
  t.deepEqual(first.at, at);
  t.is(first.cpu, 3);
  t.is(first.event?.$case, "drop");
  if (first.event?.$case !== "drop") return;
  t.is(first.event.value.reasonName, "Policy denied");
  t.is(first.event.value.extendedError, -2);
  t.deepEqual(first.event.value.packet?.data, frame);
  t.deepEqual(first.event.value.packet?.summary, {
    sourceIp: "10.0.1.5",
    destinationIp: "10.0.1.9",
    protocol: 6,
    sourcePort: 41_000,
    destinationPort: 80,
    text: "10.0.1.5:41000 -> 10.0.1.9:80 tcp SYN",
  });
  t.regex(first.text, /^xx drop \(Policy denied, -2\)/);

  send({
    kind: "trace",
    ...header,
    point: "to-endpoint",
    sourceIdentity: 300,
    destinationIdentity: 301,
    destinationEndpoint: 7,
    connection: "reply",
    ifindex: 9,
    originalIp: undefined,
  });
  const { value: second } = await items.next();
  t.is(second.event?.$case === "trace" && second.event.value.observationPoint, "to-endpoint");
  send({
    kind: "verdict",
    ...header,
    remoteIdentity: 2,
    action: "deny",
    verdict: -133,
    reasonName: "Policy denied",
    direction: "egress",
    destinationPort: 80,
    protocol: 6,
    ipv6: false,
    match: "L3-L4",
    audited: true,
    authType: 0,
  });
  const { value: third } = await items.next();
  t.is(third.event?.$case === "verdict" && third.event.value.action, VerdictAction.DENY);
  cells.monitor.messages.next({ kind: "lost", at, count: 8 });
  const { value: fourth } = await items.next();
  t.deepEqual(fourth.event, { $case: "lost", value: { count: 8n, source: LostEventsSource.KERNEL } });
  stream.on("error", () => undefined);
  stream.cancel();
  await until(() => !cells.monitor.messages.observed);
  t.pass();
});

test("without a choice the monitor shows drops; a wrong endpoint is refused", async (t) => {
  const { datapath, cells } = await serve(t);
  const stream = datapath.monitor(MonitorRequest.fromPartial({}));
  stream.on("error", () => undefined);
  await until(() => cells.monitor.filters.length === 1);
  t.deepEqual({ ...cells.monitor.filters[0] }, { drops: true, traces: false, verdicts: false });
  stream.cancel();
  const wrong = datapath.monitor(MonitorRequest.fromPartial({ endpointId: 65_536 }));
  const error = await new Promise<ServiceError>((resolve) => {
    wrong.on("error", (reason) => resolve(reason as ServiceError));
    wrong.resume();
  });
  t.is(error.code, status.INVALID_ARGUMENT);
  t.deepEqual(Object.keys(violations(error)), ["endpoint_id"]);
});

test("a monitor reader that falls behind loses events, is told how many, and gets every other one", async (t) => {
  const { datapath, cells } = await serve(t, { limits: { monitorBuffer: 100 } });
  const stream = datapath.monitor(MonitorRequest.fromPartial({ drops: true }));
  const items = stream[Symbol.asyncIterator]() as AsyncIterator<MonitorResponse>;
  await until(() => cells.monitor.messages.observed);
  const total = 30_000;
  for (let index = 0; index < total; index++) {
    cells.monitor.messages.next({ kind: "event", at, cpu: 0, event: { ...drop, hash: index } });
    if (index % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  let lost = 0;
  let got = 0;
  let last = -1;
  while (got + lost < total) {
    const { value } = await items.next();
    if (value.event?.$case === "lost") {
      t.is(value.event.value.source, LostEventsSource.READER);
      lost += Number(value.event.value.count);
    } else if (value.event?.$case === "drop") {
      const hash = value.event.value.packet?.hash ?? -1;
      t.is(hash, got + lost, "the gap is reported where it is");
      t.true(hash > last);
      last = hash;
      got++;
    }
  }
  t.is(got + lost, total);
  t.true(lost > 0);
  stream.on("error", () => undefined);
  stream.cancel();
});

test("a monitor reader that stalls is cut off, and nothing is kept for it", async (t) => {
  const { datapath, cells, runtime } = await serve(t, { limits: { monitorBuffer: 100, readerTimeout: 300 } });
  const stream = datapath.monitor(MonitorRequest.fromPartial({ drops: true }));
  const items = stream[Symbol.asyncIterator]() as AsyncIterator<MonitorResponse>;
  await until(() => cells.monitor.messages.observed);
  const feed = setInterval(() => {
    for (let index = 0; index < 2000; index++) {
      cells.monitor.messages.next({ kind: "event", at, cpu: 0, event: drop });
    }
  }, 10);
  t.teardown(() => clearInterval(feed));
  await items.next();
  await until(() => runtime.streams.used === 0);
  clearInterval(feed);
  t.false(cells.monitor.messages.observed);
  const drain = async () => {
    while (!(await items.next()).done);
  };
  t.is((await failure(drain())).code, status.RESOURCE_EXHAUSTED);
});
