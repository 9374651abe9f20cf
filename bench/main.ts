// waggle-bench: runs suites and writes down what they measured.

import { Command, InvalidArgumentError } from "commander";
import { AwakeCores } from "./awake.ts";
import { fillCache } from "./bench-world.ts";
import { describeMachine } from "./machine.ts";
import { type Report, writeReport } from "./report/page.ts";
import { markdown } from "./report/text.ts";
import type { Effort, Suite, SuiteResult } from "./suite.ts";
import { suites } from "./suites/index.ts";

const wholeNumber = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 100) throw new InvalidArgumentError("want 1 to 100");
  return value;
};

interface Options {
  readonly json?: boolean;
  readonly smoke?: boolean;
  readonly rounds?: number;
  readonly coresMaySleep?: boolean;
  readonly out?: string;
}

const effortOf = ({ smoke, rounds }: Options): Effort =>
  smoke === true
    ? { rounds: rounds ?? 1, warmUp: false, scale: 0.05 }
    : { rounds: rounds ?? 5, warmUp: true, scale: 1 };

/** A short run judges nothing: it may do several things at once. */
const atOnce = ({ smoke }: Options): number => (smoke === true ? 4 : 1);

function chosen(names: readonly string[]): readonly Suite[] {
  if (names.length === 0) return suites;
  return names.map((name) => {
    const suite = suites.find((one) => one.name === name);
    if (suite !== undefined) return suite;
    return program.error(`no suite is called ${name}; there are ${suites.map((one) => one.name).join(", ")}`);
  });
}

async function runSuite(suite: Suite, options: Options, signal: AbortSignal): Promise<SuiteResult> {
  const started = performance.now();
  const cores = new AwakeCores({ maySleep: options.coresMaySleep === true });
  const progress = (what: string): void => void process.stderr.write(`${suite.name}: ${what}\n`);
  const result = await suite.run({
    effort: effortOf(options),
    signal,
    progress,
    awake: (measure) => cores.during(measure),
  });
  progress(`done in ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  return { ...result, remarks: [...result.remarks, ...cores.remarks] };
}

/** Runs all suites, some at once; the first that fails ends the others. */
async function runAll(wanted: readonly Suite[], options: Options): Promise<Report["suites"]> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error("interrupted"));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  await fillCache();
  const results = new Map<Suite, SuiteResult>();
  const waiting = [...wanted];
  const worker = async (): Promise<void> => {
    for (let suite = waiting.shift(); suite !== undefined; suite = waiting.shift()) {
      stop.signal.throwIfAborted();
      try {
        results.set(suite, await runSuite(suite, options, stop.signal));
      } catch (error) {
        const failure = new Error(`${suite.name}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
        stop.abort(failure);
        throw failure;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: atOnce(options) }, worker));
  const failures = ends.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  if (failures.length > 0) throw failures[0];
  return wanted.map((suite) => ({ suite, result: results.get(suite)! }));
}

const print = ({ suite, result }: Report["suites"][number], { json, smoke }: Options): void => {
  const shown = smoke === true ? { ...result, targets: [] } : result;
  process.stdout.write(
    json === true
      ? `${JSON.stringify({ suite: suite.name, ...shown })}\n`
      : `# ${suite.title}\n\n${suite.method}\n\n${markdown(shown)}\n\n`,
  );
};

const program = new Command("waggle-bench")
  .description("Measures Waggle beside what people would use instead.")
  .argument("[suite...]", `what to measure, by default all: ${suites.map(({ name }) => name).join(", ")}`)
  .option("--json", "print JSON instead of tables")
  .option("--smoke", "a short run that only shows that the suites work, and judges nothing")
  .option("--rounds <n>", "rounds of A B A B", wholeNumber)
  .option(
    "--cores-may-sleep",
    "let idle cores halt while rates are measured, to see what their wake-ups cost",
  )
  .option("--out <directory>", "also write results.json, page.md and pictures there")
  .action(async (names: string[], options: Options) => {
    const results = await runAll(chosen(names), options);
    for (const result of results) print(result, options);
    if (options.out === undefined) return;
    const report: Report = {
      machine: describeMachine(),
      date: new Date().toISOString().slice(0, 10),
      effort: effortOf(options),
      suites: results,
    };
    await writeReport(report, options.out);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
