import test from "ava";
import { interleave, samplesOf } from "./interleave.ts";

const options = { effort: { rounds: 3, warmUp: true, scale: 1 }, signal: new AbortController().signal };

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

test("a measurement that is no number ends the run and names its contender", async (t) => {
  const broken = { name: "iperf3", measure: async () => Number.NaN };
  await t.throwsAsync(interleave([broken], options), { message: /iperf3: measured NaN/ });
});
