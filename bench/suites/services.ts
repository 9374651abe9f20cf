import {
  FrontendState,
  ServiceProtocol,
  UpsertServicesRequest,
} from "../../src/gen/waggle/v1/load_balancer.ts";
import type { World } from "../../src/playground/index.ts";
import { makeDirectory } from "../../src/playground/scratch.ts";
import { Undo } from "../../src/playground/undo.ts";
import { benchWorld } from "../bench-world.ts";
import { interleaveMany, samplesOf } from "../interleave.ts";
import { type Pair, pairBehindNode, pairOfWorld } from "../pair.ts";
import { connectRate, requestRate } from "../peers/load.ts";
import { compilePathCost, pathCost } from "../peers/path-cost.ts";
import { nginxServer, ports, type Server } from "../peers/servers.ts";
import { linearRules, serviceAddress, servicePort, verdictMapRules } from "../service-rules.ts";
import { ratio } from "../statistics.ts";
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

const waggle = "waggle";
const verdictMaps = "nftables verdict map";
const linear = "iptables rules";

/** So many services, all of them with pod2 behind them. */
async function addServices(world: World, count: number): Promise<void> {
  const backends = [{ ip: world.pod("pod2").ipv4, port: ports.http }];
  const chunk = 1_000;
  for (let first = 0; first < count; first += chunk) {
    const services = Array.from({ length: Math.min(chunk, count - first) }, (_, index) => ({
      service: {
        name: `bench/service-${first + index}`,
        ip: serviceAddress(first + index),
        port: servicePort,
        protocol: ServiceProtocol.TCP,
        backends,
      },
    }));
    const made = await world.client.services.upsertServices(UpsertServicesRequest.fromPartial({ services }));
    const wrong = made.services.flatMap(({ frontends }) => frontends).find(isWrong);
    if (wrong !== undefined) throw new Error(`${wrong.ip} is not served: ${wrong.message}`);
  }
}

const isWrong = ({ state }: { readonly state: FrontendState }): boolean =>
  state === FrontendState.CONFLICT || state === FrontendState.ERROR;

async function wagglePairWith(count: number): Promise<Pair> {
  const world = await benchWorld({ pods: 2 });
  try {
    await addServices(world, count);
    return pairOfWorld(world, waggle);
  } catch (error) {
    await world.destroy();
    throw error;
  }
}

const nameOf = (kind: string, size: number): string => `${kind}, ${size} services`;

interface Place {
  readonly kind: string;
  readonly size: number;
  readonly pair: Pair;
}

const figures = [
  { name: "connections to a ClusterIP", unit: "1/s", better: "higher" },
  { name: "requests to a ClusterIP", unit: "1/s", better: "higher" },
  { name: "processor time, a connection to a ClusterIP with one request", unit: "ns", better: "lower" },
  { name: "processor time, a request to a ClusterIP and its response", unit: "ns", better: "lower" },
] as const;

type Variants = readonly (readonly Variant[])[];

/** The service in the middle is what a chain of rules costs on average. */
const asked = ({ size, pair }: Place) =>
  ({ client: pair.client, server: pair.server, ipv4: serviceAddress(size >> 1), port: servicePort }) as const;

async function measureRates(
  places: readonly Place[],
  { effort, signal, progress }: SuiteContext,
): Promise<Variants> {
  return interleaveMany(
    places.map((place) => ({
      name: nameOf(place.kind, place.size),
      measure: async () => {
        const { client, ipv4, port } = asked(place);
        const way = { from: client, to: ipv4, port };
        return [await connectRate(way, 1), await requestRate(way, 1)];
      },
    })),
    { effort, signal, onSample: (contender, round) => progress(`${contender}, round ${round}`) },
  );
}

/** Samples of processor time take some hundredths of a second: there are more of them. */
const costRounds = 4;

