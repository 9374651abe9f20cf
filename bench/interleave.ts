// A B A B: variants take turns, so that what a shared machine does to one it does to the others as well.

import type { Effort, Variant } from "./suite.ts";

/** One way to measure: called once a visit. */
export interface Contender {
  readonly name: string;
  measure(): Promise<number>;
}

/** The same for several figures at once. */
export interface ManyContender {
  readonly name: string;
  measure(): Promise<readonly number[]>;
}

export interface InterleaveOptions {
  readonly effort: Effort;
  readonly signal: AbortSignal;
  /**
   * Visits a round, 1 unless told otherwise. With more of them the samples are the fastest of all visits, as many as
   * there are rounds, fastest first. For times of work that is always the same, which others of the machine can only
   * lengthen: where they do so for seconds, no round by itself is sure to see the work undisturbed. A short run makes
   * one visit.
   */
  readonly visits?: number;
  /** Told before each visit. */
  readonly onSample?: (contender: string, round: number) => void;
}

/**
 * Measures all contenders in turn, pass after pass; every other pass runs backwards, so that nobody always follows the
 * same one. The first pass warms up and does not count.
 *
 * Resolves to the variants of the first figure, of the second, …
 * @throws Error when a contender measures nothing, or something that is no number
 */
export async function interleaveMany(
  contenders: readonly ManyContender[],
  { effort, signal, visits = 1, onSample }: InterleaveOptions,
): Promise<readonly (readonly Variant[])[]> {
  let passes = 0;
  const pass = async (round: number): Promise<readonly (readonly number[])[]> => {
    const order = [...contenders.entries()];
    const seen: (readonly number[])[] = [];
    for (const [index, { name, measure }] of passes % 2 === 0 ? order : order.toReversed()) {
      signal.throwIfAborted();
      onSample?.(name, round);
      const figures = await measure();
      if (figures.length === 0 || !figures.every(Number.isFinite))
        throw new Error(`${name}: measured ${figures.join(", ") || "nothing"}`);
      seen[index] = figures;
    }
    passes += 1;
    return seen;
  };
  if (effort.warmUp) await pass(0);
  const each = effort.scale < 1 ? 1 : visits;
  const all: (readonly (readonly number[])[])[] = [];
  for (let visit = 0; visit < effort.rounds * each; visit += 1) {
    all.push(await pass(1 + Math.floor(visit / each)));
  }
  const samplesFor = (contender: number, figure: number): readonly number[] => {
    const seen = all.map((figures) => figures[contender]![figure]!);
    return each === 1 ? seen : seen.sort((a, b) => a - b).slice(0, effort.rounds);
  };
  const figures = all[0]?.[0]?.length ?? 0;
  return Array.from({ length: figures }, (_, figure) =>
    contenders.map(({ name }, contender) => ({ name, samples: samplesFor(contender, figure) })),
  );
}

/** As `interleaveMany`, for contenders that measure one figure. */
export async function interleave(
  contenders: readonly Contender[],
  options: InterleaveOptions,
): Promise<readonly Variant[]> {
  const [variants] = await interleaveMany(
    contenders.map(({ name, measure }) => ({ name, measure: async () => [await measure()] })),
    options,
  );
  return variants ?? [];
}

/** The samples of a variant. @throws RangeError when there is none of that name */
export function samplesOf(variants: readonly Variant[], name: string): readonly number[] {
  const variant = variants.find((one) => one.name === name);
  if (variant === undefined) throw new RangeError(`no variant is called ${name}`);
  return variant.samples;
}
