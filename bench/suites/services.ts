import { samplesOf } from "../interleave.ts";
import { httpConnections, measurePlaces, opening } from "../service-figures.ts";
import {
  addressFirst,
  direct,
  kinds,
  placeName,
  protocolFirst,
  verdictMaps,
  waggle,
} from "../service-places.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Effort, type Row, type Suite, type Target, target } from "../suite.ts";

const sizesFor = ({ scale }: Effort): readonly number[] =>
  scale < 1 ? [10, 200] : [10, 1_000, 10_000, 30_000];

function rowsOf(sizes: readonly number[], measured: readonly Row[]): readonly Row[] {
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

function targetsOf(sizes: readonly number[], measured: readonly Row[]): readonly Target[] {
  const [fewest, most] = [Math.min(...sizes), Math.max(...sizes)];
  const many = manyOf(sizes);
  /** How many times better the first is. */
  const better = (
    { better, variants }: Row,
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
function remarksOf(sizes: readonly number[], measured: readonly Row[]): readonly string[] {
  const many = manyOf(sizes);
  const times = (name: string, one: string, other: string, upside: boolean): string => {
    const { variants } = measured.find((figure) => figure.name === name)!;
    const [a, b] = [samplesOf(variants, one), samplesOf(variants, other)];
    return (upside ? ratio(a, b) : ratio(b, a)).median.toFixed(2);
  };
  const [mine, rules] = [placeName(waggle, many), placeName(addressFirst, many)];
  const alone = summarise(samplesOf(measured.find(({ name }) => name === opening)!.variants, direct)).median;
  return [
    `Among ${many} services waggle makes ${times(httpConnections, mine, rules, true)} × as many HTTP connections as ${addressFirst}. ` +
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
    "with nft; requests over connections that stay never come to those rules. All pods have a route to a node that " +
    "forwards, and everything is built three times. Processor time is that of one thread with both ends of the " +
    "connection: of connections that are opened and reset at once, which is the rate of connections proper; of " +
    "connections that carry a request and its response; and of requests alone.",
  async run(context) {
    const sizes = sizesFor(context.effort);
    const measured = await measurePlaces(sizes, context);
    return {
      rows: rowsOf(sizes, measured),
      targets: targetsOf(sizes, measured),
      remarks: remarksOf(sizes, measured),
    };
  },
};
