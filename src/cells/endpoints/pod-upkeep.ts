import type { NodeConfig } from "../node-config/index.ts";

/** In how many runs every pod has had its turn. */
const turns = 12;

/** What of the node's facts pods' namespaces are configured by. */
const factsOf = ({ podCidr, podCidrV6, routerIpv4, routerIpv6, mtu, routeMtu }: NodeConfig): string =>
  JSON.stringify([podCidr, podCidrV6, routerIpv4, routerIpv6, mtu, routeMtu]);

/**
 * Decides whose namespace is looked at in a run. Nothing tells of changes in there, and looking costs a few dumps of
 * rtnetlink, so pods take turns; all of them are due at the start and when the node's own facts have changed.
 */
export class PodTurns {
  #facts: string;
  #allDue = true;
  /** The id that was looked at last. */
  #last = 0;

  constructor(node: NodeConfig) {
    this.#facts = factsOf(node);
  }

  /** The node is so now. Returns whether all pods are due by that. */
  follow(node: NodeConfig): boolean {
    const facts = factsOf(node);
    if (facts === this.#facts) return false;
    this.#facts = facts;
    this.#allDue = true;
    return true;
  }

  /** Ids to look at now. */
  next(ids: readonly number[]): readonly number[] {
    if (this.#allDue) {
      this.#allDue = false;
      return ids;
    }
    const sorted = [...ids].sort((a, b) => a - b);
    const from = sorted.findIndex((id) => id > this.#last);
    const turn = [...sorted.slice(Math.max(0, from)), ...sorted.slice(0, Math.max(0, from))].slice(
      0,
      Math.ceil(sorted.length / turns),
    );
    this.#last = turn.at(-1) ?? 0;
    return turn;
  }
}
