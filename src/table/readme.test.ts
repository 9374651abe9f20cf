import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";

test("the example of README.md does what its comments say", async (t) => {
  const readme = await readFile(new URL("README.md", import.meta.url), "utf8");
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const directory = await mkdtemp(join(tmpdir(), "waggle-table-readme-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, "example.mts");
  await writeFile(
    file,
    example.replace(/["']waggle\/table["']/, JSON.stringify(new URL("index.ts", import.meta.url).href)),
  );
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file]);
  t.is(stderr, "");
  t.deepEqual(stdout.trim().split("\n"), [
    "10.0.0.0/8 10.1.0.0/16",
    "eth2",
    "reconciler routes: not reconciled up to revision 2: 10.2.0.0/16: no gateway",
    "error",
    "upsert 10.0.0.0/8",
    "upsert 10.1.0.0/16",
    "upsert 10.2.0.0/16",
    "delete 10.0.0.0/8",
  ]);
});
