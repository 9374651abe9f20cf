// A B A B: variants take turns, so that what a shared machine does to one it does to the others as well.

import type { Effort, Variant } from "./suite.ts";

/** One way to measure: called once a round. */
export interface Contender {
  readonly name: string;
  measure(): Promise<number>;
}

export interface InterleaveOptions {
  readonly effort: Effort;
  readonly signal: AbortSignal;
  /** Told before each sample. */
  readonly onSample?: (contender: string, round: number) => void;
}

/**
 * Measures all contenders in turn, round after round; every other round runs backwards, so that nobody always
 * follows the same one. The first round warms up and does not count.
 */
export async function interleave(
  contenders: readonly Contender[],
  { effort, signal, onSample }: InterleaveOptions,
): Promise<readonly Variant[]> {
  const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= effort.rounds; round += 1) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      signal.throwIfAborted();
      onSample?.(contender.name, round);
      const sample = await contender.measure();
      if (!Number.isFinite(sample)) throw new Error(`${contender.name}: measured ${sample}`);
      if (round > 0) samples.get(contender.name)!.push(sample);
    }
  }
  return contenders.map(({ name }) => ({ name, samples: samples.get(name)! }));
}

/** The samples of a variant. @throws RangeError when there is none of that name */
export function samplesOf(variants: readonly Variant[], name: string): readonly number[] {
  const variant = variants.find((one) => one.name === name);
  if (variant === undefined) throw new RangeError(`no variant is called ${name}`);
  return variant.samples;
}
