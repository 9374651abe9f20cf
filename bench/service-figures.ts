// What is measured of places with services: rates of wrk, and processor time.

import { withProgramsElsewhere } from "./elsewhere.ts";
import { interleave } from "./interleave.ts";
import { type Costs, costName, measureCosts } from "./path-costs.ts";
import { connectRate, requestRate, type Way } from "./peers/load.ts";
import { nginxServer, ports, type Server } from "./peers/servers.ts";
import {
  addressFirst,
  createDirectPlace,
  createPlace,
  kinds,
  type Place,
  verdictMaps,
  waggle,
} from "./service-places.ts";
import type { Row, SuiteContext } from "./suite.ts";
import { measureTimes } from "./times-built.ts";
import { together } from "./together.ts";

/** A rate of wrk, and of what it is measured. */
interface Rate {
  readonly name: string;
  /**
   * Load programs take a second for a sample: the slower rules of iptables are left to the figures of processor time,
   * and so are both of them for requests, which never come to the rules.
   */
  readonly kinds: readonly string[];
  measure(way: Way, seconds: number): Promise<number>;
}

/** The rate of HTTP connections to a ClusterIP. */
export const httpConnections = "HTTP connections to a ClusterIP";

const rates: readonly Rate[] = [
  { name: httpConnections, kinds: [verdictMaps, addressFirst, waggle], measure: connectRate },
  { name: "HTTP requests to a ClusterIP", kinds: [verdictMaps, waggle], measure: requestRate },
];

const opened = "a connection to a ClusterIP, opened and reset";
/** The rate of connections proper, in processor time. */
export const opening = costName(opened);

const costs: Costs = {
  opens: opened,
  connections: "a connection to a ClusterIP with one request",
  requests: "a request to a ClusterIP and its response",
};

/** Rates of all places, in turn. What comes before has warmed the paths up. */
async function measureRates(
  places: readonly Place[],
  { effort, signal, progress }: SuiteContext,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const { name: title, kinds: rated, measure } of rates) {
    const variants = await interleave(
      places
        .filter(({ kind }) => rated.includes(kind))
        .map(({ name, pair, ipv4, port }) => ({
          name,
          measure: () => measure({ from: pair.client, to: ipv4, port }, 1),
        })),
      {
        effort: { ...effort, warmUp: false },
        signal,
        onSample: (contender, round) => progress(`${title}: ${contender}, round ${round}`),
      },
    );
    rows.push({ name: title, unit: "1/s", better: "higher", variants });
  }
  return rows;
}

/** The servers that load programs ask, while `use` runs. */
async function withServers<T>(places: readonly Place[], use: () => Promise<T>): Promise<T> {
  const servers: Server[] = [];
  try {
    for (const { pair } of places) servers.push(await nginxServer(pair.server));
    return await use();
  } finally {
    for (const server of servers) await server.close();
  }
}

/** Builds all places, those of a kind at once, and takes them down after `use`. */
async function withPlaces<T>(
  sizes: readonly number[],
  backwards: boolean,
  { signal, progress }: SuiteContext,
  use: (places: readonly Place[]) => Promise<T>,
): Promise<T> {
  const places: Place[] = [];
  const inTurn = <E>(list: readonly E[]): readonly E[] => (backwards ? list.toReversed() : list);
  try {
    places.push(await createDirectPlace());
    for (const kind of inTurn(kinds)) {
      signal.throwIfAborted();
      progress(`setting up ${kind}`);
      await together(
        inTurn(sizes).map((size) => async () => void places.push(await createPlace(kind, size))),
      );
    }
    return await use(places);
  } finally {
    const pairs = places.map(({ pair }) => pair);
    await together(pairs.map((pair) => () => pair.close()));
  }
}

/**
 * Measures every figure for services of so many sizes, whose places are built anew several times. The variants of a
 * row are places of all kinds and sizes, and the direct pair of the figures of processor time.
 * @throws IdlePeerError when a place is not what it is called
 */
export const measurePlaces = (sizes: readonly number[], context: SuiteContext): Promise<readonly Row[]> =>
  measureTimes(context, (part, backwards, time) =>
    withProgramsElsewhere(time, () =>
      withPlaces(sizes, backwards, part, async (places) => {
        const paths = places.map(({ name, pair: { client, server }, ipv4, port }) => ({
          ...{ name, client, server, ipv4, port },
          serverPort: ports.http,
        }));
        // While nobody else serves the backend's port.
        const cost = await measureCosts(paths, costs, 4, part);
        for (const { pair } of places) await pair.verify();
        const rated = places.filter(({ kind }) => rates.some(({ kinds: some }) => some.includes(kind)));
        const rows = await withServers(rated, () => part.awake(() => measureRates(rated, part)));
        return [...rows, ...cost];
      }),
    ),
  );
