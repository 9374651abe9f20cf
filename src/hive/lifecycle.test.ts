import test from "ava";
import {
  type Cell,
  DeadlineError,
  Hive,
  type HiveOptions,
  type Hook,
  HookError,
  HookTimeoutError,
  invoke,
  Lifecycle,
  LifecycleClosedError,
  type LogLine,
  makeLogger,
  module,
  provide,
  StartCancelledError,
  StartFailedError,
  StopFailedError,
  silentLogger,
  token,
} from "./index.ts";

const hive = (cells: Cell[], options: Partial<HiveOptions> = {}) =>
  new Hive({ name: "test", logger: silentLogger, cells, ...options });

/** A cell that appends these hooks. */
const hooks = (...list: Hook[]) =>
  invoke({ lifecycle: Lifecycle }, ({ lifecycle }) => {
    for (const hook of list) lifecycle.append(hook);
  });

/** A hook that writes down when it starts and stops. */
function recording(name: string, log: string[], more: Partial<Hook> = {}): Hook {
  return { name, start: () => void log.push(`+${name}`), stop: () => void log.push(`-${name}`), ...more };
}

const fail = (message: string) => () => {
  throw new Error(message);
};

const never = () => new Promise<void>(() => {});

test("hooks start in construction order and stop in reverse", async (t) => {
  const log: string[] = [];
  const A = token<object>("a");
  const subject = hive([
    module(
      "user",
      "User",
      invoke({ a: A, lifecycle: Lifecycle }, ({ lifecycle }) => lifecycle.append(recording("user", log))),
    ),
    module(
      "base",
      "Base",
      provide(A, { lifecycle: Lifecycle }, ({ lifecycle }) => {
        lifecycle.append(recording("a", log));
        return {};
      }),
    ),
  ]);
  await subject.start();
  await subject.stop();
  t.deepEqual(log, ["+a", "+user", "-user", "-a"]);
});

test("a start hook is awaited before the next begins", async (t) => {
  const log: string[] = [];
  const subject = hive([
    hooks(
      {
        name: "slow",
        start: async () => {
          await new Promise(setImmediate);
          log.push("slow done");
        },
      },
      recording("next", log),
    ),
  ]);
  await subject.start();
  await subject.stop();
  t.deepEqual(log, ["slow done", "+next", "-next"]);
});

test("hooks flagged to stop first stop before all others, last first", async (t) => {
  const log: string[] = [];
  const subject = hive([
    hooks(
      recording("server 1", log, { stopFirst: true }),
      recording("db", log),
      recording("server 2", log, { stopFirst: true }),
      recording("cache", log),
    ),
  ]);
  await subject.start();
  log.length = 0;
  await subject.stop();
  t.deepEqual(log, ["-server 2", "-server 1", "-cache", "-db"]);
});

test("a failed start stops what had started and says which hook of which module failed", async (t) => {
  const log: string[] = [];
  const subject = hive([
    module(
      "m",
      "M",
      hooks(recording("a", log), recording("b", log, { start: fail("no luck") }), recording("c", log)),
    ),
  ]);
  const error = await t.throwsAsync(subject.start(), { instanceOf: StartFailedError });
  t.deepEqual(log, ["+a", "-a"]);
  t.true(error?.errors[0] instanceof HookError);
  t.is(error?.errors[0]?.message, 'start hook "b" of module m failed: no luck');
  await t.notThrowsAsync(subject.stop(), "there is nothing left to stop");
});

test("errors while rolling back are kept beside the reason", async (t) => {
  const subject = hive([
    hooks({ name: "a", start: () => {}, stop: fail("stuck") }, { name: "b", start: fail("no luck") }),
  ]);
  const error = await t.throwsAsync(subject.start(), { instanceOf: StartFailedError });
  t.deepEqual(
    error?.errors.map((each) => each.message),
    ['start hook "b" of the root failed: no luck', 'stop hook "a" of the root failed: stuck'],
  );
});

test("every stop hook runs although others fail, and all errors are kept", async (t) => {
  const log: string[] = [];
  const subject = hive([
    hooks(recording("a", log), { name: "b", stop: fail("1") }, recording("c", log), {
      name: "d",
      stop: fail("2"),
    }),
  ]);
  await subject.start();
  const error = await t.throwsAsync(subject.stop(), { instanceOf: StopFailedError });
  t.deepEqual(log, ["+a", "+c", "-c", "-a"]);
  t.deepEqual(
    error?.errors.map((each) => (each.cause as Error).message),
    ["2", "1"],
  );
});

test("stop may be repeated and called at once: the hooks run once", async (t) => {
  const log: string[] = [];
  const subject = hive([hooks(recording("a", log))]);
  await subject.start();
  await Promise.all([subject.stop(), subject.stop()]);
  await subject.stop();
  t.deepEqual(log, ["+a", "-a"]);
});

test("stop without start does nothing, and the hive stays stopped", async (t) => {
  const log: string[] = [];
  const subject = hive([hooks(recording("a", log))]);
  await subject.stop();
  await t.throwsAsync(subject.start(), { message: "cannot start: the hive is stopped" });
  t.deepEqual(log, []);
});

test("stop during start calls the start off and rolls it back", async (t) => {
  const log: string[] = [];
  const inHook = Promise.withResolvers<void>();
  const subject = hive([
    hooks(
      recording("a", log),
      {
        name: "waits",
        start: (signal) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason));
            inHook.resolve();
          }),
      },
      recording("never", log),
    ),
  ]);
  const started = t.throwsAsync(subject.start(), { instanceOf: StartFailedError });
  await inHook.promise;
  await subject.stop();
  t.deepEqual(log, ["+a", "-a"]);
  const error = await started;
  t.is(error?.errors.length, 1, "a hook that gave way is no failure of its own");
  t.true(error?.errors[0] instanceof StartCancelledError);
});

