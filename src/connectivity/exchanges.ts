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
import { type TemporaryService, TemporaryServices } from "./temporary-services.ts";
import type { Family, NodeParty, Party } from "./topology.ts";

/** An address and port of somebody who listens. */
export interface Listener {
  readonly address: string;
  readonly port: number;
}

/** See above. */
export class Exchanges {
  readonly peers = new Peers();
  readonly #services: TemporaryServices;
  /** Services by what they are for; cases with the same one share it. */
  readonly #made = new Map<string, Promise<TemporaryService>>();

  constructor(nodes: readonly NodeParty[]) {
    this.#services = new TemporaryServices(nodes);
  }

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

  /** The service whose only backend is a party's peer. @throws CallError, CheckError, PeerError */
  service(
    backend: Party,
    family: Family,
    protocol: "tcp" | "udp",
    signal: AbortSignal,
  ): Promise<TemporaryService> {
    return this.#once(`${backend.netns} ${family} ${protocol}`, async () => {
      const listener = await this.listener(backend, family, protocol);
      return this.#services.create({ family, protocol, backend: listener }, signal);
    });
  }

  /** A TCP service without backends. @throws CallError, CheckError */
  emptyService(family: Family, signal: AbortSignal): Promise<TemporaryService> {
    const wish = { family, protocol: "tcp", backend: undefined } as const;
    return this.#once(`empty ${family}`, () => this.#services.create(wish, signal));
  }

  #once(what: string, make: () => Promise<TemporaryService>): Promise<TemporaryService> {
    const made = this.#made.get(what) ?? make();
    this.#made.set(what, made);
    return made;
  }

  /** Ends all peers, and removes the services. @throws AggregateError when some could not be removed */
  async end(): Promise<void> {
    await this.peers.end();
    // A service that is being made cannot be removed yet; those that came to nothing have been told of.
    await Promise.allSettled(this.#made.values());
    await this.#services.removeAll();
  }
}
