import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { interleave, interleaveMany, samplesOf } from "./interleave.ts";

const effort = { rounds: 3, warmUp: true, scale: 1 };
const options = { effort, signal: new AbortController().signal };

test("contenders take turns, the first round does not count, and neighbours change", async (t) => {
  const order: string[] = [];
  const contender = (name: string) => ({
    name,
    measure: async () => order.push(name),
  });
  const variants = await interleave([contender("a"), contender("b")], options);
  t.is(order.join(""), "abbaabba");
  t.deepEqual(
    variants.map(({ name, samples }) => [name, samples.length]),
    [
      ["a", 3],
      ["b", 3],
    ],
  );
  t.deepEqual(samplesOf(variants, "a"), [4, 5, 8]);
});

test("of several visits a round the fastest of all count, for each figure by itself, and neighbours still change", async (t) => {
  const order: string[] = [];
  const seen = [
    [9, 9],
    [5, 1],
    [3, 2],
    [4, 8],
    [7, 6],
  ];
  const one = {
    name: "a",
    measure: async () => {
      order.push("a");
      return seen.shift()!;
    },
  };
  const other = {
    name: "b",
    measure: async () => {
      order.push("b");
      return [1, 1];
    },
  };
  const figures = await interleaveMany([one, other], {
    ...options,
    effort: { ...effort, rounds: 2 },
    visits: 2,
  });
  t.deepEqual(
    figures.map((variants) => samplesOf(variants, "a")),
    [
      [3, 4],
      [1, 2],
    ],
  );
  t.is(order.join(""), "abbaabbaab");
});

test("each round begins anew where it is asked for, and so does the one that warms up", async (t) => {
  const seen = [99, 5, 1, 3, 2, 9, 8, 7, 6];
  let rounds = 0;
  const one = { name: "a", measure: async () => seen.shift()! };
  const variants = await interleave([one], {
    ...options,
    effort: { ...effort, rounds: 2 },
    visits: 4,
    beforeRound: async () => {
      rounds += 1;
    },
  });
  t.deepEqual(samplesOf(variants, "a"), [1, 2]);
  t.is(rounds, 3);
});

test("a short run makes one visit a round", async (t) => {
  let visits = 0;
  const short = { rounds: 1, warmUp: false, scale: 0.05 };
  const counting = {
    name: "a",
    measure: async () => {
      visits += 1;
      return visits;
    },
  };
  await interleave([counting], { ...options, effort: short, visits: 5 });
  t.is(visits, 1);
});

test("a measurement that is no number ends the run and names its contender", async (t) => {
  const broken = { name: "iperf3", measure: async () => Number.NaN };
  await t.throwsAsync(interleave([broken], options), { message: /iperf3: measured NaN/ });
});

test("visits that begin before the one before them has ended keep their order and their samples", async (t) => {
  const began: string[] = [];
  let atOnce = 0;
  let most = 0;
  const slow = (name: string) => ({
    name,
    measure: async () => {
      began.push(name);
      atOnce += 1;
      most = Math.max(most, atOnce);
      const sample = began.length;
      await sleep(60);
      atOnce -= 1;
      return sample;
    },
  });
  const variants = await interleave([slow("a"), slow("b")], { ...options, everyMs: 20 });
  t.is(began.join(""), "abbaabba");
  t.true(most > 1);
  t.deepEqual(samplesOf(variants, "b"), [3, 6, 7]);
});

test("a visit that fails ends the run when all that have begun are over", async (t) => {
  let running = 0;
  const contender = (name: string, ms: number, end: () => number) => ({
    name,
    measure: async () => {
      running += 1;
      await sleep(ms);
      running -= 1;
      return end();
    },
  });
  const failing = contender("failing", 1, () => {
    throw new Error("broken");
  });
  const lasting = contender("lasting", 100, () => 1);
  const run = interleave([lasting, failing], { ...options, everyMs: 10 });
  await t.throwsAsync(run, { message: "broken" });
  t.is(running, 0);
});
