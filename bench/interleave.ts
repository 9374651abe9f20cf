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
  for (let round = effort.warmUp ? 0 : 1; round <= effort.rounds; round += 1) {
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

/**
 * The same for contenders that measure several figures at once: variants of the first figure, of the second, …
 * @throws Error when a contender measures none, or something that is no number
 */
export async function interleaveMany(
  contenders: readonly { readonly name: string; measure(): Promise<readonly number[]> }[],
  options: InterleaveOptions,
): Promise<readonly (readonly Variant[])[]> {
  const others = new Map<string, number[][]>(contenders.map(({ name }) => [name, []]));
  const firsts = await interleave(
    contenders.map(({ name, measure }) => ({
      name,
      measure: async () => {
        const [first, ...rest] = await measure();
        if (!rest.every(Number.isFinite)) throw new Error(`${name}: measured ${rest.join(", ")}`);
        others.get(name)!.push(rest);
        return first ?? Number.NaN;
      },
    })),
    options,
  );
  const rounds = options.effort.rounds;
  const more = others.get(contenders[0]?.name ?? "")?.[0]?.length ?? 0;
  return [
    firsts,
    ...Array.from({ length: more }, (_, figure) =>
      contenders.map(({ name }) => ({
        name,
        // The round that warms up comes first.
        samples: others
          .get(name)!
          .slice(-rounds)
          .map((rest) => rest[figure]!),
      })),
    ),
  ];
}

/** The samples of a variant. @throws RangeError when there is none of that name */
export function samplesOf(variants: readonly Variant[], name: string): readonly number[] {
  const variant = variants.find((one) => one.name === name);
  if (variant === undefined) throw new RangeError(`no variant is called ${name}`);
  return variant.samples;
}
