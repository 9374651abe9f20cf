import test from "ava";
import { PacedFeed } from "./feed.ts";
import type { IpCache, IpCacheEntry } from "./types.ts";

const entry = (number: number): IpCacheEntry => ({
  prefix: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}/32`,
  identity: 300,
  tunnelEndpoint: "192.0.2.1",
  encryptKey: 0,
  source: "kvstore",
});
const entries = (count: number): IpCacheEntry[] => Array.from({ length: count }, (_, i) => entry(i));

/** As much of an IP cache as a feed uses; one prefix is refused. */
function recorder(refused?: string) {
  const rows = new Map<string, IpCacheEntry>();
  const cache = {
    upsertMany(batch: readonly IpCacheEntry[]) {
      if (batch.some(({ prefix }) => prefix === refused)) throw new Error("refused");
      for (const one of batch) rows.set(one.prefix, one);
      return 1;
    },
    removeMany(prefixes: readonly string[]) {
      for (const prefix of prefixes) rows.delete(prefix);
      return 1;
    },
  } as unknown as IpCache;
  const errors: Error[] = [];
  return { rows, errors, feed: new PacedFeed(cache, "kvstore", (error) => errors.push(error)) };
}

test("a few changes are there when the call returns", (t) => {
  const { rows, feed } = recorder();
  feed.push({ removals: [], upserts: entries(2) });
  feed.push({ removals: [entry(0).prefix], upserts: [] });
  t.deepEqual([...rows.keys()], [entry(1).prefix]);
});

test("many changes let others run, and what comes after them stays after them", async (t) => {
  const { rows, feed } = recorder();
  feed.push({ removals: [], upserts: entries(200_000) });
  feed.push({ removals: [entry(199_999).prefix], upserts: [] });
  t.true(rows.size < 200_000);
  await feed.settled();
  t.is(rows.size, 199_999);
  t.false(rows.has(entry(199_999).prefix));
});

test("what the cache refuses is told, and keeps nothing else out", async (t) => {
  const { rows, errors, feed } = recorder(entry(0).prefix);
  feed.push({ removals: [], upserts: entries(2_000) });
  await feed.settled();
  t.is(errors.length, 1);
  t.true(rows.has(entry(1_999).prefix));
});

test("a closed feed drops what is on its way", async (t) => {
  const { rows, feed } = recorder();
  feed.push({ removals: [], upserts: entries(500_000) });
  feed.close();
  await feed.settled();
  t.true(rows.size < 500_000);
});
