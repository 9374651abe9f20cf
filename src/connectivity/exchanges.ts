// What cases work with: peers in namespaces, temporary services, and the checks between them.

import type { Kind } from "./cases.ts";
import {
  checkIcmp,
  checkIcmpFragments,
  checkMtu,
  checkTcp,
  checkUdp,
  checkUdpFragments,
  type Target,
} from "./checks.ts";
import { Peers } from "./peers.ts";
import type { Family, Party } from "./topology.ts";

/** An address and port of somebody who listens. */
export interface Listener {
  readonly address: string;
  readonly port: number;
}

/** See above. */
export class Exchanges {
  readonly peers = new Peers();

  /** Where a party listens. @throws PeerError */
  async listener(at: Party, family: Family, protocol: "tcp" | "udp"): Promise<Listener> {
    const ports = await this.peers.in(at).listen(at[family]);
    return { address: at[family], port: ports[protocol] };
  }

  /**
   * Sends one kind of traffic from one party to the peer of another.
   * @param sources addresses one of which the other must see; any when empty
   */
  async between(
    kind: Kind,
    from: Party,
    to: Party,
    family: Family,
    { sources = [], signal }: { readonly sources?: readonly string[]; readonly signal: AbortSignal },
  ): Promise<string> {
    const address = to[family];
    const expected = { sources, server: to.label };
    switch (kind) {
      case "icmp":
        return checkIcmp(from.netns, address, signal);
      case "mtu":
        return checkMtu(from.netns, address, signal);
      case "fragments": {
        await checkIcmpFragments(from.netns, address, signal);
        return this.udpFragments(from, { ...(await this.listener(to, family, "udp")), ...expected });
      }
      case "tcp":
      case "udp":
        return this.transport(kind, from, { ...(await this.listener(to, family, kind)), ...expected });
    }
  }

  /** TCP or UDP to somebody who listens. */
  transport(protocol: "tcp" | "udp", from: Party, target: Target): Promise<string> {
    const client = this.peers.in(from);
    return protocol === "tcp" ? checkTcp(client, target) : checkUdp(client, target);
  }

  /** Datagrams in fragments to somebody who listens. */
  udpFragments(from: Party, target: Target): Promise<string> {
    return checkUdpFragments(this.peers.in(from), target);
  }

  /** Ends all peers. */
  end(): Promise<void> {
    return this.peers.end();
  }
}
