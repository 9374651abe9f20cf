import type { BpfMap, NetOps } from "../../datapath/index.ts";
import type { TunnelControl } from "../../datapath/maps/index.ts";

/**
 * How pods' packets get into the tunnel: straight from the pods' programs to the device of the underlay, or through
 * the tunnel's own device and the stack.
 */
export type TunnelWay = "direct" | "device";

/** What decides on the way. */
export interface TunnelSteeringParts {
  /** What the operator wants; auto: direct, as long as the node has no IPsec. */
  readonly wanted: TunnelWay | "auto";
  readonly net: Pick<NetOps, "ipsecPolicies">;
  /** waggle_tunnel. */
  readonly control: () => BpfMap<number, TunnelControl>;
  /** Nanoseconds of CLOCK_MONOTONIC. */
  readonly now: () => bigint;
}

/**
 * What the programs are told is good for so long. Nobody looks for IPsec while there is no agent, so they have to hear it
 * again and again.
 */
export const validityMs = 30_000;

/**
 * Tells programs which way to take. IPsec policies are the stack's: packets that go past it would leave in clear. So when
 * some are seen, the way is through the device from then on, also when they go again: they may be about to be replaced.
 */
export class TunnelSteering {
  readonly #parts: TunnelSteeringParts;
  #ipsec = false;

  constructor(parts: TunnelSteeringParts) {
    this.#parts = parts;
  }

  /** True once IPsec policies have been seen. */
  get ipsec(): boolean {
    return this.#ipsec;
  }

  /** Says it (again). Resolves to the way. @throws DatapathError, and what has been said runs out */
  async pass(): Promise<TunnelWay> {
    const { wanted, net, control, now } = this.#parts;
    if (wanted === "auto" && !this.#ipsec) this.#ipsec = (await net.ipsecPolicies()) > 0;
    const way = wanted === "auto" ? (this.#ipsec ? "device" : "direct") : wanted;
    const directUntilNs = way === "direct" ? now() + BigInt(validityMs) * 1_000_000n : 0n;
    control().update(0, { directUntilNs });
    return way;
  }
}
