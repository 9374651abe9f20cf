import { type Contender, interleave, samplesOf } from "../interleave.ts";
import { bridgedPair, directPair, type Pair, routedPair, wagglePair } from "../pair.ts";
import { connectRate, tcpRequestResponse, tcpThroughput, udpPackets, type Way } from "../peers/load.ts";
import { iperf3Server, nginxServer, type Server, sockperfServer } from "../peers/servers.ts";
import { ratio } from "../statistics.ts";
import { type Row, type Suite, type SuiteContext, type Target, target } from "../suite.ts";

/** What is measured between two ends. */
interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly better: Row["better"];
  measure(way: Way, seconds: number): Promise<number>;
}

export const figures: readonly Figure[] = [
  { name: "TCP throughput", unit: "Gbit/s", better: "higher", measure: tcpThroughput },
  {
    name: "TCP requests",
    unit: "1/s",
    better: "higher",
    measure: async (way, seconds) => (await tcpRequestResponse(way, seconds)).ratePerSecond,
  },
  {
    name: "TCP round trip, p99",
    unit: "µs",
    better: "lower",
    measure: async (way, seconds) => (await tcpRequestResponse(way, seconds)).p99,
  },
  { name: "TCP connections", unit: "1/s", better: "higher", measure: connectRate },
  { name: "UDP packets of 64 bytes", unit: "1/s", better: "higher", measure: udpPackets },
];

/** Starts the servers of a pair. */
export async function serve({ server }: Pair): Promise<Server> {
  const servers = [await iperf3Server(server), await sockperfServer(server), await nginxServer(server)];
  return { close: async () => void (await Promise.all(servers.map((one) => one.close()))) };
}

/** Measures every figure for every pair, in turn. */
export async function measurePairs(
  pairs: readonly Pair[],
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const { name, unit, better, measure } of figures) {
    const contenders: Contender[] = pairs.map((pair) => ({
      name: pair.name,
      measure: () => measure({ from: pair.client, to: pair.ipv4 }, Math.max(1, 2 * effort.scale)),
    }));
    const variants = await interleave(contenders, {
      effort,
      signal,
      onSample: (contender, round) => progress(`${name}: ${contender}, round ${round}`),
    });
    rows.push({ name, unit, better, variants });
  }
  return rows;
}

/** "at least `limit` times `other`", where more is better; the other way round where less is. */
export function against(row: Row, ours: string, other: string, limit: number): Target {
  const [mine, theirs] = [samplesOf(row.variants, ours), samplesOf(row.variants, other)];
  const quotient = row.better === "higher" ? ratio(mine, theirs) : ratio(theirs, mine);
  return target(`${row.name}: ${ours} against ${other}`, "at least", limit, quotient);
}

export const podToPod: Suite = {
  name: "pod-to-pod",
  title: "Pod to pod on one node",
  method:
    "iperf3, sockperf and wrk (a connection for each request, nginx answers 204) between two namespaces, joined in " +
    "four ways. One stream; both ends and what is between them share the cores of the machine.",
  async run(context) {
    const pairs: Pair[] = [];
    const servers: Server[] = [];
    try {
      for (const make of [directPair, bridgedPair, routedPair, wagglePair]) {
        const pair = await make();
        pairs.push(pair);
        servers.push(await serve(pair));
      }
      const rows = await measurePairs(pairs, context);
      const [direct, bridge, routed, waggle] = pairs.map(({ name }) => name) as [
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
        remarks: [],
      };
    } finally {
      for (const server of servers) await server.close();
      for (const pair of pairs.reverse()) await pair.close();
    }
  },
};
