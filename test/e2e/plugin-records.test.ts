// What plugins report through ring buffers reaches whoever reads, in words.

import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { recordFields } from "../../src/cli/output/record.ts";
import { CallError } from "../../src/client/index.ts";
import type { PluginRecordLayout } from "../../src/gen/waggle/v1/plugin.ts";
import { type World, waggleArgv } from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import { type Files, shipped, variant, writePlugin } from "./fixtures/plugins/index.ts";

const plugin = "flow-sampler";
const map = "flow_samples";

type Fields = ReturnType<typeof recordFields>;

/** A stream of records, collected and decoded until it ends. */
class Reader {
  readonly records: Fields[] = [];
  layout: PluginRecordLayout | undefined;
  error: CallError | undefined;
  readonly #abort = new AbortController();
  readonly ended: Promise<void>;

  /** Records that were lost on the way. */
  lost = 0;

  constructor(world: World, from = { plugin, map }) {
    const stream = world.client.plugins.streamPluginRecords(from, { signal: this.#abort.signal });
    this.ended = (async () => {
      try {
        for await (const { event } of stream) {
          if (event?.$case === "layout") this.layout = event.value;
          if (event?.$case === "lost") this.lost += Number(event.value.count);
          if (event?.$case === "record") this.records.push(recordFields(this.layout!, event.value.data));
        }
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        this.error = error;
      }
    })();
  }

  end(): Promise<void> {
    this.#abort.abort();
    return this.ended;
  }
}

/** Reads from now on. */
async function read(world: World, from = { plugin, map }): Promise<Reader> {
  const reader = new Reader(world, from);
  await eventually("the map is being read", () => reader.layout !== undefined);
  return reader;
}

const streams = async (world: World): Promise<number> => (await world.client.agent.getStatus({})).watchers;

/** Registers the plugin, every flow sampled, from a directory of the world's own. */
let directory = "";
async function register(world: World, replaceMaps = false): Promise<void> {
  await world.client.plugins.registerPlugin({
    directory,
    enable: true,
    config: { sample_rate: "1" },
    replaceMaps,
  });
}

async function change(file: string, edit: (content: string) => string): Promise<void> {
  const path = join(directory, file);
  const before = await readFile(path, "utf8");
  const after = edit(before);
  if (after === before) throw new Error(`nothing to change in ${file}`);
  await writeFile(path, after);
}

/** Reports destination and length of every packet through a perf event array. */
const perfPlugin: Files = {
  "plugin.yaml": `apiVersion: waggle/v1
name: perf
version: 1.0.0
hooks:
  - point: to_container_pre_ct_v4
records:
  - map: seen
    fields:
      - { name: daddr, offset: 0, type: ipv4 }
      - { name: len, offset: 4, type: u32 }
`,
  "hooks/lxc.c": `#include <waggle/plugin.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} seen SEC(".maps");

struct record {
	__be32 daddr;
	__u32 len;
};

HOOK(to_container_pre_ct_v4)
{
	struct waggle_tuple4 tuple;

	if (waggle_tuple4(ctx, &tuple) == 0) {
		struct record record = { .daddr = tuple.daddr, .len = waggle_packet_len(ctx) };

		bpf_perf_event_output(ctx, &seen, BPF_F_CURRENT_CPU, &record, sizeof(record));
	}
	return HOOK_NEXT;
}
`,
};

/** What both ends of a flow from pod1 to pod2 should say of it. */
function checkFlow(t: ExecutionContext, world: World, records: readonly Fields[], expected: Fields): void {
  const [from, to] = [world.pod("pod1"), world.pod("pod2")];
  t.is(records.length, 2);
  for (const { time_ns, sport, ...record } of records) {
    t.true(typeof time_ns === "number" && time_ns > 0);
    t.true(typeof sport === "number" && sport > 0);
    const leaving = record.direction === 2;
    t.deepEqual(record, {
      src_identity: from.endpoint.identity,
      dst_identity: to.endpoint.identity,
      saddr: from.ipv4,
      daddr: to.ipv4,
      endpoint_id: leaving ? from.id : to.id,
      direction: leaving ? 2 : 1,
      sample_rate: 1,
      ...expected,
    });
  }
  t.deepEqual(records.map(({ direction }) => direction).sort(), [1, 2]);
}

const prepare = async (world: World): Promise<void> => {
  directory = await variant(world, shipped(plugin), plugin, {});
  await register(world);
};

await worldTests(
  "records of plugins",
  { pods: 2 },
  (test) => {
    test("each new flow is reported where it leaves and where it arrives", async (t, world) => {
      const reader = await read(world);
      await echo(world, "pod1", world.pod("pod2").ipv4, 3);
      await eventually("the ping is reported", () => reader.records.length >= 2);
      // ICMP: the destination port is the type; 98 bytes are what ping sends unless told otherwise.
      checkFlow(t, world, reader.records.splice(0), { protocol: 1, dport: 8, packet_len: 98 });

      await world.exec("pod1", ["nc", "-z", "-w", "1", world.pod("pod2").ipv4, "8080"]);
      await eventually("the connection is reported", () => reader.records.length >= 2);
      const flow = reader.records.splice(0);
      checkFlow(t, world, flow, { protocol: 6, dport: 8080, packet_len: flow[0]!.packet_len! });
      await reader.end();
      t.is(reader.error, undefined);
    });

    test("the command line prints flows in columns and as JSON, to all readers at once", async (t, world) => {
      const before = await streams(world);
      const start = (...flags: readonly string[]) => {
        const argv = ["--socket", world.socket, "plugin", "records", plugin, map, "--count", "2", ...flags];
        const child = world.spawn("node", waggleArgv(...argv));
        const output = { out: "", err: "" };
        child.stdout!.setEncoding("utf8").on("data", (text: string) => {
          output.out += text;
        });
        child.stderr!.setEncoding("utf8").on("data", (text: string) => {
          output.err += text;
        });
        return { output, closed: once(child, "close") };
      };
      const readers = [start(), start("--json")] as const;
      await eventually("both read", async () => (await streams(world)) === before + 2, 20_000);
      await echo(world, "pod1", world.pod("pod2").ipv4, 1);
      const codes = await Promise.all(readers.map(async ({ closed }) => (await closed)[0] as unknown));
      t.deepEqual(codes, [0, 0], readers.map(({ output }) => output.err).join(""));

      const [header, ...lines] = readers[0].output.out.trimEnd().split("\n");
      t.regex(header!, /^Received +time_ns +src_identity +dst_identity +saddr +daddr +sport +dport /);
      t.is(lines.length, 2);
      for (const line of lines)
        t.is(line.slice(header!.indexOf("daddr")).split(" ")[0], world.pod("pod2").ipv4);
      const objects = readers[1].output.out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { data: string; fields: Fields });
      checkFlow(
        t,
        world,
        objects.map(({ fields }) => fields),
        { protocol: 1, dport: 8, packet_len: 98 },
      );
      t.true(objects.every(({ data }) => Buffer.from(data, "base64").length === 40));
    });

    test("perf event arrays are read, and each record of a flood is either read or counted as lost", async (t, world) => {
      await world.registerPlugin({ directory: await writePlugin(world, "perf", perfPlugin) });
      const from = { plugin: "perf", map: "seen" };
      const reader = await read(world, from);
      const [pod1, pod2] = [world.pod("pod1").ipv4, world.pod("pod2").ipv4];
      await echo(world, "pod1", pod2, 1);
      await eventually("question and answer are reported", () => reader.records.length >= 2);
      t.deepEqual(reader.records.splice(0), [
        { daddr: pod2, len: 98 },
        { daddr: pod1, len: 98 },
      ]);

      const count = 5_000;
      const flood = await world.run("pod1", ["ping", "-n", "-q", "-f", "-c", String(count), pod2]);
      t.true(flood.includes(` ${count} received`), flood);
      await eventually("all are accounted for", () => reader.records.length + reader.lost >= 2 * count);
      t.is(reader.records.length + reader.lost, 2 * count);
      await reader.end();
      await world.client.plugins.unregisterPlugin({ name: "perf" });
    });

    test("disabling and configuring a plugin leaves its readers alone", async (t, world) => {
      const reader = await read(world);
      // What nobody has read yet comes first: a flow the other way tells where it ends.
      await echo(world, "pod2", world.pod("pod1").ipv4, 1);
      const marks = () => reader.records.filter(({ daddr }) => daddr === world.pod("pod1").ipv4);
      await eventually("the mark is reported at both ends", () => marks().length >= 2);
      reader.records.splice(0);
      await world.client.plugins.disablePlugin({ name: plugin });
      await echo(world, "pod1", world.pod("pod2").ipv4, 1);
      await world.client.plugins.enablePlugin({ name: plugin });
      await echo(world, "pod1", world.pod("pod2").ipv4, 1);
      await eventually("the second ping is reported", () => reader.records.length >= 2);
      t.is(reader.records.length, 2);
      await reader.end();
    });

    test("layouts that do not fit the sources are refused", async (t, world) => {
      for (const [named, why] of [
        ["flow_sample", /no source declares such a map/],
        ["samples_lost", /it is no BPF_MAP_TYPE_RINGBUF or BPF_MAP_TYPE_PERF_EVENT_ARRAY/],
      ] as const) {
        const wrong = await variant(world, shipped(plugin), `wrong-${named}`, {
          "plugin.yaml": (yaml) => yaml.replace(`map: ${map}`, `map: ${named}`).replace(plugin, `wrong`),
        });
        const error = await t.throwsAsync(world.registerPlugin({ directory: wrong }), {
          instanceOf: CallError,
        });
        t.is(error.status, "INVALID_ARGUMENT");
        t.regex(error.message, why);
      }
    });

    test("readers end when an upgrade changes layout or map, and when the plugin goes", async (t, world) => {
      const first = await read(world);
      await change("plugin.yaml", (yaml) => yaml.replace("name: dport", "name: destination_port"));
      await register(world);
      await first.ended;
      t.is(first.error?.status, "ABORTED");
      t.regex(first.error?.message ?? "", /another layout; read again/);

      const second = await read(world);
      t.true(second.layout!.fields.some(({ name }) => name === "destination_port"));
      await change("hooks/lxc.c", (source) => source.replace("(256 * 1024)", "(512 * 1024)"));
      await register(world, true);
      await second.ended;
      t.is(second.error?.status, "ABORTED");
      t.regex(second.error?.message ?? "", /is a new one; read again/);

      const third = await read(world);
      await echo(world, "pod1", world.pod("pod2").ipv4, 1);
      await eventually("the new map is read", () => third.records.length >= 2);
      await world.client.plugins.unregisterPlugin({ name: plugin });
      await third.ended;
      t.is(third.error?.status, "NOT_FOUND");
    });
  },
  prepare,
);
