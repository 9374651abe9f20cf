// waggle-bench: runs suites and writes down what they measured.

import { Command, InvalidArgumentError } from "commander";
import { markdown } from "./report/text.ts";
import type { Effort, Suite } from "./suite.ts";
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
}

const effortOf = ({ smoke, rounds }: Options): Effort =>
  smoke === true ? { rounds: rounds ?? 1, scale: 0.1 } : { rounds: rounds ?? 5, scale: 1 };

async function runSuite(suite: Suite, options: Options): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error("interrupted"));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const result = await suite.run({
    effort: effortOf(options),
    signal: stop.signal,
    progress: (what) => process.stderr.write(`${suite.name}: ${what}\n`),
  });
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify({ suite: suite.name, ...result })}\n`
      : `# ${suite.title}\n\n${suite.method}\n\n${markdown(result)}\n`,
  );
}

const program = new Command("waggle-bench")
  .description("Measures Waggle beside what people would use instead.")
  .argument("<suite...>", `what to measure: ${suites.map(({ name }) => name).join(", ")}`)
  .option("--json", "print JSON instead of tables")
  .option("--smoke", "a short run that only shows that the suite works")
  .option("--rounds <n>", "rounds of A B A B", wholeNumber)
  .action(async (names: string[], options: Options) => {
    for (const name of names) {
      const suite = suites.find((one) => one.name === name);
      if (suite === undefined)
        return program.error(
          `no suite is called ${name}; there are ${suites.map((one) => one.name).join(", ")}`,
        );
      await runSuite(suite, options);
    }
  });

await program.parseAsync();
