// Pairs that are built anew several times in a run: where devices, sockets and programs come to lie is not the path's.

import { samplesOf } from "./interleave.ts";
import type { Effort, SuiteContext, Variant } from "./suite.ts";

/** How often in a full run. */
const timesBuilt = 3;

/** The rounds of each time. */
function sharesOf({ rounds, scale }: Effort): readonly number[] {
  const times = scale < 1 ? 1 : Math.min(timesBuilt, rounds);
  return Array.from({ length: times }, (_, index) => Math.floor((rounds + index) / times));
}

/** The figures of several times, which are the same figures, as one: its variants in the order of the first. */
function joined<T extends { readonly variants: readonly Variant[] }>(
  times: readonly (readonly T[])[],
): readonly T[] {
  return times[0]!.map((first, index) => ({
    ...first,
    variants: first.variants.map(({ name }) => ({
      name,
      samples: times.flatMap((figures) => samplesOf(figures[index]!.variants, name)),
    })),
  }));
}

/**
 * Has figures measured several times, each with its share of the rounds. What is measured is to be built anew each
 * time, `backwards` every other time: of equal pairs those that are built last open connections a per cent faster than
 * the first. `time` counts from 0. Resolves to the figures with the samples of all times.
 */
export async function measureTimes<T extends { readonly variants: readonly Variant[] }>(
  context: SuiteContext,
  measure: (part: SuiteContext, backwards: boolean, time: number) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const times: (readonly T[])[] = [];
  for (const [time, rounds] of sharesOf(context.effort).entries())
    times.push(await measure({ ...context, effort: { ...context.effort, rounds } }, time % 2 === 1, time));
  return joined(times);
}
