// Nodes with services: Waggle's, and those with the rules that kube-proxy writes.

import { FrontendState, ServiceProtocol, UpsertServicesRequest } from "../src/gen/waggle/v1/load_balancer.ts";
import type { World } from "../src/playground/index.ts";
import { benchWorld } from "./bench-world.ts";
import { directPair, type Pair, pairBehindNode, pairOfWorld } from "./pair.ts";
import { ports } from "./peers/servers.ts";
import {
  linearRules,
  serviceAddress,
  servicePort,
  verdictMapRules,
  verifyTranslation,
} from "./service-rules.ts";

export const waggle = "waggle";
export const verdictMaps = "nftables verdict map";
/** In the form of iptables 1.8.9, of Debian 12. */
export const protocolFirst = "iptables rules as 1.8.9 writes them";
/** In the form of later versions of iptables. */
export const addressFirst = "iptables rules as later versions write them";
/** The limit: no services, the client asks its server. */
export const direct = "direct veth";

/** Two pods, one of which is behind services. */
export interface Place {
  readonly kind: string;
  /** What it is, and how many services there are. */
  readonly name: string;
  readonly pair: Pair;
  /** What the client asks. */
  readonly ipv4: string;
  readonly port: number;
}

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
    return await pairOfWorld(world, waggle);
  } catch (error) {
    await world.destroy();
    throw error;
  }
}

const behindRules =
  (kind: string, rules: (count: number) => string) =>
  (count: number): Promise<Pair> =>
    pairBehindNode(kind, rules(count), ({ node }) => verifyTranslation(kind, node!));

const makers: Readonly<Record<string, (count: number) => Promise<Pair>>> = {
  [verdictMaps]: behindRules(verdictMaps, verdictMapRules),
  [protocolFirst]: behindRules(protocolFirst, (count) => linearRules(count, "protocol first")),
  [addressFirst]: behindRules(addressFirst, (count) => linearRules(count, "address first")),
  [waggle]: wagglePairWith,
};

export const kinds: readonly string[] = Object.keys(makers);

export const placeName = (kind: string, size: number): string => `${kind}, ${size} services`;

/** Sets up so many services. The one in the middle is asked: what a chain of rules costs on average. */
export async function createPlace(kind: string, size: number): Promise<Place> {
  const pair = await makers[kind]!(size);
  return { kind, name: placeName(kind, size), pair, ipv4: serviceAddress(size >> 1), port: servicePort };
}

export async function createDirectPlace(): Promise<Place> {
  const pair = await directPair();
  return { kind: direct, name: direct, pair, ipv4: pair.ipv4, port: ports.http };
}
