import test from "ava";
import { Subject } from "rxjs";
import {
  type Backoff,
  type Cell,
  type HealthNode,
  HealthTree,
  Hive,
  invoke,
  JobFailedError,
  type JobGroup,
  JobNameTakenError,
  Jobs,
  JobsClosedError,
  JobsInfo,
  Lifecycle,
  module,
  silentLogger,
  type TimerJob,
} from "./index.ts";

const quick: Backoff = { minMs: 1, maxMs: 2 };

/** A started hive whose module "m" has the jobs that `add` adds. */
async function started<J>(add: (jobs: JobGroup) => J, ...cells: Cell[]) {
  let added: J | undefined;
  const hive = new Hive({
    name: "test",
    logger: silentLogger,
    cells: [
      module(
        "m",
        "M",
        ...cells,
        invoke({ jobs: Jobs }, ({ jobs }) => {
          added = add(jobs);
        }),
      ),
    ],
  });
  await hive.start();
  return { hive, job: added as J, jobs: hive.get(Jobs, "m") };
}

const health = (hive: Hive, name: string): HealthNode | undefined =>
  hive
    .get(HealthTree)
    .snapshot()
    .children.find((node) => node.name === "m")
    ?.children.find((node) => node.name === name);

const abortOf = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

/** Counts, and lets a test wait for a count. */
function counter() {
  let count = 0;
  const waiting: { readonly at: number; readonly resolve: () => void }[] = [];
  return {
    get count() {
      return count;
    },
    add() {
      count++;
      for (const waiter of waiting) if (count >= waiter.at) waiter.resolve();
    },
    reached(at: number): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ at, resolve });
      if (count >= at) resolve();
      return promise;
    },
  };
}

test("a one-shot job runs once after start and is done", async (t) => {
  const runs = counter();
  const { hive, job } = await started((jobs) => jobs.oneShot("once", () => runs.add()));
  await job.done;
  t.is(runs.count, 1);
  t.like(job.status(), { module: "m", name: "once", kind: "one-shot", state: "done", runs: 1, failures: 0 });
  t.is(typeof job.status().lastDurationMs, "number");
  t.is(health(hive, "job-once")?.own, "stopped");
  await hive.stop();
});

test("a one-shot job is retried until it succeeds", async (t) => {
  let left = 2;
  const { hive, job } = await started((jobs) =>
    jobs.oneShot(
      "flaky",
      () => {
        if (left-- > 0) throw new Error("not yet");
      },
      { retries: 5, backoff: quick },
    ),
  );
  await job.done;
  t.like(job.status(), { state: "done", runs: 3, failures: 2 });
  t.false("lastError" in job.status(), "the last run succeeded");
  await hive.stop();
});

test("a one-shot job that uses up its retries has failed and is degraded", async (t) => {
  const { hive, job } = await started((jobs) =>
    jobs.oneShot("hopeless", () => Promise.reject(new Error("no")), { retries: 1, backoff: quick }),
  );
  await job.done;
  t.like(job.status(), { state: "failed", runs: 2, failures: 2, lastError: "no" });
  t.like(health(hive, "job-hopeless"), { own: "degraded", error: "no" });
  await hive.stop();
});

test("a job can end the hive when it fails", async (t) => {
  const cause = new Error("no");
  const hive = new Hive({
    name: "test",
    logger: silentLogger,
    cells: [
      module(
        "m",
        "M",
        invoke({ jobs: Jobs }, ({ jobs }) => {
          jobs.oneShot("vital", () => Promise.reject(cause), { shutdownOnError: true });
        }),
      ),
    ],
  });
  const error = await t.throwsAsync(hive.run({ signals: [] }), { instanceOf: JobFailedError });
  t.is(error?.message, 'job "vital" of module m failed: no');
  t.is(error?.cause, cause);
});

test("stopping the hive aborts a running job, waits for its end, and that is no failure", async (t) => {
  let ended = false;
  const { hive, job } = await started((jobs) =>
    jobs.oneShot("long", async ({ signal }) => {
      await abortOf(signal);
      ended = true;
      throw signal.reason;
    }),
  );
  await hive.stop();
  t.true(ended);
  t.like(job.status(), { state: "stopped", runs: 1, failures: 0 });
});

test("jobs start and stop where they stand among the hooks of their module", async (t) => {
  const log: string[] = [];
  const hive = new Hive({
    name: "test",
    logger: silentLogger,
    cells: [
      invoke({ jobs: Jobs, lifecycle: Lifecycle }, ({ jobs, lifecycle }) => {
        lifecycle.append({
          name: "open",
          start: () => void log.push("open"),
          stop: () => void log.push("close"),
        });
        jobs.oneShot("use", async ({ signal }) => {
          log.push("use");
          await abortOf(signal);
          log.push("used");
        });
      }),
    ],
  });
  await hive.start();
  await hive.stop();
  t.deepEqual(log, ["open", "use", "used", "close"]);
});

test("a timer runs after each interval", async (t) => {
  const runs = counter();
  const { hive, job } = await started((jobs) => jobs.timer("tick", () => runs.add(), { intervalMs: 1 }));
  await runs.reached(3);
  t.true(job.status().runs >= 3);
  await hive.stop();
  t.is(job.status().state, "stopped");
  await job.done;
});

test("a timer can run at start, and on triggers alone", async (t) => {
  const runs = counter();
  const { hive, job } = await started((jobs) => jobs.timer("tick", () => runs.add(), { runAtStart: true }));
  await runs.reached(1);
  job.trigger();
  await runs.reached(2);
  await hive.stop();
  t.is(runs.count, 2);
});