test("a start hook that outlasts the deadline is left behind by name", async (t) => {
  const log: string[] = [];
  const subject = hive([module("m", "M", hooks(recording("a", log), { name: "hangs", start: never }))], {
    startTimeoutMs: 100,
  });
  const error = await t.throwsAsync(subject.start(), { instanceOf: StartFailedError });
  t.true(error?.errors[0] instanceof HookTimeoutError);
  t.is(
    error?.errors[0]?.message,
    'start hook "hangs" of module m did not end: the start deadline of 100 ms passed',
  );
  t.deepEqual(log, ["+a", "-a"]);
});

test("a hook's signal aborts at the deadline, with the reason", async (t) => {
  let reason: unknown;
  const subject = hive(
    [
      hooks({
        name: "listens",
        start: (signal) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              reason = signal.reason;
              reject(new Error("gave up"));
            });
          }),
      }),
    ],
    { startTimeoutMs: 20 },
  );
  const error = await t.throwsAsync(subject.start(), { instanceOf: StartFailedError });
  t.true(reason instanceof DeadlineError);
  t.is(error?.errors[0]?.message, 'start hook "listens" of the root failed: gave up');
});

test("a stop hook that hangs does not keep the others from stopping", async (t) => {
  const log: string[] = [];
  const subject = hive([hooks(recording("a", log), { name: "hangs", stop: never }, recording("c", log))], {
    stopTimeoutMs: 100,
  });
  await subject.start();
  const error = await t.throwsAsync(subject.stop(), { instanceOf: StopFailedError });
  t.deepEqual(log, ["+a", "+c", "-c", "-a"]);
  t.is(error?.errors.length, 1);
  t.true(error?.errors[0] instanceof HookTimeoutError);
});

test("a slow hook is warned about while it runs", async (t) => {
  const warned = Promise.withResolvers<LogLine>();
  const logger = makeLogger((line) => {
    if (line.level === "warn") warned.resolve(line);
  });
  const subject = hive(
    [
      module(
        "m",
        "M",
        hooks({
          name: "slow",
          start: async () => {
            await warned.promise;
          },
        }),
      ),
    ],
    { logger, slowHookMs: 5 },
  );
  await subject.start();
  await subject.stop();
  const line = await warned.promise;
  t.is(line.message, "hook is slow");
  t.like(line.fields, { hook: "slow", module: "m", phase: "start" });
});

test("a hook cannot be appended once the hive has begun to start", async (t) => {
  const subject = hive([]);
  const lifecycle = subject.get(Lifecycle);
  await subject.start();
  t.throws(() => lifecycle.append({ name: "late" }), { instanceOf: LifecycleClosedError });
  await subject.stop();
});

test("a description shows hooks in order with their state", async (t) => {
  const subject = hive([
    module("m", "M", hooks({ name: "a", start: () => {} }, { name: "b", stop: () => {}, stopFirst: true })),
  ]);
  const shown = () => subject.describe().modules[0]?.hooks ?? [];
  subject.populate();
  t.deepEqual(shown(), [
    { name: "a", start: true, stop: false, stopFirst: false, state: "pending" },
    { name: "b", start: false, stop: true, stopFirst: true, state: "pending" },
  ]);
  await subject.start();
  t.deepEqual(
    shown().map((hook) => hook.state),
    ["started", "started"],
  );
  await subject.stop();
  t.deepEqual(
    shown().map((hook) => hook.state),
    ["stopped", "stopped"],
  );
});

const X = token<object>("x");
const Y = token<object>("y");
const Z = token<object>("z");

/** A provider with one hook of its own. */
const providing = (t: typeof X, needs: { x?: typeof X; y?: typeof Y }, hook: Hook) =>
  provide(t, { x: needs.x ?? Lifecycle, y: needs.y ?? Lifecycle, lifecycle: Lifecycle }, ({ lifecycle }) => {
    lifecycle.append(hook);
    return {};
  });

test("parallel start runs independent hooks side by side and dependent ones in order", async (t) => {
  const log: string[] = [];
  const yStarted = Promise.withResolvers<void>();
  const subject = hive(
    [
      providing(
        X,
        {},
        recording("x", log, { start: () => yStarted.promise.then(() => void log.push("+x")) }),
      ),
      providing(
        Y,
        {},
        {
          ...recording("y", log),
          start: () => {
            log.push("+y");
            yStarted.resolve();
          },
        },
      ),
      providing(Z, { x: X, y: Y }, recording("z", log)),
      invoke({ z: Z }, () => {}),
    ],
    { parallelStart: true },
  );
  await subject.start();
  await subject.stop();
  t.deepEqual(log, ["+y", "+x", "+z", "-z", "-x", "-y"]);
});

test("parallel start: one failure calls the others off and what had started is stopped", async (t) => {
  const log: string[] = [];
  const subject = hive(
    [
      providing(X, {}, recording("x", log)),
      providing(Y, {}, { name: "y", start: fail("no luck") }),
      providing(Z, { x: X, y: Y }, recording("z", log)),
      invoke({ z: Z }, () => {}),
    ],
    { parallelStart: true },
  );
  const error = await t.throwsAsync(subject.start(), { instanceOf: StartFailedError });
  t.is(error?.errors.length, 1);
  t.is(error?.errors[0]?.message, 'start hook "y" of the root failed: no luck');
  t.deepEqual(log, ["+x", "-x"]);
});
