// Damaged files. Without the checks before opening, some of these end the process with SIGSEGV or SIGBUS, and some
// lose rows without a word.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { LmdbStateStore, StateCorruptError } from "./index.ts";

function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return (state >> 8) % below;
  };
}

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "waggle-state-"));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

test("whatever page is overwritten, the state is refused, or complete", async (t) => {
  const path = await directory(t);
  const store = new LmdbStateStore(path);
  await store.open();
  const rows = store.collection<string>("rows");
  await Promise.all(Array.from({ length: 300 }, (_, i) => rows.put(`row-${i}`, "x".repeat(100 + (i % 60)))));
  await rows.put("long", "y".repeat(20_000));
  for (let i = 0; i < 10; i += 1) await rows.put(`row-${i}`, `changed ${i}`);
  const expected = rows.all();
  await store.close();
  const file = join(path, "state.mdb");
  const original = await readFile(file);
  const random = numbers(1);
  let refused = 0;
  for (let page = 0; page < original.length / 4096; page += 1) {
    for (const damage of ["fill", "bit"]) {
      const bytes = Buffer.from(original);
      if (damage === "fill") bytes.fill(random(256), page * 4096, page * 4096 + 4096);
      else {
        const at = page * 4096 + 16 + random(64);
        bytes[at] = bytes[at]! ^ (1 << random(8));
      }
      await writeFile(file, bytes);
      const again = new LmdbStateStore(path);
      try {
        await again.open();
        t.deepEqual(again.collection("rows").all(), expected, `${damage} of page ${page}`);
      } catch (error) {
        if (!(error instanceof StateCorruptError)) throw error;
        refused += 1;
      }
      await again.close();
    }
  }
  t.true(refused > 20, `${refused} refusals`);
});

test("a file that LMDB has written is never taken for damaged", async (t) => {
  const path = await directory(t);
  const random = numbers(5);
  const expected = new Map<string, string>();
  for (let life = 0; life < 25; life += 1) {
    const store = new LmdbStateStore(path);
    await store.open();
    const rows = store.collection<string>("rows");
    const all = rows.all();
    // Not deepEqual: what differs would fill many screens.
    t.is(all.length, expected.size);
    t.true(all.every(({ key, value }) => expected.get(key) === value));
    for (let turn = 0; turn < 12; turn += 1) {
      const writes = Array.from({ length: random(40) }, () => {
        const key = `${"k".repeat(random(200))}${random(300)}`;
        if (random(3) === 0) {
          expected.delete(key);
          return rows.delete(key);
        }
        const value = "v".repeat(random(10) === 0 ? random(30_000) : random(400));
        expected.set(key, value);
        return rows.put(key, value);
      });
      await Promise.all(writes);
    }
    await store.close();
  }
  t.true(expected.size > 100);
});
