import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { interleaveMany, samplesOf } from "../interleave.ts";
import { connectRate, requestRate } from "../peers/load.ts";
import { type CostKind, compilePathCost, pathCost } from "../peers/path-cost.ts";
import { nginxServer, ports, type Server } from "../peers/servers.ts";
import {
  addressFirst,
  createDirectPlace,
  createPlace,
  direct,
  kinds,
  type Place,
  placeName,
  protocolFirst,
  verdictMaps,
  waggle,
} from "../service-places.ts";
import { ratio, summarise } from "../statistics.ts";
import {
  type Effort,
  type Row,
  type Suite,
  type SuiteContext,
  type Target,
  target,
  type Variant,
} from "../suite.ts";

const sizesFor = ({ scale }: Effort): readonly number[] =>
  scale < 1 ? [10, 200] : [10, 1_000, 10_000, 30_000];

/** A figure with its variants of all kinds and sizes. */
type Measured = Pick<Row, "name" | "unit" | "better"> & { readonly variants: readonly Variant[] };

/** Load programs take seconds for a sample: the slower rules of iptables are left to the figures of processor time. */
const rateKinds = [verdictMaps, addressFirst, waggle];

const rateFigures = [
  { name: "HTTP connections to a ClusterIP", unit: "1/s", better: "higher" },
  { name: "HTTP requests to a ClusterIP", unit: "1/s", better: "higher" },
] as const;

