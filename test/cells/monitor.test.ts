import test, { type ExecutionContext } from "ava";
import type { Subscription } from "rxjs";
import { DatapathToken, GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import { RefusalError } from "../../src/cells/errors.ts";
import {
  DatapathMetrics,
  type Metrics,
  type Monitor,
  type MonitorFilter,
  Monitoring,
  type MonitorMessage,
  monitorCell,
} from "../../src/cells/monitor/index.ts";
import { forwardedMap, metricsMap, type RuntimeConfig } from "../../src/datapath/maps/index.ts";
import { Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { MemoryKernel } from "./support.ts";

function hiveOf(kernel: MemoryKernel): Hive {
  return new Hive({
    name: "monitor-test",
    logger: silentLogger,
    cells: [
      supply(GlobalMapsToken, kernel.globalMaps()),
      supply(DatapathToken, kernel.datapath()),
      monitorCell,
      invoke({ monitor: Monitoring, metrics: DatapathMetrics }, () => undefined),
    ],
    settings: { flags: { "monitor-max-readers": 3 } },
  });
}

interface Running {
  readonly kernel: MemoryKernel;
  readonly monitor: Monitor;
  readonly metrics: Metrics;
  stop(): Promise<void>;
}

async function started(t: ExecutionContext, kernel = new MemoryKernel()): Promise<Running> {
  const hive = hiveOf(kernel);
  await hive.start();
  t.teardown(() => hive.stop());
  return {
    kernel,
    monitor: hive.get(Monitoring),
    metrics: hive.get(DatapathMetrics),
    stop: () => hive.stop(),
  };
}

const switches = (kernel: MemoryKernel): RuntimeConfig | undefined =>
  kernel.typed<number, RuntimeConfig>("waggle_runtime").lookup(0);

const only = (wanted: Partial<MonitorFilter>): MonitorFilter => ({
  drops: false,
  traces: false,
  verdicts: false,
  ...wanted,
});

function read(
  monitor: Monitor,
  filter: MonitorFilter,
): { seen: MonitorMessage[]; subscription: Subscription } {
  const seen: MonitorMessage[] = [];
  return { seen, subscription: monitor.events(filter).subscribe((message) => seen.push(message)) };
}

const kinds = (messages: readonly MonitorMessage[]): string[] =>
  messages.map((message) => (message.kind === "event" ? message.event.kind : message.kind));

function record(type: number, size: number, source: number, destination = 0): Buffer {
  const data = Buffer.alloc(size);
  data[0] = type;
  data.writeUInt16LE(source, 2);
  if (type === 1) data.writeUInt32LE(destination, 24);
  if (type === 4) data.writeUInt16LE(destination, 24);
  return data;
}
const drop = (source: number, destination = 0): Buffer => record(1, 36, source, destination);
const trace = (source: number, destination = 0): Buffer => record(4, 48, source, destination);
const verdict = (source: number): Buffer => record(5, 32, source);

test("the wiring is complete", (t) => {
  t.notThrows(() => hiveOf(new MemoryKernel()).populate());
});

test("the perf buffer is open, and traces and verdicts are on, only as long as somebody wants them", async (t) => {
  const { kernel, monitor } = await started(t);
  t.is(kernel.emit, undefined);
  const first = read(monitor, only({ drops: true }));
  t.truthy(kernel.emit);
  t.deepEqual(switches(kernel), { trace: false, verdicts: false });
  const second = read(monitor, only({ traces: true }));
  const third = read(monitor, only({ verdicts: true }));
  t.deepEqual(switches(kernel), { trace: true, verdicts: true });
  second.subscription.unsubscribe();
  t.deepEqual(switches(kernel), { trace: false, verdicts: true });
  third.subscription.unsubscribe();
  first.subscription.unsubscribe();
  t.deepEqual(switches(kernel), { trace: false, verdicts: false });
  t.is(kernel.emit, undefined);
  t.is(kernel.opened, 1);
});

test("each reader sees what it asked for, decoded, and everybody hears of losses", async (t) => {
  const { kernel, monitor } = await started(t);
  const all = read(monitor, { drops: true, traces: true, verdicts: true });
  const drops = read(monitor, only({ drops: true }));
  const seven = read(monitor, { drops: true, traces: true, verdicts: true, endpointId: 7 });
  for (const data of [drop(3), drop(3, 7), trace(7), trace(3), verdict(7), Buffer.from([99])])
    kernel.emit?.(data, 1);
  kernel.lose?.(5);
  t.deepEqual(kinds(all.seen), ["drop", "drop", "trace", "trace", "verdict", "unknown", "lost"]);
  t.deepEqual(kinds(drops.seen), ["drop", "drop", "unknown", "lost"]);
  t.deepEqual(kinds(seven.seen), ["drop", "trace", "verdict", "lost"]);
  t.like(all.seen[0], { cpu: 1, event: { kind: "drop", source: 3 } });
  t.like(all.seen.at(-1), { kind: "lost", count: 5 });
});

test("switches that a dead agent left on are off after start", async (t) => {
  const kernel = new MemoryKernel();
  kernel.typed<number, RuntimeConfig>("waggle_runtime").update(0, { trace: true, verdicts: true });
  await started(t, kernel);
  t.deepEqual(switches(kernel), { trace: false, verdicts: false });
});

test("too many readers are refused, without harm to the others", async (t) => {
  const { kernel, monitor } = await started(t);
  const readers = [1, 2, 3].map(() => read(monitor, only({ drops: true })));
  const error = await new Promise<unknown>((resolve) =>
    monitor.events(only({ drops: true, traces: true })).subscribe({ error: resolve }),
  );
  t.is((error as RefusalError).kind, "RESOURCE_EXHAUSTED");
  t.deepEqual(switches(kernel), { trace: false, verdicts: false });
  readers[0]?.subscription.unsubscribe();
  t.deepEqual(kinds(read(monitor, only({ drops: true })).seen), []);
});

test("a stopping agent completes all streams and closes the buffer", async (t) => {
  const { kernel, monitor, stop } = await started(t);
  let completed = false;
  monitor.events(only({ traces: true })).subscribe({ complete: () => (completed = true) });
  await stop();
  t.true(completed);
  t.is(kernel.emit, undefined);
  t.deepEqual(switches(kernel), { trace: false, verdicts: false });
  const error = await new Promise<unknown>((resolve) =>
    monitor.events(only({})).subscribe({ error: resolve }),
  );
  t.true(error instanceof RefusalError);
});

test("a buffer that cannot be opened fails the reader, and the next one tries again", async (t) => {
  const { kernel, monitor } = await started(t);
  kernel.map("waggle_runtime").fail = new Error("EPERM");
  const error = await new Promise<unknown>((resolve) =>
    monitor.events(only({ traces: true })).subscribe({ error: resolve }),
  );
  t.is((error as Error).message, "EPERM");
  t.is(kernel.emit, undefined);
  kernel.map("waggle_runtime").fail = undefined;
  read(monitor, only({ traces: true }));
  t.truthy(kernel.emit);
});

test("metrics are summed over CPUs and source lines and carry names", async (t) => {
  const { kernel, metrics } = await started(t);
  const map = kernel.map("cilium_metrics");
  const put = (reason: number, direction: number, line: number, counts: readonly bigint[]): void => {
    const key = Buffer.alloc(metricsMap.keySize);
    metricsMap.key.encode({ reason, direction, line, file: 1 }, key, 0);
    const value = Buffer.alloc(metricsMap.valueSize * counts.length);
    counts.forEach((count, cpu) => {
      metricsMap.value.encode({ count, bytes: count * 100n }, value, cpu * metricsMap.valueSize);
    });
    map.content.set(key.toString("latin1"), value);
  };
  put(133, 1, 10, [1n, 2n]);
  put(133, 1, 20, [4n, 0n]);
  put(0, 2, 0, [2n ** 50n, 1n]);
  // What the programs count themselves is ahead on the second CPU, and knows of a direction that the other does not.
  const forwarded = kernel.map("waggle_forwarded");
  const count = (direction: number, counts: readonly bigint[]): void => {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(direction);
    const value = Buffer.alloc(forwardedMap.valueSize * counts.length);
    counts.forEach((packets, cpu) => {
      const row = { count: packets, bytes: packets * 100n, shown: 0n };
      forwardedMap.value.encode(row, value, cpu * forwardedMap.valueSize);
    });
    forwarded.content.set(key.toString("latin1"), value);
  };
  // Between pods a packet counts for both directions.
  count(0, [0n, 2n]);
  count(1, [3n, 0n]);
  count(2, [0n, 3n]);
  t.deepEqual(await metrics.read(), [
    {
      reason: 0,
      reasonName: "Success",
      direction: "egress",
      packets: 2n ** 50n + 5n,
      bytes: (2n ** 50n + 5n) * 100n,
    },
    { reason: 0, reasonName: "Success", direction: "ingress", packets: 5n, bytes: 500n },
    { reason: 133, reasonName: "Policy denied", direction: "ingress", packets: 7n, bytes: 700n },
  ]);
});
