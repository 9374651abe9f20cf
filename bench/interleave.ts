// A B A B: variants take turns, so that what a shared machine does to one it does to the others as well.

import { setTimeout as sleep } from "node:timers/promises";
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
  /** Called before the first visit of a round, and of the one that warms up: for what is to be anew in each. */
  readonly beforeRound?: () => Promise<void>;
  /**
   * Begins each visit so many milliseconds after the beginning of the one before it, rather than at its end: for load
   * programs that sleep before they send anything. It has to be longer than what follows that sleep.
   */
  readonly everyMs?: number;
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
  { effort, signal, visits = 1, beforeRound, everyMs, onSample }: InterleaveOptions,
): Promise<readonly (readonly Variant[])[]> {
  const each = effort.scale < 1 ? 1 : visits;
  const warmUps = effort.warmUp ? 1 : 0;
  const passes = warmUps + effort.rounds * each;
  const order = contenders.map((_, index) => index);
  const turns = Array.from({ length: passes }, (_, pass) =>
    (pass % 2 === 0 ? order : order.toReversed()).map((index) => ({ pass, index })),
  ).flat();
  let begun: number | undefined;
  const measured = await takeTurns(
    turns.map(({ pass, index }) => async () => {
      const { name, measure } = contenders[index]!;
      const round = 1 + Math.floor((pass - warmUps) / each);
      signal.throwIfAborted();
      if (round !== begun) await beforeRound?.();
      begun = round;
      onSample?.(name, round);
      const figures = await measure();
      if (figures.length === 0 || !figures.every(Number.isFinite))
        throw new Error(`${name}: measured ${figures.join(", ") || "nothing"}`);
      return figures;
    }),
    everyMs,
  );
  const samplesFor = (contender: number, figure: number): readonly number[] => {
    const seen = turns.flatMap(({ pass, index }, turn) =>
      pass >= warmUps && index === contender ? [measured[turn]![figure]!] : [],
    );
    return each === 1 ? seen : seen.sort((a, b) => a - b).slice(0, effort.rounds);
  };
  const figures = measured[0]?.length ?? 0;
  return Array.from({ length: figures }, (_, figure) =>
    contenders.map(({ name }, contender) => ({ name, samples: samplesFor(contender, figure) })),
  );
}

/** One after the other, or each so long after the beginning of the one before it. Results in order. */
async function takeTurns<T>(
  turns: readonly (() => Promise<T>)[],
  everyMs: number | undefined,
): Promise<readonly T[]> {
  const begun: Promise<T>[] = [];
  const failed = new AbortController();
  try {
    for (const turn of turns) {
      failed.signal.throwIfAborted();
      const running = turn();
      running.catch((error: unknown) => failed.abort(error));
      begun.push(running);
      await (everyMs === undefined ? running : sleep(everyMs));
    }
    return await Promise.all(begun);
  } finally {
    // Nothing may still be at work when what it works on is taken down.
    await Promise.allSettled(begun);
  }
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
