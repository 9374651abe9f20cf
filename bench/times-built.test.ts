import test from "ava";
import type { SuiteContext } from "./suite.ts";
import { measureTimes } from "./times-built.ts";

const context = (rounds: number, scale = 1): SuiteContext => ({
  effort: { rounds, warmUp: true, scale },
  signal: new AbortController().signal,
  progress: () => undefined,
  awake: (measure) => measure(),
});

/** The rounds of each time, and whether it is backwards. */
async function timesOf(given: SuiteContext): Promise<readonly (readonly [number, boolean])[]> {
  const times: (readonly [number, boolean])[] = [];
  await measureTimes(given, async ({ effort }, backwards) => {
    times.push([effort.rounds, backwards]);
    return [];
  });
  return times;
}

test("all rounds are shared among three times, every other one backwards", async (t) => {
  t.deepEqual(await timesOf(context(5)), [
    [1, false],
    [2, true],
    [2, false],
  ]);
});

test("there are no more times than rounds, and one in a short run", async (t) => {
  t.is((await timesOf(context(2))).length, 2);
  t.deepEqual(await timesOf(context(4, 0.05)), [[4, false]]);
});

test("samples of a variant come together by its name, whatever its place in a time", async (t) => {
  let time = 0;
  const figures = await measureTimes(context(3), async (_, backwards) => {
    time += 1;
    const variants = [
      { name: "a", samples: [time] },
      { name: "b", samples: [time * 10] },
    ];
    return [{ unit: "ns", variants: backwards ? variants.toReversed() : variants }];
  });
  t.deepEqual(figures, [
    {
      unit: "ns",
      variants: [
        { name: "a", samples: [1, 2, 3] },
        { name: "b", samples: [10, 20, 30] },
      ],
    },
  ]);
});
