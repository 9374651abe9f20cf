// The results of a run as files: results.json, a page, and its pictures.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Machine, machineText } from "../machine.ts";
import type { Effort, Suite, SuiteResult } from "../suite.ts";
import { plotsOf } from "./plots.ts";
import { markdown } from "./text.ts";

/** What one run has measured. */
export interface Report {
  readonly machine: Machine;
  /** ISO date. */
  readonly date: string;
  readonly effort: Effort;
  readonly suites: readonly { readonly suite: Suite; readonly result: SuiteResult }[];
}

/** What the run's figures are worth. */
const preface = ({ machine, date, effort: { rounds } }: Report): string =>
  `Measured on ${date} on ${machineText(machine)}. Each figure is the median of ${rounds} rounds, of ${rounds * 2} for ` +
  "TCP's throughput and requests and for UDP, its quartiles in brackets. In each round all variants of a row " +
  "take turns, forwards and backwards, and a ratio compares samples of the same round: what disturbs a round disturbs " +
  "all of it. Of processor time the fastest visits count, as many as there are rounds. Load, servers and what is " +
  "between them share the machine's cores, and the machine is a virtual one that is shared with others: the ratios " +
  "mean something, the absolute figures little. A target is in doubt where the quartiles lie on both sides of it.";

function summary({ suites }: Report): string {
  const lines = suites.map(({ suite, result }) => {
    const reached = result.targets.filter((target) => target.reached).length;
    return `| [${suite.title}](#${anchor(suite.title)}) | ${reached} of ${result.targets.length} |`;
  });
  return ["| Suite | Targets reached |", "|---|---|", ...lines].join("\n");
}

const anchor = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, "")
    .replace(/ /g, "-");

/** Writes results.json, page.md and the pictures. @throws when the directory cannot be written */
export async function writeReport(report: Report, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const parts = [preface(report), summary(report)];
  for (const { suite, result } of report.suites) {
    const plots = await plotsOf(suite, result);
    for (const { file, svg } of plots) await writeFile(join(directory, file), svg);
    parts.push(
      `## ${suite.title}`,
      suite.method,
      ...plots.map(({ file, title }) => `![${title}](${file})`),
      markdown(result),
    );
  }
  await writeFile(join(directory, "page.md"), `# Results\n\n${parts.join("\n\n")}\n`);
  const { machine, date, effort } = report;
  const suites = report.suites.map(({ suite, result }) => ({ suite: suite.name, ...result }));
  await writeFile(
    join(directory, "results.json"),
    `${JSON.stringify({ machine, date, effort, suites }, null, 1)}\n`,
  );
}
