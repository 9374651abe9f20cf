import test, { type ExecutionContext } from "ava";
import type { FakeKernel } from "../../datapath/fake/index.ts";
import { createFakeDatapath, type MapSpec, MapType } from "../../datapath/index.ts";
import { Database } from "../../table/index.ts";
import { type GlobalMaps, pinLayout } from "../datapath/index.ts";
import { RefusalError } from "../errors.ts";
import { PinnedPluginMaps } from "./maps.ts";
import { SharedPluginRecords } from "./records.ts";
import type { Plugin, PluginRecordLayout, PluginRecordMessage } from "./types.ts";

const ring: MapSpec = { name: "seen", type: MapType.ringbuf, keySize: 0, valueSize: 0, maxEntries: 4096 };
const perf: MapSpec = {
  name: "events",
  type: MapType.perfEventArray,
  keySize: 4,
  valueSize: 4,
  maxEntries: 4,
};
const hash: MapSpec = { name: "counts", type: MapType.hash, keySize: 4, valueSize: 8, maxEntries: 4 };
const layout: PluginRecordLayout = {
  map: "seen",
  fields: [{ name: "port", offset: 0, type: "be16", size: 2 }],
};

function makePlugin(name: string, change: Partial<Plugin> = {}, records = [layout]): Plugin {
  return {
    name,
    directory: `/plugins/${name}`,
    manifest: {
      name,
      version: "1.0.0",
      description: "",
      attachmentPolicy: "Always",
      priority: 100,
      hooks: [],
      config: [],
      records,
    },
    enabled: true,
    priority: 100,
    config: {},
    templates: {},
    maps: [ring, perf, hash],
    readsOnly: [],
    revision: 1,
    ...change,
  };
}

/** The records of plugins on a fake kernel; `maxReaders` is 2. */
function make(t: ExecutionContext) {
  const datapath = createFakeDatapath();
  const { kernel } = datapath;
  const pins = pinLayout("/fake");
  datapath.bpf.ensureBpffs(pins.root);
  const maps = new PinnedPluginMaps(datapath, { pins } as GlobalMaps);
  const table = new Database().createTable<Plugin, string>({ name: "plugins", key: ({ name }) => name });
  let open = 0;
  const counted = <A extends unknown[]>(read: (...args: A) => { close(): void }) => {
    return (...args: A) => {
      const reader = read(...args);
      open++;
      let closed = false;
      return {
        close: () => {
          if (!closed) open--;
          closed = true;
          reader.close();
        },
      };
    };
  };
  const bpf = {
    readRingbuf: counted(datapath.bpf.readRingbuf),
    readPerfEvents: counted(datapath.bpf.readPerfEvents),
  };
  const records = new SharedPluginRecords({ bpf, table, maps, maxReaders: 2 });
  records.start();
  t.teardown(() => {
    records.stop();
    maps.close();
    datapath.close();
  });
  const read = (plugin: string, map: string) => {
    const seen: PluginRecordMessage[] = [];
    const outcome: { error?: unknown; completed?: boolean } = {};
    const subscription = records.records(plugin, map).subscribe({
      next: (message) => seen.push(message),
      error: (error: unknown) => {
        outcome.error = error;
      },
      complete: () => {
        outcome.completed = true;
      },
    });
    return {
      seen,
      outcome,
      subscription,
      get data() {
        return seen.flatMap((message) => (message.kind === "record" ? [message.data.toString()] : []));
      },
      get kind() {
        return outcome.error instanceof RefusalError ? outcome.error.kind : undefined;
      },
    };
  };
  return { kernel, maps, table, records, read, opened: () => open };
}

const send = (kernel: FakeKernel, map: string, text: string, cpu = 0): void =>
  kernel.sendEvent(map, Buffer.from(text), cpu);

test("all readers of a map share one buffer, which closes with the last of them", (t) => {
  const { kernel, table, read, opened } = make(t);
  table.upsert(makePlugin("audit"));
  const first = read("audit", "seen");
  send(kernel, "seen", "one");
  const second = read("audit", "seen");
  send(kernel, "seen", "two");
  t.is(opened(), 1);
  t.deepEqual(first.data, ["one", "two"]);
  t.deepEqual(second.data, ["two"]);
  first.subscription.unsubscribe();
  t.is(opened(), 1);
  send(kernel, "seen", "three");
  t.deepEqual(second.data, ["two", "three"]);
  second.subscription.unsubscribe();
  t.is(opened(), 0);
  const third = read("audit", "seen");
  t.is(opened(), 1);
  send(kernel, "seen", "four");
  t.deepEqual(third.data, ["four"]);
});

test("the first message is the declared layout, or one without fields", (t) => {
  const { table, read } = make(t);
  table.upsert(makePlugin("audit"));
  const [declared] = read("audit", "seen").seen;
  t.deepEqual(declared?.kind === "layout" && declared.layout, layout);
  const [undeclared] = read("audit", "events").seen;
  t.deepEqual(undeclared?.kind === "layout" && undeclared.layout, { map: "events", fields: [] });
});

