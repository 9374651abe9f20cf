// Results for a terminal and for BENCHMARKS.md.

import { summarise } from "../statistics.ts";
import type { Row, SuiteResult, Target } from "../suite.ts";

/** Three significant digits, with a space between thousands. */
export function figure(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const [whole, fraction] = value.toFixed(Math.min(digits, 6)).split(".");
  const grouped = whole!.replace(/\B(?=(\d{3})+$)/g, " ");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

function rowLine({ name, unit, variants }: Row): string {
  const cells = variants.map(({ samples }) => {
    const { median, low, high } = summarise(samples);
    return `${figure(median)} (${figure(low)}–${figure(high)})`;
  });
  return `| ${name}, ${unit} | ${cells.join(" | ")} |`;
}

/** Rows with the same variants stand in one table. */
function tables(rows: readonly Row[]): string[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const heads = row.variants.map(({ name }) => name).join(" | ");
    groups.set(heads, [...(groups.get(heads) ?? []), row]);
  }
  return [...groups].map(([heads, group]) =>
    [`| | ${heads} |`, `|---|${group[0]!.variants.map(() => "---:|").join("")}`, ...group.map(rowLine)].join(
      "\n",
    ),
  );
}

function targetLine({ name, bound, limit, ratio, reached, unit }: Target): string {
  const text = (value: number): string => (unit === undefined ? value.toFixed(3) : figure(value));
  const spread = `${text(ratio.median)} (${text(ratio.low)}–${text(ratio.high)})`;
  const doubt = ratio.low < limit && limit < ratio.high ? ", in doubt" : "";
  return `| ${name} | ${bound} ${limit}${unit === undefined ? "" : ` ${unit}`} | ${spread} | ${reached ? "reached" : "**not reached**"}${doubt} |`;
}

/** One suite's results as Markdown. Medians, quartiles in brackets. */
export function markdown({ rows, targets, remarks }: SuiteResult): string {
  const parts = [...tables(rows)];
  if (targets.length > 0) {
    parts.push(
      ["| Target | Wanted | Measured | |", "|---|---|---:|---|", ...targets.map(targetLine)].join("\n"),
    );
  }
  return [...parts, ...remarks].join("\n\n");
}
