import type { BaseChain, BaseChainChange, NetOps } from "../../datapath/index.ts";

/** Families of nftables that see packets of IPv4, which carry the tunnel, and where such packets meet them. */
const families: ReadonlySet<string> = new Set(["inet", "ip", "netdev"]);
const hooks: ReadonlySet<string> = new Set(["ingress", "prerouting", "input"]);

/** Does it see what comes in from the network for the node? */
const seesIncoming = ({ family, hook }: BaseChain): boolean => families.has(family) && hooks.has(hook);

/**
 * The kernel lists all chains to find those, tens of thousands where nftables serve Kubernetes' services. Nobody tells when
 * a table goes with the process that owns it; until then packets only take the longer way.
 */
const relistNs = 60_000_000_000n;

/** Who filters what comes in from the network for the node. */
export class IncomingFilters {
  readonly #net: Pick<NetOps, "baseChains" | "legacyTables">;
  readonly #now: () => bigint;
  /** Those that were seen last. */
  #chains: readonly BaseChain[] = [];
  /** Nanoseconds of CLOCK_MONOTONIC; undefined: chains may have come since they were listed. */
  #listedAt: bigint | undefined;

  constructor(net: Pick<NetOps, "baseChains" | "legacyTables">, now: () => bigint) {
    this.#net = net;
    this.#now = now;
  }

  /** Takes note of a change. True when somebody else may filter now, or nobody any more. */
  observe(change: BaseChainChange): boolean {
    const matters = this.#concerns(change);
    if (matters) this.#listedAt = undefined;
    return matters;
  }

  /** Who filters, in words; undefined when nobody does. @throws DatapathError */
  async describe(): Promise<string | undefined> {
    const [legacy] = await this.#net.legacyTables();
    if (legacy !== undefined) return `iptables has a table ${legacy}`;
    const now = this.#now();
    const dated = this.#chains.length > 0 && this.#listedAt !== undefined && now - this.#listedAt >= relistNs;
    if (this.#listedAt === undefined || dated) await this.#list(now);
    const [first, ...others] = this.#chains;
    if (first === undefined) return undefined;
    const text = `table ${first.family} ${first.table} has a chain at ${first.hook}`;
    return others.length === 0 ? text : `${text}, the first of ${others.length + 1}`;
  }

  async #list(now: bigint): Promise<void> {
    // Before they are listed: what changes meanwhile is listed the next time.
    this.#listedAt = now;
    try {
      this.#chains = (await this.#net.baseChains()).filter(seesIncoming);
    } catch (error) {
      this.#listedAt = undefined;
      throw error;
    }
  }

  #concerns(change: BaseChainChange): boolean {
    if (change.kind === "resync") return true;
    if (change.kind === "came") return seesIncoming(change.chain);
    const { family, table, chain } = change;
    return this.#chains.some(
      (one) => one.family === family && one.table === table && (chain === undefined || one.chain === chain),
    );
  }
}