test("perf event arrays tell the CPU, and what the kernel lost", (t) => {
  const { kernel, table, read } = make(t);
  table.upsert(makePlugin("audit"));
  const { seen } = read("audit", "events");
  send(kernel, "events", "one", 3);
  kernel.loseEvents("events", 7);
  t.deepEqual(
    seen.slice(1).map(({ at, ...rest }) => rest),
    [
      { kind: "record", data: Buffer.from("one"), cpu: 3 },
      { kind: "lost", count: 7 },
    ],
  );
});

test("absent plugins and maps, and maps of entries, are refused", (t) => {
  const { table, read, opened } = make(t);
  table.upsert(makePlugin("audit"));
  t.is(read("nobody", "seen").kind, "NOT_FOUND");
  t.is(read("audit", "nothing").kind, "NOT_FOUND");
  const entries = read("audit", "counts");
  t.is(entries.kind, "FAILED_PRECONDITION");
  t.regex(String(entries.outcome.error), /ringbuf and perf_event_array/);
  t.is(opened(), 0);
});

test("a reader too many is refused, and the others go on", (t) => {
  const { kernel, table, read } = make(t);
  table.upsert(makePlugin("audit"));
  const first = read("audit", "seen");
  const second = read("audit", "seen");
  t.is(read("audit", "seen").kind, "RESOURCE_EXHAUSTED");
  send(kernel, "seen", "one");
  t.deepEqual([first.data, second.data], [["one"], ["one"]]);
  second.subscription.unsubscribe();
  t.is(read("audit", "seen").kind, undefined);
});

test("readers are told when the plugin is unregistered; other plugins' readers go on", (t) => {
  const { kernel, maps, table, read, opened } = make(t);
  table.upsert(makePlugin("audit"));
  table.upsert(makePlugin("other", { maps: [perf] }));
  const reader = read("audit", "seen");
  const other = read("other", "events");
  table.delete("audit");
  maps.remove("audit");
  t.is(reader.kind, "NOT_FOUND");
  t.is(opened(), 1);
  send(kernel, "events", "still");
  t.deepEqual(other.data, ["still"]);
  t.is(read("audit", "seen").kind, "NOT_FOUND");
});

test("changes that keep map and layout do not disturb readers", (t) => {
  const { kernel, table, read } = make(t);
  table.upsert(makePlugin("audit"));
  const reader = read("audit", "seen");
  table.upsert(makePlugin("audit", { enabled: false, revision: 2 }));
  table.upsert(makePlugin("audit", { revision: 3 }, structuredClone([layout])));
  send(kernel, "seen", "one");
  t.deepEqual(reader.data, ["one"]);
  t.deepEqual(reader.outcome, {});
});

test("readers end when an upgrade replaces the map, and find the new one", (t) => {
  const { kernel, maps, table, read, opened } = make(t);
  table.upsert(makePlugin("audit"));
  const reader = read("audit", "seen");
  const upgraded = makePlugin("audit", { maps: [{ ...ring, maxEntries: 8192 }], revision: 2 });
  const replacement = maps.setAside("audit", ["seen"]);
  table.upsert(upgraded);
  replacement.commit();
  t.is(reader.kind, "ABORTED");
  t.regex(String(reader.outcome.error), /its map seen is a new one; read again/);
  t.is(opened(), 0);
  const again = read("audit", "seen");
  send(kernel, "seen", "new");
  t.deepEqual(again.data, ["new"]);
});

test("readers end when an upgrade declares another layout or drops the map", (t) => {
  const { table, read, opened } = make(t);
  table.upsert(makePlugin("audit"));
  const first = read("audit", "seen");
  table.upsert(makePlugin("audit", { revision: 2 }, []));
  t.is(first.kind, "ABORTED");
  const second = read("audit", "seen");
  table.upsert(makePlugin("audit", { maps: [hash], revision: 3 }, []));
  t.is(second.kind, "NOT_FOUND");
  t.is(opened(), 0);
});

test("a buffer that cannot be opened is the reader's error, and is tried again for the next", (t) => {
  const { kernel, table, read } = make(t);
  table.upsert(makePlugin("audit"));
  kernel.failNext("readRingbuf", "ENOMEM");
  t.regex(String(read("audit", "seen").outcome.error), /ENOMEM|memory/i);
  t.is(read("audit", "seen").outcome.error, undefined);
});

test("streams complete when the agent stops, and none begins after that", (t) => {
  const { table, records, read, opened } = make(t);
  table.upsert(makePlugin("audit"));
  const reader = read("audit", "seen");
  records.stop();
  t.true(reader.outcome.completed);
  t.is(opened(), 0);
  t.is(read("audit", "seen").kind, "UNAVAILABLE");
});
