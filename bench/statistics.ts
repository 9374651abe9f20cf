// What a handful of noisy samples can say. Machines that run this are shared: single times mean little, ratios of
// neighbouring runs mean a lot.

import { median, quantile } from "simple-statistics";

/** A middle value and how far the samples scatter around it. */
export interface Summary {
  readonly median: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
  readonly samples: number;
}

/** @throws RangeError without samples */
export function summarise(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError("nothing was measured");
  const values = [...samples];
  return {
    median: median(values),
    low: quantile(values, 0.25),
    high: quantile(values, 0.75),
    samples: values.length,
  };
}

/**
 * The ratio of two variants, round by round: what disturbed a round disturbed both of them.
 * @throws RangeError when the rounds do not pair up
 */
export function ratio(numerator: readonly number[], denominator: readonly number[]): Summary {
  if (numerator.length !== denominator.length) {
    throw new RangeError(`${numerator.length} rounds cannot be compared with ${denominator.length}`);
  }
  return summarise(numerator.map((value, round) => value / denominator[round]!));
}
