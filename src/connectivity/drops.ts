// What the agents report as dropped while the test runs.

import type { MonitorResponse } from "../gen/waggle/v1/datapath.ts";
import type { NodeParty } from "./topology.ts";

interface Drop {
  /** performance.now() when it was reported. */
  readonly at: number;
  readonly source: string;
  readonly destination: string;
  /** Drops with the same are alike: node, reason and addresses. */
  readonly kind: string;
  readonly text: string;
}

/** Drops that are remembered, newest last. */
const mostDrops = 5_000;
/** Drops that are worth showing for one case. */
const mostShown = 3;

/** See above. */
export class DropWatch {
  readonly #drops: Drop[] = [];
  readonly #abort = new AbortController();
  readonly #streams: readonly Promise<void>[];

  constructor(nodes: readonly NodeParty[]) {
    this.#streams = nodes.map((node) => this.#follow(node));
  }

  async #follow({ client, label }: NodeParty): Promise<void> {
    const request = { drops: true, traces: false, verdicts: false, endpointId: 0 };
    try {
      for await (const message of client.datapath.monitor(request, { signal: this.#abort.signal }))
        this.#take(message, label);
    } catch (error) {
      // Traffic is what is tested; that an agent cannot tell of drops is worth a line where one is missed.
      const text = `${label} tells nothing of drops: ${error instanceof Error ? error.message : String(error)}`;
      this.#add({ at: Number.POSITIVE_INFINITY, source: "", destination: "", kind: text, text });
    }
  }

  #take(message: MonitorResponse, node: string): void {
    if (message.event?.$case !== "drop") return;
    const { packet, reasonName } = message.event.value;
    const { sourceIp: source = "", destinationIp: destination = "" } = packet?.summary ?? {};
    const kind = `${node} ${reasonName} ${source} ${destination}`;
    this.#add({ at: performance.now(), source, destination, kind, text: `${node}: ${message.text}` });
  }

  #add(drop: Drop): void {
    this.#drops.push(drop);
    if (this.#drops.length > mostDrops) this.#drops.shift();
  }

  /**
   * Drops since a moment (performance.now()) that concern some addresses: those between two of them, or where there
   * are none, those of which one end is among them. Of those that are alike the first is shown.
   */
  concerning(addresses: readonly string[], since: number): readonly string[] {
    const recent = this.#drops.filter(({ at }) => at >= since);
    const known = new Set(addresses);
    const between = recent.filter(({ source, destination }) => known.has(source) && known.has(destination));
    const touching = recent.filter(
      ({ source, destination, at }) =>
        known.has(source) || known.has(destination) || at === Number.POSITIVE_INFINITY,
    );
    const groups = Map.groupBy(between.length > 0 ? between : touching, ({ kind }) => kind);
    return [...groups.values()].slice(0, mostShown).map(([first, ...more]) => {
      const alike = more.length === 0 ? "" : ` (and ${more.length} more)`;
      return `${first!.text}${alike}`;
    });
  }

  /** Ends the streams. */
  async end(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#streams);
  }
}
