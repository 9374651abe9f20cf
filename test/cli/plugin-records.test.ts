import test from "ava";
import {
  LostRecordsSource,
  StreamPluginRecordsResponse,
  PluginRecordFieldType as Type,
} from "../../src/gen/waggle/v1/plugin.ts";
import { run } from "./fake-agent.ts";

const receivedAt = new Date("2026-01-02T03:04:05.678Z");
const layout = (fields: readonly (readonly [string, Type, number, number])[]): StreamPluginRecordsResponse =>
  StreamPluginRecordsResponse.fromPartial({
    receivedAt,
    event: {
      $case: "layout",
      value: {
        map: "seen",
        fields: fields.map(([name, type, offset, size]) => ({ name, type, offset, size })),
      },
    },
  });
const record = (hex: string): StreamPluginRecordsResponse =>
  StreamPluginRecordsResponse.fromPartial({
    receivedAt,
    event: { $case: "record", value: { data: Buffer.from(hex, "hex") } },
  });
const lost = StreamPluginRecordsResponse.fromPartial({
  receivedAt,
  event: { $case: "lost", value: { count: 7n, source: LostRecordsSource.READER } },
});

const declared = layout([
  ["saddr", Type.IPV4, 0, 4],
  ["sport", Type.BE16, 4, 2],
  ["small", Type.U16, 6, 2],
  ["time", Type.U64, 8, 8],
  ["mac", Type.BYTES, 16, 3],
]);
const whole = "0a000105" + "1f90" + "0201" + "ffffffffffffffff" + "aabbcc";

test("records are printed in the columns that the plugin declares", async (t) => {
  const { code, out, err } = await run(
    { streamPluginRecords: () => [declared, record(whole), lost, record("0a000106")] },
    "plugin",
    "records",
    "audit",
    "seen",
  );
  t.is(code, 0);
  t.regex(err, /reading seen of audit/);
  const [header, first, gap, short] = out.trimEnd().split("\n");
  t.regex(header!, /^Received {6}saddr {12}sport {2}small {2}time {18}mac$/);
  t.regex(first!, /^\d\d:04:05\.678 {2}10\.0\.1\.5 {9}8080 {3}258 {4}18446744073709551615 {2}aabbcc$/);
  t.is(header!.indexOf("saddr"), first!.indexOf("10.0.1.5"));
  t.is(header!.indexOf("mac"), first!.indexOf("aabbcc"));
  t.regex(gap!, /lost 7 records: this reader did not keep up$/);
  t.regex(short!, /10\.0\.1\.6 +- +- +- +-$/);
});

test("without a declared layout records are printed as bytes in groups of four", async (t) => {
  const handlers = { streamPluginRecords: () => [layout([]), record("0a0001051f90"), record("")] };
  const { out } = await run(handlers, "plugin", "records", "audit", "seen");
  const lines = out.trimEnd().split("\n");
  t.regex(lines[0]!, /^\d\d:04:05\.678 {2}0a000105 1f90$/);
  t.regex(lines[1]!, /^\d\d:04:05\.678/);
});

test("with --json each record is an object with base64 and fields, and --count ends it", async (t) => {
  const handlers = { streamPluginRecords: () => [declared, lost, record(whole), record(whole)] };
  const { code, out, err } = await run(
    handlers,
    "plugin",
    "records",
    "audit",
    "seen",
    "--json",
    "--count",
    "1",
  );
  t.is(code, 0);
  t.is(err, "");
  t.deepEqual(
    out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown),
    [
      { receivedAt: receivedAt.toISOString(), lost: { count: 7, source: "reader" } },
      {
        receivedAt: receivedAt.toISOString(),
        data: Buffer.from(whole, "hex").toString("base64"),
        fields: { saddr: "10.0.1.5", sport: 8080, small: 258, time: "18446744073709551615", mac: "aabbcc" },
      },
    ],
  );
});
