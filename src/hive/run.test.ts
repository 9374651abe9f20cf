import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import {
  type Cell,
  Hive,
  invoke,
  Lifecycle,
  RunFailedError,
  Shutdowner,
  StartFailedError,
  StopFailedError,
  silentLogger,
} from "./index.ts";

const hive = (...cells: Cell[]) => new Hive({ name: "test", logger: silentLogger, cells });
const run = (subject: Hive) => subject.run({ signals: [] });

const fail = (message: string) => () => {
  throw new Error(message);
};

test("a run ends with a shutdown request, and stops what it started", async (t) => {
  const log: string[] = [];
  await run(
    hive(
      invoke({ lifecycle: Lifecycle, shutdowner: Shutdowner }, ({ lifecycle, shutdowner }) => {
        lifecycle.append({
          name: "a",
          start: () => void log.push("start"),
          stop: () => void log.push("stop"),
        });
        lifecycle.append({
          name: "end",
          start: () => void setImmediate(() => shutdowner.shutdown()),
        });
      }),
    ),
  );
  t.deepEqual(log, ["start", "stop"]);
});

test("the first shutdown error wins", async (t) => {
  const first = new Error("first");
  const subject = hive(
    invoke({ lifecycle: Lifecycle, shutdowner: Shutdowner }, ({ lifecycle, shutdowner }) => {
      lifecycle.append({
        name: "end",
        start: () => {
          setImmediate(() => {
            shutdowner.shutdown(first);
            shutdowner.shutdown(new Error("second"));
          });
        },
      });
    }),
  );
  t.is(await t.throwsAsync(run(subject)), first);
});

test("who does not use run sees a shutdown request in a signal", async (t) => {
  const subject = hive();
  await subject.start();
  t.false(subject.shutdownSignal.aborted);
  const reason = new Error("enough");
  subject.get(Shutdowner).shutdown(reason);
  t.is(subject.shutdownSignal.reason, reason);
  await subject.stop();
});

test("a shutdown request during start calls it off and is the run's error", async (t) => {
  const reason = new Error("changed my mind");
  const log: string[] = [];
  const subject = hive(
    invoke({ lifecycle: Lifecycle, shutdowner: Shutdowner }, ({ lifecycle, shutdowner }) => {
      lifecycle.append({ name: "a", stop: () => void log.push("-a") });
      lifecycle.append({ name: "b", start: () => shutdowner.shutdown(reason) });
      lifecycle.append({ name: "c", start: () => void log.push("+c") });
    }),
  );
  t.is(await t.throwsAsync(run(subject)), reason);
  t.deepEqual(log, ["-a"]);
});

test("a shutdown request before start, without an error, ends the run at once", async (t) => {
  const subject = hive(invoke({ shutdowner: Shutdowner }, ({ shutdowner }) => shutdowner.shutdown()));
  await t.notThrowsAsync(run(subject));
});

test("a run whose start fails rejects with that", async (t) => {
  const subject = hive(
    invoke({ lifecycle: Lifecycle }, ({ lifecycle }) =>
      lifecycle.append({ name: "a", start: fail("no luck") }),
    ),
  );
  await t.throwsAsync(run(subject), { instanceOf: StartFailedError });
});

test("errors while stopping are not lost, with or without a shutdown error", async (t) => {
  const subject = (reason?: Error) =>
    hive(
      invoke({ lifecycle: Lifecycle, shutdowner: Shutdowner }, ({ lifecycle, shutdowner }) => {
        lifecycle.append({ name: "a", stop: fail("stuck") });
        lifecycle.append({
          name: "end",
          start: () => void setImmediate(() => shutdowner.shutdown(reason)),
        });
      }),
    );
  await t.throwsAsync(run(subject()), { instanceOf: StopFailedError });
  const reason = new Error("reason");
  const error = await t.throwsAsync(run(subject(reason)), { instanceOf: RunFailedError });
  t.is(error?.errors[0], reason);
  t.is(error?.errors[1]?.message, 'stop hook "a" of the root failed: stuck');
});

test("a run ends when somebody calls stop", async (t) => {
  const started = Promise.withResolvers<void>();
  const subject = hive(
    invoke({ lifecycle: Lifecycle }, ({ lifecycle }) =>
      lifecycle.append({ name: "a", start: () => void setImmediate(started.resolve) }),
    ),
  );
  const ended = run(subject);
  await started.promise;
  await subject.stop();
  await t.notThrowsAsync(ended);
});

test("a signal stops a process that is nothing but a hive, which then ends by itself", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "hive-run-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const script = join(directory, "main.ts");
  writeFileSync(
    script,
    `import { Hive, Lifecycle, invoke } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
     const cell = invoke({ lifecycle: Lifecycle }, ({ lifecycle }) => lifecycle.append({
       name: "a", start: () => console.log("started"), stop: () => console.log("stopped") }));
     await new Hive({ name: "child", cells: [cell] }).run();
     console.log("ended");`,
  );
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (text.includes("started")) child.kill("SIGTERM");
  });
  const [code, signal] = await once(child, "close");
  t.deepEqual([code, signal, output], [0, null, "started\nstopped\nended\n"]);
});
