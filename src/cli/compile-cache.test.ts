import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { getCompileCacheDir } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { cacheDirectory, keepCompiledCode } from "./compile-cache.ts";

async function scratch(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-compile-cache-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test("compiled code lies below the agent's cache: of a flag, the environment, its file of settings or by default", async (t) => {
  const file = join(await scratch(t), "waggle.yaml");
  await writeFile(file, "# where\nstate-dir: /s/file # here\ncache-dir: '/c/file'\n");
  const env = { WAGGLE_STATE_DIR: "/s/env", WAGGLE_CACHE_DIR: "/c/env" };
  t.is(cacheDirectory(["agent", "--cache-dir", "/c/flag"], env), "/c/flag");
  t.is(cacheDirectory(["agent", "--cache-dir=/c/flag"], env), "/c/flag");
  t.is(cacheDirectory(["agent"], env), "/c/env");
  t.is(cacheDirectory(["agent", "--config", file], {}), "/c/file");
  t.is(cacheDirectory(["agent", "--config", file], env), "/c/env");
  t.is(cacheDirectory(["agent", "--state-dir", "/s/flag"], {}), "/s/flag/cache");
  t.is(cacheDirectory(["agent", "--config", "/nonexistent"], {}), "/var/lib/waggle/cache");
});

test("nothing is kept for other commands, where nothing is yet, or where others could put code", async (t) => {
  const directory = await scratch(t);
  const before = getCompileCacheDir();
  keepCompiledCode(["status", "--cache-dir", directory], {});
  keepCompiledCode(["agent", "--cache-dir", join(directory, "none")], {});
  await chmod(directory, 0o777);
  keepCompiledCode(["agent", "--cache-dir", directory], {});
  t.is(getCompileCacheDir(), before);
  t.deepEqual(await readdir(directory), []);
});
