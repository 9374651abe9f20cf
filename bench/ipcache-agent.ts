// The ipcache cell by itself, measured from inside: started by the suite ipcache-scale, told what to do on its standard
// input, a JSON answer a line. Arguments: --state-dir, --bpf-root, --cache-dir.

import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { nodeFactsCell } from "../examples/embed/node-facts.ts";
import { datapathCell } from "../src/cells/datapath/index.ts";
import { identityCell } from "../src/cells/identity/index.ts";
import { type IpCache, type IpCacheEntry, IpCaches, ipcacheCell } from "../src/cells/ipcache/index.ts";
import { stateCell } from "../src/cells/state/index.ts";
import { Hive, invoke } from "../src/hive/index.ts";

const nodes = 1_000;
const tickMs = 10;

/** Pod number so and so of a cluster; nodes take turns. */
function podEntry(number: number, identity: number): IpCacheEntry {
  const node = number % nodes;
  return {
    prefix: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}/32`,
    identity,
    tunnelEndpoint: `172.16.${node >> 8}.${node & 255}`,
    encryptKey: 0,
    source: "kvstore",
  };
}

const residentMiB = (): number => process.memoryUsage.rss() / 2 ** 20;

/** Milliseconds until all entries, come at once from the other nodes, are in the kernel's map. */
async function firstSync(cache: IpCache, count: number): Promise<object> {
  const upserts = Array.from({ length: count }, (_, number) => podEntry(number, 256 + (number % 5_000)));
  const feed = cache.feed("kvstore", (error) => {
    throw error;
  });
  // The timer has to tick before it can be late.
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await sleep(tickMs);
  delay.reset();
  const started = performance.now();
  feed.push({ removals: [], upserts });
  await feed.settled();
  await cache.reconciler.waitReconciled(cache.table.revision);
  const ms = performance.now() - started;
  await sleep(1);
  delay.disable();
  return { ms, residentMiB: residentMiB(), delayP99Ms: lateness(delay) };
}

const lateness = (delay: ReturnType<typeof monitorEventLoopDelay>): number =>
  Math.max(0, delay.percentile(99) / 1e6 - 1);

async function clear(cache: IpCache, count: number): Promise<object> {
  const prefixes = Array.from({ length: count }, (_, number) => podEntry(number, 0).prefix);
  await cache.reconciler.waitReconciled(cache.removeMany(prefixes, "kvstore"));
  return {};
}

/** So many changes a second for a while: how late the event loop was, and what it cost. */
async function changes(cache: IpCache, count: number, perSecond: number, seconds: number): Promise<object> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const cpu = process.cpuUsage();
  delay.enable();
  const started = performance.now();
  let made = 0;
  let revision = 0;
  for (let now = 0; now < seconds * 1_000; now = performance.now() - started) {
    const due = Math.floor((now * perSecond) / 1_000);
    for (; made < due; made += 1)
      revision = cache.upsert(podEntry((made * 7_919) % count, 10_000 + (made % 50_000)));
    await sleep(tickMs);
  }
  await cache.reconciler.waitReconciled(revision);
  const elapsedS = (performance.now() - started) / 1_000;
  delay.disable();
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: made / elapsedS,
    delayP99Ms: lateness(delay),
    cores: (user + system) / 1e6 / elapsedS,
    residentMiB: residentMiB(),
  };
}

interface Order {
  readonly what: "sync" | "clear" | "changes";
  readonly count: number;
  readonly perSecond: number;
  readonly seconds: number;
}

const obey = (cache: IpCache, { what, count, perSecond, seconds }: Order): Promise<object> =>
  what === "sync"
    ? firstSync(cache, count)
    : what === "clear"
      ? clear(cache, count)
      : changes(cache, count, perSecond, seconds);

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { "state-dir": text, "bpf-root": text, "cache-dir": text } });
let cache: IpCache | undefined;
const hive = new Hive({
  name: "ipcache",
  cells: [
    stateCell,
    datapathCell,
    identityCell,
    ipcacheCell,
    nodeFactsCell,
    invoke({ cache: IpCaches }, (parts) => {
      cache = parts.cache;
    }),
  ],
  settings: { flags: values },
});
await hive.start();
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await obey(cache!, JSON.parse(line) as Order))}\n`);
}
await hive.stop();
