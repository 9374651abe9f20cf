// What a suite is, and what it says.

import type { Summary } from "./statistics.ts";

/** One way of doing the same thing: ours, a peer's, or the limit. */
export interface Variant {
  readonly name: string;
  /** One sample a round; rounds of a row's variants pair up. */
  readonly samples: readonly number[];
}

/** One figure, measured for every variant. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly variants: readonly Variant[];
  /** Where the row is one point of a curve. */
  readonly series?: Series;
}

/** A curve that rows of the same name are points of. */
export interface Series {
  readonly name: string;
  /** What grows from point to point: "plugins". */
  readonly axis: string;
  readonly at: number;
}

/** What was asked, and what it is: of a ratio of two variants, or of a figure that has a limit of its own. */
export interface Target {
  /** "no plugins against no hook points". */
  readonly name: string;
  readonly bound: "at most" | "at least";
  readonly limit: number;
  readonly ratio: Summary;
  /** Of a figure; a ratio has none. */
  readonly unit?: string;
  readonly reached: boolean;
}

/** What a suite measured. */
export interface SuiteResult {
  readonly rows: readonly Row[];
  readonly targets: readonly Target[];
  /** Plain sentences for the reader: conditions, surprises. */
  readonly remarks: readonly string[];
}

/** How much a run may take. */
export interface Effort {
  /** Rounds of A B A B. */
  readonly rounds: number;
  /** Whether a round that does not count goes before the others. */
  readonly warmUp: boolean;
  /** 1 for a full run; smaller for a shorter one: multiplies durations and sizes. */
  readonly scale: number;
}

/** What a suite is given. */
export interface SuiteContext {
  readonly effort: Effort;
  /** Ends the run; suites take down what they made. */
  readonly signal: AbortSignal;
  /** Says what is being measured. */
  progress(what: string): void;
  /** Measures rates while idle cores are kept awake: see awake.ts. Remarks on it come with the result by themselves. */
  awake<T>(measure: () => Promise<T>): Promise<T>;
}

/** One page of the benchmark. */
export interface Suite {
  /** On the command line: "hook-cost". */
  readonly name: string;
  readonly title: string;
  /** What is measured and how, for the page. */
  readonly method: string;
  run(context: SuiteContext): Promise<SuiteResult>;
}

/** Whether a ratio, or a figure in a unit, is where it should be, judged by its median. */
export function target(
  name: string,
  bound: Target["bound"],
  limit: number,
  ratio: Summary,
  unit?: string,
): Target {
  const reached = bound === "at most" ? ratio.median <= limit : ratio.median >= limit;
  return { name, bound, limit, ratio, reached, ...(unit === undefined ? {} : { unit }) };
}
