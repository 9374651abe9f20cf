// Processor time of several paths, as rows.

import { makeDirectory } from "../src/playground/scratch.ts";
import { Undo } from "../src/playground/undo.ts";
import { interleave } from "./interleave.ts";
import { type CostKind, type CostWay, compilePathCost, pathCost } from "./peers/path-cost.ts";
import type { Row, SuiteContext } from "./suite.ts";

/** What is measured, with the words for it: "a TCP request and its response". */
export type Costs = Readonly<Partial<Record<CostKind, string>>>;

/** The name of a row of processor time. */
export const costName = (what: string): string => `processor time, ${what}`;

/**
 * Processor time of every path, in turn, one row after the other. Samples take some hundredths of a second: there can be
 * several visits a round, whose fastest count (see InterleaveOptions).
 * @throws CommandError when nothing comes through
 */
export async function measureCosts(
  paths: readonly (CostWay & { readonly name: string })[],
  costs: Costs,
  visits: number,
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Row[]> {
  const undo = new Undo();
  try {
    const program = await compilePathCost(await makeDirectory("path-cost", undo));
    const rows: Row[] = [];
    for (const [kind, what] of Object.entries(costs) as [CostKind, string][]) {
      progress(costName(what));
      const variants = await interleave(
        paths.map((path) => ({ name: path.name, measure: () => pathCost(program, kind, path) })),
        { effort, signal, visits },
      );
      rows.push({ name: costName(what), unit: "ns", better: "lower", variants });
    }
    return rows;
  } finally {
    await undo.run();
  }
}
