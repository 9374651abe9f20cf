import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { interleave, interleaveMany, samplesOf } from "../interleave.ts";
import { bridgedPair, directPair, type Pair, routedPair, wagglePair } from "../pair.ts";
import { connectRate, tcpRequestResponse, tcpThroughput, udpPackets, type Way } from "../peers/load.ts";
import { type CostKind, compilePathCost, pathCost } from "../peers/path-cost.ts";
import { iperf3Server, nginxServer, type Server, sockperfServer } from "../peers/servers.ts";
import { redirectedPair } from "../redirected-pair.ts";
import { ratio, type Summary } from "../statistics.ts";
import { type Row, type Suite, type SuiteContext, type Target, target } from "../suite.ts";

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
    ],
    often: 3,
    // sockperf sleeps two seconds before it sends, and the first four tenths of what it sends do not count.
    everyMs: 1_200,
    measure: async (way, seconds) => {
      const { ratePerSecond, p50, p99 } = await tcpRequestResponse(way, seconds);
      return [ratePerSecond, p50, p99];
    },
  },
  {
    figures: [{ name: "TCP connections", unit: "1/s", better: "higher" }],
    often: 1,
    measure: async (way, seconds) => [await connectRate(way, seconds)],
  },
  {
    figures: [{ name: "UDP packets of 64 bytes", unit: "1/s", better: "higher" }],
    often: 1,
    measure: async (way, seconds) => [await udpPackets(way, seconds)],
  },
];

const costs: Readonly<Partial<Record<CostKind, string>>> = {
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

/** Measures every figure for every pair, in turn. */
export async function measurePairs(
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
        effort: { ...effort, rounds },
        signal,
        ...(everyMs === undefined ? {} : { everyMs }),
        onSample: (contender, round) => progress(`${title}: ${contender}, round ${round}`),
      },
    );
    for (const [index, row] of figures.entries()) rows.push({ ...row, variants: variants[index]! });
  }
  return rows;
}

/** Processor time of every pair's path, in turn. */
export async function measureCosts(
  pairs: readonly Pair[],
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Row[]> {
  const undo = new Undo();
  const rows: Row[] = [];
  try {
    const program = await compilePathCost(await makeDirectory("path-cost", undo));
    for (const [kind, what] of Object.entries(costs) as [CostKind, string][]) {
      progress(`processor time of ${what}`);
      const variants = await interleave(
        pairs.map((pair) => ({ name: pair.name, measure: () => pathCost(program, kind, pair) })),
        // A sample takes some hundredths of a second: there can be more of them.
        { effort, signal, visits: 5 },
      );
      rows.push({ name: `processor time, ${what}`, unit: "ns", better: "lower", variants });
    }
    return rows;
  } finally {
    await undo.run();
  }
}

/** How many times better one is than the other. */
function times({ better, variants }: Row, one: string, other: string): Summary {
  const [mine, theirs] = [samplesOf(variants, one), samplesOf(variants, other)];
  return better === "higher" ? ratio(mine, theirs) : ratio(theirs, mine);
}

/** "at least `limit` times `other`", where more is better; the other way round where less is. */
export const against = (row: Row, ours: string, other: string, limit: number): Target =>
  target(`${row.name}: ${ours} against ${other}`, "at least", limit, times(row, ours, other));

/** What any program makes of a wire, before it does anything: no target, but what targets against the wire are part of. */
function emptyProgramRemark(rows: readonly Row[], empty: string, direct: string): string {
  const shares = rows.map((row) => `${times(row, empty, direct).median.toFixed(3)} × in ${row.name}`);
  return `A program that does nothing but redirect, against ${direct}: ${shares.join(", ")}.`;
}

/** Builds pairs, starts their servers, and takes all down after `use`. @throws IdlePeerError and what `use` throws */
export async function withServers<T>(
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

export const podToPod: Suite = {
  name: "pod-to-pod",
  title: "Pod to pod on one node",
  method:
    "iperf3, sockperf and wrk (a connection for each request, nginx answers 204) between two namespaces, joined in " +
    "five ways. One stream; iperf3's ends have a core each, the others' ends take turns on one. The empty program is " +
    "what any program costs: it calls bpf_redirect_peer and reads nothing. Processor time is that of one thread with " +
    "both ends of the connection, which is all that happens on the path and in the sockets.",
  run: (context) =>
    withServers([directPair, redirectedPair, bridgedPair, routedPair, wagglePair], async (pairs) => {
      const rows = [...(await measurePairs(pairs, context)), ...(await measureCosts(pairs, context))];
      const [direct, empty, bridge, routed, waggle] = pairs.map(({ name }) => name) as [
        string,
        string,
        string,
        string,
        string,
      ];
      const limited = rows.filter(({ name }) => name === "TCP throughput" || name === "TCP requests");
      return {
        rows,
        targets: [
          ...limited.map((row) => against(row, waggle, direct, 0.95)),
          ...rows.flatMap((row) => [bridge, routed].map((other) => against(row, waggle, other, 1))),
        ],
        remarks: [emptyProgramRemark(rows, empty, direct)],
      };
    }),
};
