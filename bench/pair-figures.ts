// What is measured of pairs: rates of load programs, and processor time.

import { withProgramsElsewhere } from "./elsewhere.ts";
import { interleaveMany, samplesOf } from "./interleave.ts";
import type { Pair } from "./pair.ts";
import { type Costs, measureCosts } from "./path-costs.ts";
import { connectRate, tcpRequestResponse, tcpThroughput, udpPackets, type Way } from "./peers/load.ts";
import { iperf3Server, nginxServer, type Server, sockperfServer } from "./peers/servers.ts";
import { ratio, type Summary } from "./statistics.ts";
import { type Row, type SuiteContext, type Target, target } from "./suite.ts";
import { measureTimes } from "./times-built.ts";

/** What one run of a load program says: a sample for each of some figures. */
interface Load {
  readonly figures: readonly Pick<Row, "name" | "unit" | "better">[];
  /** How often a full run measures it in each round: more where the machine scatters most. */
  readonly often: number;
  /** See InterleaveOptions. */
  readonly everyMs?: number;
  measure(way: Way, seconds: number): Promise<readonly number[]>;
}

const loads: readonly Load[] = [
  {
    figures: [{ name: "TCP throughput", unit: "Gbit/s", better: "higher" }],
    often: 2,
    measure: async (way, seconds) => [await tcpThroughput(way, seconds)],
  },
  {
    figures: [
      { name: "TCP requests", unit: "1/s", better: "higher" },
      { name: "TCP round trip, p50", unit: "µs", better: "lower" },
      { name: "TCP round trip, p99", unit: "µs", better: "lower" },
      { name: "TCP round trip, p99.9", unit: "µs", better: "lower" },
    ],
    often: 2,
    // sockperf sleeps two seconds before it sends, and the first four tenths of what it sends do not count.
    everyMs: 1_200,
    measure: async (way, seconds) => {
      const { ratePerSecond, p50, p99, p999 } = await tcpRequestResponse(way, seconds);
      return [ratePerSecond, p50, p99, p999];
    },
  },
  {
    figures: [{ name: "TCP connections", unit: "1/s", better: "higher" }],
    often: 1,
    measure: async (way, seconds) => [await connectRate(way, seconds)],
  },
  {
    figures: [{ name: "UDP packets of 64 bytes", unit: "1/s", better: "higher" }],
    often: 2,
    measure: async (way, seconds) => [await udpPackets(way, seconds)],
  },
];

const costs: Costs = {
  bytes: "128 KiB of TCP",
  requests: "a TCP request and its response",
  connections: "a TCP connection with one request",
  datagrams: "a UDP datagram of 18 bytes",
};

/** Starts the servers of a pair. */
async function serve({ server }: Pair): Promise<Server> {
  const servers = [await iperf3Server(server), await sockperfServer(server), await nginxServer(server)];
  return { close: async () => void (await Promise.all(servers.map((one) => one.close()))) };
}

/** Rates of every pair, in turn. What comes before has warmed the paths up. */
async function measureRates(
  pairs: readonly Pair[],
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const { figures, often, everyMs, measure } of loads) {
    const rounds = effort.rounds * (effort.scale < 1 ? 1 : often);
    const title = figures[0]!.name;
    const variants = await interleaveMany(
      pairs.map((pair) => ({
        name: pair.name,
        measure: () => measure({ from: pair.client, to: pair.ipv4 }, 1),
      })),
      {
        effort: { ...effort, rounds, warmUp: false },
        signal,
        ...(everyMs === undefined ? {} : { everyMs }),
        onSample: (contender, round) => progress(`${title}: ${contender}, round ${round}`),
      },
    );
    for (const [index, row] of figures.entries()) rows.push({ ...row, variants: variants[index]! });
  }
  return rows;
}

/** Builds pairs, starts their servers, and takes all down after `use`. @throws IdlePeerError and what `use` throws */
async function withPairs<T>(
  makers: readonly (() => Promise<Pair>)[],
  use: (pairs: readonly Pair[]) => Promise<T>,
): Promise<T> {
  const pairs: Pair[] = [];
  const servers: Server[] = [];
  try {
    for (const make of makers) {
      const pair = await make();
      pairs.push(pair);
      servers.push(await serve(pair));
    }
    const result = await use(pairs);
    for (const pair of pairs) await pair.verify();
    return result;
  } finally {
    for (const server of servers) await server.close();
    for (const pair of pairs.reverse()) await pair.close();
  }
}

/**
 * Measures every figure for pairs by these makers, which are built anew several times. Resolves to the rows, rates
 * before processor time, and the pairs' names.
 * @throws IdlePeerError when a pair is not what it is called
 */
export async function measurePairs(
  makers: readonly (() => Promise<Pair>)[],
  context: SuiteContext,
): Promise<{ readonly rows: readonly Row[]; readonly names: readonly string[] }> {
  const rows = await measureTimes(context, (part, backwards, time) => {
    context.progress("building pairs");
    return withProgramsElsewhere(time, () =>
      withPairs(backwards ? makers.toReversed() : makers, async (pairs) => {
        const cost = await measureCosts(pairs, costs, 5, part);
        return [...(await part.awake(() => measureRates(pairs, part))), ...cost];
      }),
    );
  });
  return { rows, names: rows[0]!.variants.map(({ name }) => name) };
}

/** How many times better one is than the other. */
export function times({ better, variants }: Row, one: string, other: string): Summary {
  const [mine, theirs] = [samplesOf(variants, one), samplesOf(variants, other)];
  return better === "higher" ? ratio(mine, theirs) : ratio(theirs, mine);
}

/** "at least `limit` times `other`", where more is better; the other way round where less is. */
export const against = (row: Row, ours: string, other: string, limit: number): Target =>
  target(`${row.name}: ${ours} against ${other}`, "at least", limit, times(row, ours, other));
