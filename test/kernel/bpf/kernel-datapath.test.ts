import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { CompileError, createKernelDatapath } from "../../../src/datapath/index.ts";

const directory = mkdtempSync(join(tmpdir(), "waggle-kernel-datapath-"));
const datapath = createKernelDatapath({ cacheDir: join(directory, "cache") });
test.after.always(() => {
  datapath.close();
  rmSync(directory, { recursive: true, force: true });
});

function source(name: string, body: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, `#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n${body}\n`);
  return path;
}

test("C becomes a running program", async (t) => {
  const path = source(
    "answer.c",
    'SEC("tc") int answer(struct __sk_buff *ctx) { return ctx->len ? ANSWER : 0; }',
  );
  const input = { source: path, includes: [], defines: { ANSWER: 42 } };
  const { object, cached } = await datapath.compiler.compile(input);
  t.false(cached);
  const collection = datapath.bpf.load({ object });
  t.is(collection.programs.get("answer")?.testRun({ data: Buffer.alloc(64) }).returnValue, 42);
  collection.close();
  t.true((await datapath.compiler.compile(input)).cached);
});

test("C that does not compile says where", async (t) => {
  const path = source("broken.c", "int broken(void) { return nothing; }");
  const error = await t.throwsAsync(datapath.compiler.compile({ source: path, includes: [], defines: {} }), {
    instanceOf: CompileError,
  });
  t.like(error?.diagnostics[0], { file: path, line: 3, severity: "error" });
});

test("the network of this process is seen", async (t) => {
  t.is(datapath.kind, "kernel");
  t.is((await datapath.net.linkByName("lo"))?.ifindex, 1);
});
