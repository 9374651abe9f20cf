import { type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import test from "ava";
import type { WatchEndpointsResponse } from "../../src/gen/waggle/v1/endpoint.ts";
import { makeEndpoint } from "./fake-cells.ts";
import { serve } from "./harness.ts";

/** Reads a stream item by item, so that a test can stop reading. */
class Reader<Item> {
  readonly #stream: ClientReadableStream<Item>;
  readonly #items: AsyncIterator<Item>;

  constructor(stream: ClientReadableStream<Item>) {
    this.#stream = stream;
    this.#items = stream[Symbol.asyncIterator]() as AsyncIterator<Item>;
  }

  async next(): Promise<Item> {
    const { value, done } = await this.#items.next();
    if (done) throw new Error("the stream has ended");
    return value;
  }

  async take(count: number): Promise<Item[]> {
    const taken: Item[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  /** Reads to the end and says what it was. */
  async end(): Promise<{ readonly items: Item[]; readonly code: number; readonly details: string }> {
    const items: Item[] = [];
    try {
      for (;;) {
        const { value, done } = await this.#items.next();
        if (done) return { items, code: status.OK, details: "" };
        items.push(value);
      }
    } catch (error) {
      const { code, details } = error as ServiceError;
      return { items, code, details };
    }
  }

  cancel(): void {
    this.#stream.on("error", () => undefined);
    this.#stream.cancel();
  }
}

const kindsOf = (items: readonly WatchEndpointsResponse[]): string[] =>
  items.map(({ change }) => {
    if (change === undefined || change.$case === "sync") return change?.$case ?? "nothing";
    return `${change.$case} ${change.value.id}`;
  });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("a watch begins with what is there, marks the end of that, and goes on with changes", async (t) => {
  const { endpoints, cells } = await serve(t);
  cells.endpoints.table.upsert(makeEndpoint(1));
  cells.endpoints.table.upsert(makeEndpoint(2));
  const reader = new Reader(endpoints.watchEndpoints({}));
  const snapshot = await reader.take(3);
  t.deepEqual(kindsOf(snapshot), ["upsert 1", "upsert 2", "sync"]);
  cells.endpoints.table.upsert(makeEndpoint(3));
  t.deepEqual(kindsOf(await reader.take(1)), ["upsert 3"]);
  cells.endpoints.table.delete(1);
  const [gone] = await reader.take(1);
  t.deepEqual(kindsOf(gone === undefined ? [] : [gone]), ["delete 1"]);
  const revisions = [...snapshot, gone].map((item) => Number(item?.revision));
  t.deepEqual(
    revisions,
    revisions.toSorted((a, b) => a - b),
  );
  reader.cancel();
});

test("a watch of an empty table begins with its sync mark", async (t) => {
  const { endpoints } = await serve(t);
  const reader = new Reader(endpoints.watchEndpoints({}));
  t.deepEqual(kindsOf(await reader.take(1)), ["sync"]);
  reader.cancel();
});

test("a snapshot far longer than any buffer arrives whole", async (t) => {
  const { endpoints, cells } = await serve(t, { limits: { watchLag: 10 } });
  for (let id = 1; id <= 20_000; id++) cells.endpoints.table.upsert(makeEndpoint(id));
  const reader = new Reader(endpoints.watchEndpoints({}));
  const items = await reader.take(20_001);
  t.is(items.at(-1)?.change?.$case, "sync");
  t.is(new Set(kindsOf(items)).size, 20_001);
  reader.cancel();
});

test("a reader that pauses gets the newest version of each row, not every one", async (t) => {
  const { endpoints, cells } = await serve(t);
  const name = "x".repeat(2000);
  const big = (id: number, generation: number) => makeEndpoint(id, { generation, stateReason: name });
  for (let id = 1; id <= 500; id++) cells.endpoints.table.upsert(big(id, 0));
  const reader = new Reader(endpoints.watchEndpoints({}));
  await reader.take(501);
  for (let generation = 1; generation <= 40; generation++) {
    for (let id = 1; id <= 500; id++) cells.endpoints.table.upsert(big(id, generation));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const last = new Map<number, bigint>();
  let count = 0;
  while ([...last.values()].filter((generation) => generation === 40n).length < 500) {
    const { change } = await reader.next();
    count++;
    if (change?.$case === "upsert") last.set(change.value.id, change.value.generation);
  }
  t.true(count < 20_000, `${count} messages for 20000 writes`);
  reader.cancel();
});

test("a reader that stops reading is cut off when it falls too far behind, and its slot is free", async (t) => {
  const { endpoints, cells, runtime } = await serve(t, { limits: { watchLag: 2000 } });
  const padding = "x".repeat(4000);
  const reader = new Reader(endpoints.watchEndpoints({}));
  await reader.take(1);
  t.is(runtime.streams.used, 1);
  let revision = 0;
  const write = setInterval(() => {
    for (let id = 1; id <= 500; id++) {
      cells.endpoints.table.upsert(makeEndpoint(id, { stateReason: padding, generation: ++revision }));
    }
  }, 20);
  t.teardown(() => clearInterval(write));
  await until(() => runtime.streams.used === 0);
  clearInterval(write);
  const { code, details } = await reader.end();
  t.is(code, status.RESOURCE_EXHAUSTED);
  t.is(details, "reader too slow, resume with a new watch");
});

test("a reader that leaves changes unread for too long is cut off", async (t) => {
  const { endpoints, cells, runtime } = await serve(t, { limits: { readerTimeout: 300 } });
  const reader = new Reader(endpoints.watchEndpoints({}));
  await reader.take(1);
  for (let id = 1; id <= 3000; id++) {
    cells.endpoints.table.upsert(makeEndpoint(id, { stateReason: "x".repeat(4000) }));
  }
  await until(() => runtime.streams.used === 0);
  t.is((await reader.end()).code, status.RESOURCE_EXHAUSTED);
});

test("one watch more than allowed is refused; a cancelled one makes room", async (t) => {
  const { endpoints, runtime } = await serve(t, { limits: { maxWatchers: 2 } });
  const first = new Reader(endpoints.watchEndpoints({}));
  const second = new Reader(endpoints.watchEndpoints({}));
  await first.take(1);
  await second.take(1);
  const third = await new Reader(endpoints.watchEndpoints({})).end();
  t.is(third.code, status.RESOURCE_EXHAUSTED);
  t.regex(third.details, /all 2 watch and monitor streams are taken/);
  first.cancel();
  await until(() => runtime.streams.used === 1);
  const fourth = new Reader(endpoints.watchEndpoints({}));
  t.is((await fourth.next()).change?.$case, "sync");
  fourth.cancel();
  second.cancel();
  await until(() => runtime.streams.used === 0);
});

test("watches end as unavailable when the server stops, and do not hold it up", async (t) => {
  const { endpoints, server } = await serve(t, { settings: { drainTimeout: 30_000 } });
  const reader = new Reader(endpoints.watchEndpoints({}));
  await reader.take(1);
  const [end] = await Promise.all([reader.end(), server.stop()]);
  t.is(end.code, status.UNAVAILABLE);
  t.is(end.details, "the agent is stopping");
});
