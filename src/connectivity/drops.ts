// What the agents report as dropped while the test runs.

import type { MonitorResponse } from "../gen/waggle/v1/datapath.ts";
import type { NodeParty } from "./topology.ts";

interface Drop {
  /** performance.now() when it was reported. */
  readonly at: number;
  readonly source: string;
  readonly destination: string;
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
      this.#add({ at: Number.POSITIVE_INFINITY, source: "", destination: "", text });
    }
  }

  #take(message: MonitorResponse, node: string): void {
    if (message.event?.$case !== "drop") return;
    const { sourceIp = "", destinationIp = "" } = message.event.value.packet?.summary ?? {};
    const text = `${node}: ${message.text}`;
    this.#add({ at: performance.now(), source: sourceIp, destination: destinationIp, text });
  }

  #add(drop: Drop): void {
    this.#drops.push(drop);
    if (this.#drops.length > mostDrops) this.#drops.shift();
  }

  /**
   * Drops since a moment (performance.now()) that concern some addresses: those between two of them, or where there
   * are none, those of which one end is among them. Alike ones are shown once.
   */
  concerning(addresses: readonly string[], since: number): readonly string[] {
    const recent = this.#drops.filter(({ at }) => at >= since);
    const known = new Set(addresses);
    const between = recent.filter(({ source, destination }) => known.has(source) && known.has(destination));
    const touching = recent.filter(
      ({ source, destination, at }) =>
        known.has(source) || known.has(destination) || at === Number.POSITIVE_INFINITY,
    );
    const texts = (between.length > 0 ? between : touching).map(({ text }) => text);
    return [...new Set(texts)].slice(0, mostShown);
  }

  /** Ends the streams. */
  async end(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#streams);
  }
}
