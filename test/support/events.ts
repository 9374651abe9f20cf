// What the monitor stream and the counters of the datapath say.

import type { AgentClient } from "../../src/client/index.ts";
import type {
  DropEvent,
  MonitorRequest,
  MonitorResponse,
  TraceEvent,
  VerdictEvent,
} from "../../src/gen/waggle/v1/datapath.ts";
import { eventually } from "./eventually.ts";

/** A node, or a world for its first one. */
export interface Observed {
  readonly client: AgentClient;
}

/** Events of a monitor stream, collected until it is ended. */
export class Listener {
  readonly all: MonitorResponse[] = [];
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #error: unknown;

  constructor({ client }: Observed, request: Partial<MonitorRequest>) {
    const stream = client.datapath.monitor(
      { drops: false, traces: false, verdicts: false, endpointId: 0, ...request },
      { signal: this.#abort.signal },
    );
    this.#done = (async () => {
      try {
        for await (const event of stream) this.all.push(event);
      } catch (error) {
        this.#error = error;
      }
    })();
  }

  get drops(): readonly DropEvent[] {
    return this.all.flatMap(({ event }) => (event?.$case === "drop" ? [event.value] : []));
  }

  get traces(): readonly TraceEvent[] {
    return this.all.flatMap(({ event }) => (event?.$case === "trace" ? [event.value] : []));
  }

  get verdicts(): readonly VerdictEvent[] {
    return this.all.flatMap(({ event }) => (event?.$case === "verdict" ? [event.value] : []));
  }

  /** Ends the stream. @throws what the stream failed with */
  async end(): Promise<void> {
    this.#abort.abort();
    await this.#done;
    if (this.#error !== undefined) throw this.#error;
  }
}

/** Opens a monitor stream and resolves when the agent has it. */
export async function listen(observed: Observed, request: Partial<MonitorRequest>): Promise<Listener> {
  const watchers = async (): Promise<number> => (await observed.client.agent.getStatus({})).watchers;
  const before = await watchers();
  const listener = new Listener(observed, request);
  await eventually("the agent has the monitor stream", async () => (await watchers()) > before);
  return listener;
}

/** Packets counted for a drop reason (without sign; 0 forwarded) in both directions. */
export async function counted({ client }: Observed, reason: number): Promise<number> {
  const { metrics } = await client.datapath.getMetrics({});
  return metrics.filter((row) => row.reason === reason).reduce((sum, row) => sum + Number(row.packets), 0);
}

/** All packets counted as dropped. */
export async function droppedPackets({ client }: Observed): Promise<number> {
  const { metrics } = await client.datapath.getMetrics({});
  return metrics.filter((row) => row.reason >= 16).reduce((sum, row) => sum + Number(row.packets), 0);
}

/** The same by reason (without sign), reasons without a packet left out. */
export async function dropsByReason({ client }: Observed): Promise<ReadonlyMap<number, number>> {
  const { metrics } = await client.datapath.getMetrics({});
  const drops = new Map<number, number>();
  for (const { reason, packets } of metrics) {
    if (reason >= 16) drops.set(reason, (drops.get(reason) ?? 0) + Number(packets));
  }
  return drops;
}
