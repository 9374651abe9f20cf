import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { CompileError } from "../errors.ts";
import type { CompileInput } from "../types.ts";
import { parseDependencyRule } from "./digest.ts";
import { createCompiler, parseDiagnostics } from "./index.ts";

const SOURCE = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <answer.h>
SEC("tc") int answer(struct __sk_buff *ctx) { return ctx->len > ANSWER; }
char _license[] SEC("license") = "Dual BSD/GPL";
`;

interface Workshop {
  readonly directory: string;
  readonly cacheDir: string;
  readonly input: CompileInput;
}

async function workshop(t: ExecutionContext): Promise<Workshop> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-compiler-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  for (const name of ["first", "second"]) await mkdir(join(directory, name));
  await writeFile(join(directory, "second", "answer.h"), "#define ANSWER 42\n");
  await writeFile(join(directory, "a.c"), SOURCE);
  return {
    directory,
    cacheDir: join(directory, "cache"),
    input: {
      source: join(directory, "a.c"),
      includes: [join(directory, "first"), join(directory, "second")],
      defines: {},
    },
  };
}

/** Stands in for clang and counts its runs. */
async function countingClang(
  directory: string,
): Promise<{ readonly clang: string; runs(): Promise<number> }> {
  const clang = join(directory, "counting-clang");
  const log = join(directory, "runs");
  await writeFile(log, "");
  await writeFile(clang, `#!/bin/sh\necho x >> ${log}\nexec clang-19 "$@"\n`);
  await chmod(clang, 0o755);
  return { clang, runs: async () => (await readFile(log, "utf8")).length / 2 };
}

test("an unchanged source is compiled once, and then needs no compiler at all", async (t) => {
  const { directory, cacheDir, input } = await workshop(t);
  const { clang, runs } = await countingClang(directory);
  const first = await createCompiler({ cacheDir, clang }).compile(input);
  t.false(first.cached);
  t.regex(first.digest, /^[0-9a-f]{64}$/);
  t.is((await readFile(first.object)).toString("latin1", 1, 4), "ELF");
  const before = await runs();
  const second = await createCompiler({ cacheDir, clang }).compile(input);
  t.deepEqual(second, { ...first, cached: true });
  t.is(await runs(), before);
});

test("a changed header, a define or a shadowing header gives another object", async (t) => {
  const { directory, cacheDir, input } = await workshop(t);
  const compiler = createCompiler({ cacheDir });
  const digests = [await compiler.compile(input)];
  digests.push(await compiler.compile({ ...input, defines: { UNUSED: 1 } }));
  await writeFile(join(directory, "second", "answer.h"), "#define ANSWER 43\n");
  digests.push(await compiler.compile(input));
  await writeFile(join(directory, "first", "answer.h"), "#define ANSWER 44\n");
  digests.push(await compiler.compile(input));
  t.is(new Set(digests.map((result) => result.digest)).size, 4);
  t.true(digests.every((result) => !result.cached));

  await rm(join(directory, "first", "answer.h"));
  await writeFile(join(directory, "second", "answer.h"), "#define ANSWER 42\n");
  t.deepEqual(await compiler.compile(input), { ...digests[0]!, cached: true });
});

test("the same sources elsewhere share an object", async (t) => {
  const a = await workshop(t);
  const b = await workshop(t);
  const compiler = createCompiler({ cacheDir: a.cacheDir });
  const first = await compiler.compile(a.input);
  t.deepEqual(await compiler.compile(b.input), { ...first, cached: true });
});

test("compilations of the same thing at once are one", async (t) => {
  const { directory, cacheDir, input } = await workshop(t);
  const { clang, runs } = await countingClang(directory);
  const compiler = createCompiler({ cacheDir, clang });
  const results = await Promise.all(Array.from({ length: 5 }, () => compiler.compile(input)));
  t.is(new Set(results.map((result) => result.object)).size, 1);
  t.is(await runs(), 3, "dependencies, version, object");
  t.deepEqual((await readdir(join(cacheDir, "objects"))).length, 1);
});

test("an error names file, line and column, and leaves nothing behind", async (t) => {
  const { directory, cacheDir, input } = await workshop(t);
  await writeFile(input.source, `${SOURCE}\nint broken(void) { return nothing; }\n`);
  const error = await t.throwsAsync(createCompiler({ cacheDir }).compile(input), {
    instanceOf: CompileError,
  });
  t.is(error?.diagnostics[0]?.file, join(directory, "a.c"));
  t.is(error?.diagnostics[0]?.line, 8);
  t.is(error?.diagnostics[0]?.severity, "error");
  t.regex(error?.diagnostics[0]?.message ?? "", /nothing/);
  t.deepEqual(await readdir(join(cacheDir, "objects")), []);
});

test("warnings are errors, and so is a missing header", async (t) => {
  const { cacheDir, input } = await workshop(t);
  const compiler = createCompiler({ cacheDir });
  await writeFile(input.source, `${SOURCE}\nstatic int unused(void) { return 1; }\n`);
  const warning = await t.throwsAsync(compiler.compile(input), { instanceOf: CompileError });
  t.regex(warning?.message ?? "", /unused/);
  await writeFile(input.source, "#include <nowhere.h>\n");
  const missing = await t.throwsAsync(compiler.compile(input), { instanceOf: CompileError });
  t.regex(missing?.diagnostics[0]?.message ?? "", /'nowhere\.h' file not found/);
});

test("a compiler that hangs is killed, one that is absent is named", async (t) => {
  const { directory, cacheDir, input } = await workshop(t);
  const clang = join(directory, "slow-clang");
  await writeFile(clang, "#!/bin/sh\nexec sleep 30\n");
  await chmod(clang, 0o755);
  await t.throwsAsync(createCompiler({ cacheDir, clang, timeoutMs: 100 }).compile(input), {
    message: /not done after 100 ms/,
  });
  await t.throwsAsync(createCompiler({ cacheDir, clang: "no-such-clang" }).compile(input), {
    message: /no-such-clang.*WAGGLE_CLANG/,
  });
});

test("a source or header that would be read for ever is refused", async (t) => {
  const { directory, cacheDir, input } = await workshop(t);
  const compiler = createCompiler({ cacheDir });
  const refused = { message: /it is a directory, a device or a pipe, not a file/ };
  await rm(join(directory, "second", "answer.h"));
  await symlink("/dev/zero", join(directory, "second", "answer.h"));
  await t.throwsAsync(compiler.compile(input), refused);
  await rm(input.source);
  await symlink("/dev/zero", input.source);
  await t.throwsAsync(compiler.compile(input), refused);
});

test("input that is no path or identifier is refused before anything runs", async (t) => {
  const { cacheDir, input } = await workshop(t);
  const compiler = createCompiler({ cacheDir });
  await t.throwsAsync(compiler.compile({ ...input, source: "a.c" }), { message: /absolute path/ });
  await t.throwsAsync(compiler.compile({ ...input, defines: { "A B": 1 } }), { message: /C identifier/ });
});

test("clang's messages and rules are read as they are written", (t) => {
  t.deepEqual(
    parseDiagnostics("In file included from /a.c:1:\n/b.h:5:10: fatal error: no: such\n   5 | #include\n"),
    [{ file: "/b.h", line: 5, column: 10, severity: "error", message: "no: such" }],
  );
  t.deepEqual(parseDependencyRule("a.o: /x/a.c \\\n  /x/with\\ space.h /x/b$$.h\n"), [
    "/x/a.c",
    "/x/with space.h",
    "/x/b$.h",
  ]);
});
