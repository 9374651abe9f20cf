import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { open } from "lmdb";
import {
  LmdbStateStore,
  StateArgumentError,
  StateClosedError,
  StateCorruptError,
  StateLockedError,
  StateVersionError,
  StateWriteError,
} from "./index.ts";
import { encodeValue } from "./values.ts";

interface Row {
  readonly name: string;
  readonly count: bigint;
}

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "waggle-state-"));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function opened(t: ExecutionContext, path: string): Promise<LmdbStateStore> {
  const store = new LmdbStateStore(path);
  await store.open();
  t.teardown(() => store.close());
  return store;
}

/** A process that stores rows one after the other and prints each number once it is acknowledged. */
function writer(path: string): ChildProcess {
  const program = `
    import { LmdbStateStore } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    const store = new LmdbStateStore(${JSON.stringify(path)});
    await store.open();
    const rows = store.collection("rows");
    for (let i = 0; ; i++) {
      await rows.put("row-" + i, { name: "row", count: BigInt(i) });
      process.stdout.write(i + "\\n");
    }`;
  return spawn(process.execPath, ["--input-type=module", "--conditions=waggle-source", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

test("what was put is there after closing and opening again, bigint included, in key order", async (t) => {
  const path = await directory(t);
  const first = await opened(t, path);
  const rows = first.collection<Row>("rows");
  await Promise.all([
    rows.put("b", { name: "second", count: 2n ** 80n }),
    rows.put("a", { name: "first", count: -1n }),
    first.collection("row").put("a", "of another collection"),
  ]);
  await rows.put("c", { name: "gone", count: 0n });
  await rows.delete("c");
  await first.close();
  const second = await opened(t, path);
  t.deepEqual(second.collection<Row>("rows").all(), [
    { key: "a", value: { name: "first", count: -1n } },
    { key: "b", value: { name: "second", count: 2n ** 80n } },
  ]);
  t.is(second.collection<Row>("rows").get("c"), undefined);
  t.is((await stat(path)).mode & 0o777, 0o700);
});

test("no acknowledged write is lost when the process is killed", async (t) => {
  const path = await directory(t);
  const child = writer(path);
  t.teardown(() => child.kill("SIGKILL"));
  let acknowledged = -1;
  for await (const line of createInterface({ input: child.stdout! })) {
    acknowledged = Number(line);
    if (acknowledged === 200) child.kill("SIGKILL");
  }
  t.true(acknowledged >= 200);
  const rows = (await opened(t, path)).collection<Row>("rows");
  for (let i = 0; i <= acknowledged; i += 1) t.is(rows.get(`row-${i}`)?.count, BigInt(i));
});

test("a second agent on the same directory is refused and told the first one's pid", async (t) => {
  const path = await directory(t);
  const child = writer(path);
  t.teardown(() => child.kill("SIGKILL"));
  await once(child.stdout!, "data");
  const error = await t.throwsAsync(new LmdbStateStore(path).open(), { instanceOf: StateLockedError });
  t.is(error?.pid, child.pid);
  t.regex(error?.message ?? "", new RegExp(`pid ${child.pid}.*--state-dir`));
});

test("the lock of a killed agent is taken over, by one of those who try at once", async (t) => {
  const path = await directory(t);
  const child = writer(path);
  await once(child.stdout!, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  const stores = Array.from({ length: 6 }, () => new LmdbStateStore(path));
  const results = await Promise.allSettled(stores.map((store) => store.open()));
  t.is(results.filter(({ status }) => status === "fulfilled").length, 1);
  for (const result of results) {
    if (result.status === "rejected")
      t.true(result.reason instanceof StateLockedError, String(result.reason));
  }
  await Promise.all(stores.map((store) => store.close()));
});

test("a directory whose path is too long for a socket can be locked", async (t) => {
  const path = join(await directory(t), "a".repeat(120), "b".repeat(120));
  await opened(t, path);
  await t.throwsAsync(new LmdbStateStore(path).open(), { instanceOf: StateLockedError });
});

async function filled(t: ExecutionContext): Promise<{ path: string; file: string }> {
  const path = await directory(t);
  const store = new LmdbStateStore(path);
  await store.open();
  const rows = store.collection<string>("rows");
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => rows.put(`row-${i}`, `value-${i}-${"x".repeat(200)}`)),
  );
  await store.close();
  return { path, file: join(path, "state.mdb") };
}

test("a file that is no database is refused", async (t) => {
  const path = await directory(t);
  await writeFile(join(path, "state.mdb"), Buffer.alloc(65_536, "garbage"));
  const error = await t.throwsAsync(new LmdbStateStore(path).open(), { instanceOf: StateCorruptError });
  t.regex(error?.message ?? "", /state\.mdb is damaged: it is no LMDB database/);
});

for (const part of [0.001, 0.1, 0.5, 0.9]) {
  test(`a file cut to ${part} of its length is refused and does not crash the agent`, async (t) => {
    const { path, file } = await filled(t);
    await truncate(file, Math.ceil((await stat(file)).size * part));
    await t.throwsAsync(new LmdbStateStore(path).open(), { instanceOf: StateCorruptError });
  });
}

test("one flipped bit in a value is noticed at start, and the value is named", async (t) => {
  const { path, file } = await filled(t);
  const bytes = await readFile(file);
  for (let at = bytes.indexOf("value-77-"); at >= 0; at = bytes.indexOf("value-77-", at + 1))
    bytes[at] = 0x57;
  await writeFile(file, bytes);
  const error = await t.throwsAsync(new LmdbStateStore(path).open(), { instanceOf: StateCorruptError });
  t.regex(error?.message ?? "", /rows\/row-77 is damaged: its checksum does not match/);
});

test("state of another format version is refused and left as it is", async (t) => {
  const path = await directory(t);
  const raw = open<Buffer, string>({
    path: join(path, "state.mdb"),
    encoding: "binary",
    overlappingSync: false,
  });
  await raw.put("@version", encodeValue("@version", 99));
  await raw.close();
  const error = await t.throwsAsync(new LmdbStateStore(path).open(), { instanceOf: StateVersionError });
  t.is(error?.found, 99);
});

/** Only root may mount a small disk to fill. */
const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot("a full disk fails the write and keeps what was stored", async (t) => {
  const path = await directory(t);
  const mount = join(path, "small");
  await mkdir(mount);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "none", mount]);
  t.teardown(() => execFileSync("umount", ["-l", mount]));
  const store = new LmdbStateStore(mount);
  await store.open();
  const rows = store.collection<string>("rows");
  await rows.put("small", "kept");
  await t.throwsAsync(rows.put("big", "x".repeat(1_000_000)), { instanceOf: StateWriteError });
  t.is(rows.get("small"), "kept");
  t.is(rows.get("big"), undefined);
  await rows.put("after", "works again");
  await store.close();
});

test("use outside open and close, and what cannot be stored, are refused", async (t) => {
  const path = await directory(t);
  const store = new LmdbStateStore(path);
  const rows = store.collection<unknown>("rows");
  t.throws(() => rows.all(), { instanceOf: StateClosedError });
  await t.throwsAsync(rows.put("a", 1), { instanceOf: StateClosedError });
  t.throws(() => store.collection("No Such"), { instanceOf: StateArgumentError });
  await store.open();
  for (const value of [
    undefined,
    Number.NaN,
    new Map(),
    new Date(),
    () => 1,
    { a: Symbol("s") },
    { $bigint: "1" },
  ]) {
    await t.throwsAsync(rows.put("a", value), { instanceOf: StateArgumentError }, String(value));
  }
  for (const key of ["", "a\nb", "k".repeat(2_000)]) {
    await t.throwsAsync(rows.put(key, 1), { instanceOf: StateArgumentError });
  }
  await store.close();
});
