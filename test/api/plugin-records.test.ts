import { type ServiceError, status } from "@grpc/grpc-js";
import test from "ava";
import { RefusalError } from "../../src/cells/errors.ts";
import {
  LostRecordsSource,
  PluginRecordFieldType,
  StreamPluginRecordsRequest,
  type StreamPluginRecordsResponse,
} from "../../src/gen/waggle/v1/plugin.ts";
import { makePlugin } from "./fake-cells.ts";
import { call, failure, serve, violations } from "./harness.ts";

const at = new Date("2026-01-02T03:04:05.000Z");
const layout = { map: "flows", fields: [{ name: "port", offset: 2, type: "be16", size: 2 }] } as const;

type Served = Awaited<ReturnType<typeof serve>>;

function open(
  { plugins }: Served,
  map = "flows",
  plugin = "audit",
): AsyncIterator<StreamPluginRecordsResponse> {
  const stream = plugins.streamPluginRecords(StreamPluginRecordsRequest.fromPartial({ plugin, map }));
  return stream[Symbol.asyncIterator]() as AsyncIterator<StreamPluginRecordsResponse>;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("a plugin's layouts of records are part of it", async (t) => {
  const { plugins, cells } = await serve(t);
  cells.plugins.table.upsert(makePlugin("audit"));
  const { plugin } = await call(plugins, plugins.getPlugin, { name: "audit" });
  t.deepEqual(plugin?.records, [
    {
      map: "flows",
      fields: [{ name: "port", offset: 2, type: PluginRecordFieldType.BE16, size: 2 }],
    },
  ]);
});

test("records are streamed as they come, with the layout before and losses in between", async (t) => {
  const served = await serve(t);
  const { records } = served.cells;
  const items = open(served);
  const next = async () => (await items.next()).value as StreamPluginRecordsResponse;
  await until(() => records.messages.observed);
  t.deepEqual(records.read, ["audit/flows"]);
  records.messages.next({ kind: "layout", at, layout });
  const first = await next();
  t.deepEqual(first.receivedAt, at);
  t.deepEqual(first.event, {
    $case: "layout",
    value: {
      map: "flows",
      fields: [{ name: "port", offset: 2, type: PluginRecordFieldType.BE16, size: 2 }],
    },
  });
  records.messages.next({ kind: "record", at, data: Buffer.from("abcd") });
  t.deepEqual((await next()).event, {
    $case: "record",
    value: { data: Buffer.from("abcd"), cpu: undefined },
  });
  records.messages.next({ kind: "record", at, data: Buffer.from("ef"), cpu: 0 });
  t.deepEqual((await next()).event, { $case: "record", value: { data: Buffer.from("ef"), cpu: 0 } });
  records.messages.next({ kind: "lost", at, count: 9 });
  t.deepEqual((await next()).event, {
    $case: "lost",
    value: { count: 9n, source: LostRecordsSource.KERNEL },
  });
  records.messages.complete();
  t.true((await items.next()).done);
});

for (const [what, limits, size] of [
  ["number", { monitorBuffer: 10 }, 100],
  ["size", {}, 512 * 1024],
] as const) {
  test(`a slow reader loses records beyond a certain ${what}, and learns how many`, async (t) => {
    const served = await serve(t, { limits });
    const { records } = served.cells;
    const items = open(served);
    await until(() => records.messages.observed);
    const sent = 100;
    // All in one turn: nothing can be handed over in between.
    for (let n = 0; n < sent; n++) {
      const data = Buffer.alloc(size);
      data.writeUInt32LE(n);
      records.messages.next({ kind: "record", at, data });
    }
    await new Promise((resolve) => setImmediate(resolve));
    records.messages.complete();
    let got = 0;
    let lost = 0n;
    for (;;) {
      const { value, done } = await items.next();
      if (done === true) break;
      const { event } = value;
      if (event?.$case === "record") got++;
      if (event?.$case === "lost") {
        t.is(event.value.source, LostRecordsSource.READER);
        lost += event.value.count;
      }
    }
    t.is(got, what === "number" ? 10 : 8);
    t.is(Number(lost), sent - got);
  });
}

test("names are checked, and what the cell refuses reaches the caller", async (t) => {
  const served = await serve(t);
  const refused = await failure(open(served, "a b", "Upper").next());
  t.deepEqual(Object.keys(violations(refused)), ["plugin", "map"]);
  t.is((await failure(open(served, "nothing").next())).code, status.NOT_FOUND);

  const items = open(served);
  await until(() => served.cells.records.messages.observed);
  const next = items.next();
  const upgraded = new RefusalError("ABORTED", "plugin audit was upgraded: read again");
  served.cells.records.messages.error(upgraded);
  const ended: ServiceError = await failure(next);
  t.is(ended.code, status.ABORTED);
  t.is(ended.details, upgraded.message);
});

test("a reader that leaves lets go of the map", async (t) => {
  const served = await serve(t);
  const { messages } = served.cells.records;
  const { plugins } = served;
  const request = StreamPluginRecordsRequest.fromPartial({ plugin: "audit", map: "flows" });
  const stream = plugins.streamPluginRecords(request);
  stream.on("error", () => undefined);
  await until(() => messages.observed);
  stream.cancel();
  await until(() => !messages.observed);
  t.pass();
});
