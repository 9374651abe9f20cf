import type { BaseChainChange, BpfMap, NetChange, NetOps, Route } from "../../datapath/index.ts";
import type { TunnelControl } from "../../datapath/maps/index.ts";
import { IncomingFilters } from "./filters.ts";

/**
 * How pods' packets take the tunnel: straight between their programs and the device of the underlay, or through the
 * tunnel's own device and the stack.
 */
export type TunnelWay = "direct" | "device";

/** A way, and what speaks against a direct one. */
export interface TunnelChoice {
  readonly way: TunnelWay;
  readonly why?: string;
}

/** Something for each direction: pods' packets to other nodes, and those from there. */
export interface BothWays<T> {
  readonly transmit: T;
  readonly receive: T;
}

/** What decides on the way. */
export interface TunnelSteeringParts {
  /** What the operator wants; auto: direct, where nothing speaks against it. */
  readonly wanted: BothWays<TunnelWay | "auto">;
  readonly net: Pick<NetOps, "ipsecPolicies" | "baseChains" | "legacyTables" | "routes">;
  /** Bytes of an IP packet that the underlay must take. */
  readonly mtu: () => number;
  /** Destinations of routes that are the agent's own: they lead into the tunnel. */
  readonly isOwn: (route: Route) => boolean;
  /** waggle_tunnel. */
  readonly control: () => BpfMap<number, TunnelControl>;
  /** Nanoseconds of CLOCK_MONOTONIC. */
  readonly now: () => bigint;
}

/**
 * What the programs are told is good for so long. Nobody looks for IPsec and filters while there is no agent, so they have
 * to hear it again and again.
 */
const validityMs = 30_000;
const never = 0n;

/**
 * Tells programs which way to take. Three things are the stack's alone:
 *
 * - IPsec: packets that go past it would leave in clear, and be taken as they come. So when policies are seen, the way is
 *   through the device from then on, also when they go again: they may be about to be replaced.
 * - Routes that somebody has given an MTU, for what is sent: programs are told of their device's only
 *   (`ip_mtu_from_fib_result` of the kernel's net/ipv4/route.c), unless the MTU is locked.
 * - Rules about what comes in from the network, for what is received. What they say is not read: whoever has a chain there
 *   wants to see packets.
 */
export class TunnelSteering {
  readonly #parts: TunnelSteeringParts;
  readonly #filters: IncomingFilters;
  #ipsec = false;
  /** What programs have been told last. */
  #told: TunnelControl = { transmitUntilNs: never, receiveUntilNs: never };
  /** A route that takes less than the underlay must. */
  #narrow: Route | undefined;
  /** Whether routes have been read since one of them may have changed. */
  #known = false;

  constructor(parts: TunnelSteeringParts) {
    this.#parts = parts;
    this.#filters = new IncomingFilters(parts.net, parts.now);
  }

  /** Takes note of a change of the network. True when the way may be another now. */
  observe(change: NetChange): boolean {
    const matters = change.kind === "resync" || (change.kind === "route" && this.#concerns(change.route));
    if (matters) this.#known = false;
    return matters;
  }

  /** The same for a change of chains of netfilter. */
  observeChain(change: BaseChainChange): boolean {
    return this.#filters.observe(change);
  }

  /**
   * Says it (again). Resolves to the ways. What cannot be found out for one direction is no reason to keep the other waiting.
   * @throws DatapathError, or an AggregateError of two, and what has been said of the direction runs out
   */
  async pass(): Promise<BothWays<TunnelChoice>> {
    const { wanted, control } = this.#parts;
    if (wanted.transmit === "auto" || wanted.receive === "auto") await this.#lookForIpsec();
    const [transmit, receive] = await Promise.allSettled([
      this.#choose(wanted.transmit, () => this.#findNarrow()),
      this.#choose(wanted.receive, () => this.#filters.describe()),
    ]);
    this.#told = {
      transmitUntilNs: this.#until(transmit) ?? this.#told.transmitUntilNs,
      receiveUntilNs: this.#until(receive) ?? this.#told.receiveUntilNs,
    };
    control().update(0, this.#told);
    if (transmit.status === "fulfilled" && receive.status === "fulfilled") {
      return { transmit: transmit.value, receive: receive.value };
    }
    const errors = [transmit, receive].flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    throw errors.length === 1 ? errors[0] : new AggregateError(errors, errors.map(String).join("; "));
  }

  /** The end of what is said now; undefined where it could not be found out. */
  #until(choice: PromiseSettledResult<TunnelChoice>): bigint | undefined {
    if (choice.status === "rejected") return undefined;
    return choice.value.way === "direct" ? this.#parts.now() + BigInt(validityMs) * 1_000_000n : never;
  }

  /** One with an MTU, or that may be the narrow one without it. */
  #concerns(route: Route): boolean {
    if (this.#parts.isOwn(route)) return false;
    return route.mtu !== undefined || route.destination === this.#narrow?.destination;
  }

  async #choose(
    wanted: TunnelWay | "auto",
    findObstacle: () => Promise<string | undefined>,
  ): Promise<TunnelChoice> {
    if (wanted !== "auto") return { way: wanted };
    const why = this.#ipsec ? "the node has had IPsec policies" : await findObstacle();
    return why === undefined ? { way: "direct" } : { way: "device", why };
  }

  async #lookForIpsec(): Promise<void> {
    this.#ipsec ||= (await this.#parts.net.ipsecPolicies()) > 0;
  }

  async #findNarrow(): Promise<string | undefined> {
    const { net, mtu, isOwn } = this.#parts;
    const least = mtu();
    if (!this.#known) {
      // Before they are read: what changes meanwhile is read the next time.
      this.#known = true;
      try {
        this.#narrow = (await net.routes()).find(
          (route) => route.mtu !== undefined && route.mtu > 0 && route.mtu < least && !isOwn(route),
        );
      } catch (error) {
        this.#known = false;
        throw error;
      }
    }
    const narrow = this.#narrow;
    return narrow === undefined
      ? undefined
      : `the route to ${narrow.destination} has an MTU of ${narrow.mtu}, below ${least}`;
  }
}