async function measureRates(
  places: readonly Place[],
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Measured[]> {
  const variants = await interleaveMany(
    places.map(({ name, pair, ipv4, port }) => ({
      name,
      measure: async () => {
        const way = { from: pair.client, to: ipv4, port };
        return [await connectRate(way, 1), await requestRate(way, 1)];
      },
    })),
    { effort, signal, onSample: (contender, round) => progress(`${contender}, round ${round}`) },
  );
  return rateFigures.map((figure, index) => ({ ...figure, variants: variants[index]! }));
}

const opening = "processor time, a connection to a ClusterIP, opened and reset";
const costs: Readonly<Partial<Record<CostKind, string>>> = {
  opens: opening,
  connections: "processor time, a connection to a ClusterIP with one request",
  requests: "processor time, a request to a ClusterIP and its response",
};

/** While nobody else serves the backend's port. */
async function measureCosts(
  places: readonly Place[],
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Measured[]> {
  const undo = new Undo();
  try {
    const program = await compilePathCost(await makeDirectory("path-cost", undo));
    progress("processor time");
    const kindsOfCost = Object.keys(costs) as CostKind[];
    const variants = await interleaveMany(
      places.map(({ name, pair, ipv4, port }) => ({
        name,
        measure: async () => {
          const way = { client: pair.client, server: pair.server, ipv4, port, serverPort: ports.http };
          const figures: number[] = [];
          for (const kind of kindsOfCost) figures.push(await pathCost(program, kind, way));
          return figures;
        },
      })),
      // Samples take some hundredths of a second: there can be more of them.
      { effort, signal, visits: 4 },
    );
    return kindsOfCost.map((kind, index) => ({
      name: costs[kind]!,
      unit: "ns",
      better: "lower",
      variants: variants[index]!,
    }));
  } finally {
    await undo.run();
  }
}

function rowsOf(sizes: readonly number[], measured: readonly Measured[]): readonly Row[] {
  return measured.flatMap(({ variants, ...figure }) =>
    sizes.map((at) => ({
      ...figure,
      name: `${figure.name}, ${at} services`,
      variants: kinds.flatMap((kind) =>
        variants
          .filter(({ name }) => name === placeName(kind, at))
          .map(({ samples }) => ({ name: kind, samples })),
      ),
      series: { name: figure.name, axis: "services", at },
    })),
  );
}

function targetsOf(sizes: readonly number[], measured: readonly Measured[]): readonly Target[] {
  const [fewest, most] = [Math.min(...sizes), Math.max(...sizes)];
  const many = manyOf(sizes);
  /** How many times better the first is. */
  const better = (
    { better, variants }: Measured,
    one: readonly [string, number],
    other: readonly [string, number],
  ) => {
    const [mine, theirs] = [one, other].map((place) => samplesOf(variants, placeName(...place))) as [
      readonly number[],
      readonly number[],
    ];
    return better === "higher" ? ratio(mine, theirs) : ratio(theirs, mine);
  };
  const flat = measured.map((figure) =>
    target(
      `${figure.name}: ${most} services against ${fewest}`,
      "at least",
      0.97,
      better(figure, [waggle, most], [waggle, fewest]),
    ),
  );
  const ahead = measured.flatMap((figure) =>
    sizes.map((size) =>
      target(
        `${figure.name}: waggle against a verdict map, ${size} services`,
        "at least",
        1,
        better(figure, [waggle, size], [verdictMaps, size]),
      ),
    ),
  );
  const opens = measured.find(({ name }) => name === opening)!;
  const rules = [protocolFirst, addressFirst].map((kind) =>
    target(
      `${opening}: waggle against ${kind}, ${many} services`,
      "at least",
      4,
      better(opens, [waggle, many], [kind, many]),
    ),
  );
  return [...flat, ...ahead, ...rules];
}

const manyOf = (sizes: readonly number[]): number =>
  sizes.find((size) => size === 10_000) ?? Math.max(...sizes);

/** What has no target, or needs a word. */
function remarksOf(sizes: readonly number[], measured: readonly Measured[]): readonly string[] {
  const many = manyOf(sizes);
  const times = (name: string, one: string, other: string, upside: boolean): string => {
    const { variants } = measured.find((figure) => figure.name === name)!;
    const [a, b] = [samplesOf(variants, one), samplesOf(variants, other)];
    return (upside ? ratio(a, b) : ratio(b, a)).median.toFixed(2);
  };
  const [http] = rateFigures;
  const [mine, rules] = [placeName(waggle, many), placeName(addressFirst, many)];
  const alone = summarise(samplesOf(measured.find(({ name }) => name === opening)!.variants, direct)).median;
  return [
    `Among ${many} services waggle makes ${times(http.name, mine, rules, true)} × as many HTTP connections as ${addressFirst}. ` +
      "That includes wrk, nginx and HTTP, which are the same for all.",
    `On a direct veth pair, which has no services, a connection is opened and reset in ${Math.round(alone)} ns: ` +
      `${times(opening, direct, rules, false)} × as many as behind ${addressFirst} among ${many} services.`,
  ];
}

export const services: Suite = {
  name: "services",
  title: "Services",
  method:
    "wrk with 16 connections to the ClusterIP of the service in the middle, with and without a connection for each " +
    "HTTP request; one backend, nginx. Beside Waggle what kube-proxy writes: a verdict map of nftables, and a rule for " +
    "each service, in the form that iptables 1.8.9 (Debian 12) has in the kernel and in that of later versions, loaded " +
    "with nft. All pods have a route to a node that forwards. Processor time is that of one thread with both ends of the connection: of " +
    "connections that are opened and reset at once, which is the rate of connections proper; of connections that carry " +
    "a request and its response; and of requests alone.",
  async run(context) {
    const sizes = sizesFor(context.effort);
    const places: Place[] = [];
    const servers: Server[] = [];
    try {
      places.push(await createDirectPlace());
      for (const size of sizes) {
        for (const kind of kinds) {
          context.signal.throwIfAborted();
          context.progress(`setting up ${placeName(kind, size)}`);
          places.push(await createPlace(kind, size));
        }
      }
      const cost = await measureCosts(places, context);
      for (const { pair } of places) await pair.verify();
      const rated = places.filter(({ name }) =>
        sizes.some((size) => rateKinds.some((kind) => placeName(kind, size) === name)),
      );
      for (const { pair } of rated) servers.push(await nginxServer(pair.server));
      const measured = [...(await context.awake(() => measureRates(rated, context))), ...cost];
      return {
        rows: rowsOf(sizes, measured),
        targets: targetsOf(sizes, measured),
        remarks: remarksOf(sizes, measured),
      };
    } finally {
      for (const server of servers) await server.close();
      for (const { pair } of places.reverse()) await pair.close();
    }
  },
};
