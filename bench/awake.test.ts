import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { AwakeCores } from "./awake.ts";

async function withFile<T>(use: (file: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-awake-"));
  try {
    const file = join(directory, "latency");
    await writeFile(file, "");
    return await use(file);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Whether this process has the file open. */
async function isHeld(file: string): Promise<boolean> {
  const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
  return (await Promise.all(links)).includes(file);
}

test("a bound of 0 µs, 32 bits wide, is held during the work and no longer, with nothing to remark", (t) =>
  withFile(async (file) => {
    const cores = new AwakeCores({ file });
    const held = await cores.during(async () => [await isHeld(file), await readFile(file)] as const);
    t.deepEqual(held, [true, Buffer.from([0, 0, 0, 0])]);
    t.false(await isHeld(file));
    t.deepEqual(cores.remarks, []);
  }));

test("cores are let go of when the work fails", (t) =>
  withFile(async (file) => {
    const work = async () => {
      throw new Error("no answers");
    };
    await t.throwsAsync(new AwakeCores({ file }).during(work), { message: "no answers" });
    t.false(await isHeld(file));
  }));

test("where the kernel has no such file the work is done all the same, a remark says so, and none is made", (t) =>
  withFile(async (file) => {
    const missing = `${file}-missing`;
    const cores = new AwakeCores({ file: missing });
    t.is(await cores.during(async () => 7), 7);
    t.regex(cores.remarks.join(), /could halt while rates were measured: ENOENT.*latency-missing/);
    t.false(existsSync(missing));
  }));

test("cores that may sleep are left alone, and a remark says that this was asked for", (t) =>
  withFile(async (file) => {
    const cores = new AwakeCores({ file, maySleep: true });
    t.false(await cores.during(() => isHeld(file)));
    t.regex(cores.remarks.join(), /asked for/);
  }));