test("triggers during a run become one more run, so the last is never lost", async (t) => {
  const begun = counter();
  const gate = Promise.withResolvers<void>();
  const { hive, job } = await started((jobs) =>
    jobs.timer(
      "sync",
      async () => {
        begun.add();
        if (begun.count === 1) await gate.promise;
      },
      { runAtStart: true },
    ),
  );
  await begun.reached(1);
  for (let i = 0; i < 10; i++) job.trigger();
  gate.resolve();
  await begun.reached(2);
  await new Promise(setImmediate);
  t.is(begun.count, 2);
  await hive.stop();
});

test("a burst of triggers within the debounce time makes one run", async (t) => {
  const runs = counter();
  const { hive, job } = await started((jobs) => jobs.timer("sync", () => runs.add(), { debounceMs: 200 }));
  for (let i = 0; i < 10; i++) {
    job.trigger();
    await new Promise(setImmediate);
  }
  await runs.reached(1);
  t.is(runs.count, 1);
  await hive.stop();
});

test("a trigger before start is kept", async (t) => {
  const runs = counter();
  const { hive } = await started((jobs): TimerJob => {
    const job = jobs.timer("sync", () => runs.add(), {});
    job.trigger();
    return job;
  });
  await runs.reached(1);
  await hive.stop();
  t.is(runs.count, 1);
});

test("a timer whose run fails is degraded, backs off and goes on", async (t) => {
  const runs = counter();
  const { hive, job } = await started((jobs) =>
    jobs.timer(
      "tick",
      ({ health }) => {
        runs.add();
        if (runs.count === 1) throw new Error("no");
        health.ok("in my own words");
      },
      { runAtStart: true, intervalMs: 600_000, backoff: quick },
    ),
  );
  await runs.reached(2);
  await new Promise(setImmediate);
  t.like(job.status(), { runs: 2, failures: 1, state: "idle" });
  t.like(health(hive, "job-tick"), { own: "ok", message: "in my own words" });
  await hive.stop();
});

test("an observer handles values one after the other and ends with the stream", async (t) => {
  const source = new Subject<number>();
  const seen: number[] = [];
  const { hive, job } = await started((jobs) =>
    jobs.observer("watch", source, async (value) => {
      await new Promise(setImmediate);
      seen.push(value);
    }),
  );
  for (const value of [1, 2, 3]) source.next(value);
  source.complete();
  await job.done;
  t.deepEqual(seen, [1, 2, 3]);
  t.like(job.status(), { state: "done", runs: 3, failures: 0 });
  await hive.stop();
});

test("an observer that keeps the latest skips what it had no time for", async (t) => {
  const source = new Subject<number>();
  const seen: number[] = [];
  const { hive, job } = await started((jobs) =>
    jobs.observer(
      "watch",
      source,
      async (value) => {
        seen.push(value);
        await new Promise(setImmediate);
      },
      { keep: "latest" },
    ),
  );
  source.next(1);
  await new Promise(setImmediate);
  for (const value of [2, 3, 4]) source.next(value);
  source.complete();
  await job.done;
  t.is(seen.at(-1), 4);
  t.false(seen.includes(3));
  await hive.stop();
});

test("an observer goes on after a value it could not handle, and fails with its stream", async (t) => {
  const source = new Subject<number>();
  const { hive, job } = await started((jobs) =>
    jobs.observer("watch", source, (value) => {
      if (value === 1) throw new Error("not this one");
    }),
  );
  source.next(1);
  source.next(2);
  source.error(new Error("stream broke"));
  await job.done;
  t.like(job.status(), { state: "failed", runs: 2, failures: 1, lastError: "stream broke" });
  t.like(health(hive, "job-watch"), { own: "degraded", error: "stream broke" });
  await hive.stop();
});

test("a stopped observer unsubscribes", async (t) => {
  const source = new Subject<number>();
  const { hive } = await started((jobs) => jobs.observer("watch", source, () => {}));
  t.true(source.observed);
  await hive.stop();
  t.false(source.observed);
});

test("a job added while the hive runs starts at once, stops with it, and leaves no trace when done", async (t) => {
  const { hive, jobs } = await started(() => undefined);
  const short = jobs.oneShot("short", () => {});
  const long = jobs.oneShot("long", ({ signal }) => abortOf(signal));
  await short.done;
  t.deepEqual(
    hive
      .get(JobsInfo)
      .list()
      .map((status) => status.name),
    ["long"],
  );
  t.is(health(hive, "job-short"), undefined);
  await hive.stop();
  t.is(long.status().state, "stopped");
});

test("a name can be used again once its job has ended", async (t) => {
  const { hive, jobs } = await started(() => undefined);
  const first = jobs.oneShot("work", ({ signal }) => abortOf(signal));
  t.throws(() => jobs.oneShot("work", () => {}), { instanceOf: JobNameTakenError });
  await first.stop();
  await jobs.oneShot("work", () => {}).done;
  await hive.stop();
});

test("a job that was stopped before start never runs", async (t) => {
  const runs = counter();
  const { hive } = await started((jobs) => {
    const job = jobs.oneShot("cancelled", () => runs.add());
    void job.stop();
    return job;
  });
  await hive.stop();
  t.is(runs.count, 0);
});

test("no job can be added to a stopped hive", async (t) => {
  const { hive, jobs } = await started(() => undefined);
  await hive.stop();
  t.throws(() => jobs.oneShot("late", () => {}), { instanceOf: JobsClosedError });
});

test("the inspector lists all jobs by module and name", async (t) => {
  const { hive } = await started((jobs) => {
    jobs.timer("b", () => {}, {});
    jobs.oneShot("a", () => {});
  });
  t.deepEqual(
    hive
      .get(JobsInfo)
      .list()
      .map(({ module: owner, name, kind }) => [owner, name, kind]),
    [
      ["m", "a", "one-shot"],
      ["m", "b", "timer"],
    ],
  );
  await hive.stop();
});