/** While nobody else serves the backend's port. */
async function measureCosts(
  places: readonly Place[],
  { effort, signal, progress }: SuiteContext,
): Promise<Variants> {
  const undo = new Undo();
  try {
    const program = await compilePathCost(await makeDirectory("path-cost", undo));
    progress("processor time");
    return await interleaveMany(
      places.map((place) => ({
        name: nameOf(place.kind, place.size),
        measure: async () => {
          const way = { ...asked(place), serverPort: ports.http };
          return [await pathCost(program, "connections", way), await pathCost(program, "requests", way)];
        },
      })),
      { effort: { ...effort, rounds: effort.rounds * (effort.scale < 1 ? 1 : costRounds) }, signal },
    );
  } finally {
    await undo.run();
  }
}

function rowsOf(sizes: readonly number[], variants: Variants): readonly Row[] {
  return figures.flatMap((figure, index) =>
    sizes.map((at) => ({
      ...figure,
      name: `${figure.name}, ${at} services`,
      variants: [verdictMaps, linear, waggle].map((kind) => ({
        name: kind,
        samples: samplesOf(variants[index]!, nameOf(kind, at)),
      })),
      series: { name: figure.name, axis: "services", at },
    })),
  );
}

function targetsOf(sizes: readonly number[], variants: Variants): readonly Target[] {
  const [fewest, most] = [Math.min(...sizes), Math.max(...sizes)];
  const of = (figure: number, kind: string, size: number) => samplesOf(variants[figure]!, nameOf(kind, size));
  /** How many times better the first is. */
  const better = (figure: number, one: readonly number[], other: readonly number[]) =>
    figures[figure]!.better === "higher" ? ratio(one, other) : ratio(other, one);
  const flat = figures.map(({ name }, figure) =>
    target(
      `${name}: ${most} services against ${fewest}`,
      "at least",
      0.97,
      better(figure, of(figure, waggle, most), of(figure, waggle, fewest)),
    ),
  );
  const ahead = figures.flatMap(({ name }, figure) =>
    sizes.map((size) =>
      target(
        `${name}: waggle against a verdict map, ${size} services`,
        "at least",
        1,
        better(figure, of(figure, waggle, size), of(figure, verdictMaps, size)),
      ),
    ),
  );
  const many = sizes.find((size) => size === 10_000) ?? most;
  const rules = target(
    `${figures[0].name}: waggle against iptables rules, ${many} services`,
    "at least",
    4,
    ratio(of(0, waggle, many), of(0, linear, many)),
  );
  return [...flat, ...ahead, rules];
}

export const services: Suite = {
  name: "services",
  title: "Services",
  method:
    "wrk with 16 connections to the ClusterIP of the service in the middle, with and without a connection for each " +
    "request; one backend, nginx. Beside Waggle what kube-proxy writes: a verdict map of nftables, and a rule for " +
    "each service as iptables-nft has them in the kernel, loaded with nft. All pods have a route to a node that " +
    "forwards. Processor time is that of one thread with both ends of the connection.",
  async run(context) {
    const sizes = sizesFor(context.effort);
    const places: Place[] = [];
    const servers: Server[] = [];
    try {
      for (const size of sizes) {
        for (const [kind, make] of [
          [verdictMaps, () => pairBehindNode(verdictMaps, verdictMapRules(size))],
          [linear, () => pairBehindNode(linear, linearRules(size))],
          [waggle, () => wagglePairWith(size)],
        ] as const) {
          context.signal.throwIfAborted();
          context.progress(`setting up ${nameOf(kind, size)}`);
          const pair = await make();
          places.push({ kind, size, pair });
        }
      }
      const costs = await measureCosts(places, context);
      for (const { pair } of places) servers.push(await nginxServer(pair.server));
      const variants = [...(await measureRates(places, context)), ...costs];
      return { rows: rowsOf(sizes, variants), targets: targetsOf(sizes, variants), remarks: [] };
    } finally {
      for (const server of servers) await server.close();
      for (const { pair } of places.reverse()) await pair.close();
    }
  },
};
