import type { BpfMap, NetChange, NetOps, Route } from "../../datapath/index.ts";
import type { TunnelControl } from "../../datapath/maps/index.ts";

/**
 * How pods' packets get into the tunnel: straight from the pods' programs to the device of the underlay, or through
 * the tunnel's own device and the stack.
 */
export type TunnelWay = "direct" | "device";

/** What decides on the way. */
export interface TunnelSteeringParts {
  /** What the operator wants; auto: direct, where nothing speaks against it. */
  readonly wanted: TunnelWay | "auto";
  readonly net: Pick<NetOps, "ipsecPolicies" | "routes">;
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
 * What the programs are told is good for so long. Nobody looks for IPsec while there is no agent, so they have to hear it
 * again and again.
 */
const validityMs = 30_000;

/**
 * Tells programs which way to take. Two things are the stack's alone:
 *
 * - IPsec: packets that go past it would leave in clear. So when policies are seen, the way is through the device from
 *   then on, also when they go again: they may be about to be replaced.
 * - Routes that somebody has given an MTU: programs are told of their device's only (`ip_mtu_from_fib_result` of the
 *   kernel's net/ipv4/route.c), unless the MTU is locked.
 */
export class TunnelSteering {
  readonly #parts: TunnelSteeringParts;
  #ipsec = false;
  /** A route that takes less than the underlay must. */
  #narrow: Route | undefined;
  /** Whether routes have been read since one of them may have changed. */
  #known = false;

  constructor(parts: TunnelSteeringParts) {
    this.#parts = parts;
  }

  /** Takes note of a change of the network. True when the way may be another now. */
  observe(change: NetChange): boolean {
    const matters = change.kind === "resync" || (change.kind === "route" && this.#concerns(change.route));
    if (matters) this.#known = false;
    return matters;
  }

  /**
   * Says it (again). Resolves to the way, and to what speaks against a direct one.
   * @throws DatapathError, and what has been said runs out
   */
  async pass(): Promise<{ readonly way: TunnelWay; readonly why?: string }> {
    const { wanted, control, now } = this.#parts;
    const why = wanted === "auto" ? await this.#obstacle() : undefined;
    const way = wanted === "auto" ? (why === undefined ? "direct" : "device") : wanted;
    const transmitUntilNs = way === "direct" ? now() + BigInt(validityMs) * 1_000_000n : 0n;
    control().update(0, { transmitUntilNs, receiveUntilNs: transmitUntilNs });
    return why === undefined ? { way } : { way, why };
  }

  /** One with an MTU, or that may be the narrow one without it. */
  #concerns(route: Route): boolean {
    if (this.#parts.isOwn(route)) return false;
    return route.mtu !== undefined || route.destination === this.#narrow?.destination;
  }

  async #obstacle(): Promise<string | undefined> {
    const { net, mtu, isOwn } = this.#parts;
    this.#ipsec ||= (await net.ipsecPolicies()) > 0;
    if (this.#ipsec) return "the node has had IPsec policies";
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
