import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";

test("the readme's example prints what the readme says", async (t) => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  const code = readme.match(/```ts\n([\s\S]*?)```/)?.[1] ?? "";
  const output = readme.match(/```text\n([\s\S]*?)```/)?.[1];
  const directory = mkdtempSync(join(tmpdir(), "hive-readme-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const script = join(directory, "example.ts");
  writeFileSync(script, code.replace('"waggle/hive"', JSON.stringify(import.meta.resolve("./index.ts"))));
  const { stdout } = await promisify(execFile)(process.execPath, [script]);
  t.is(stdout, output ?? "no output block in the readme");
});
