import { Observable, type Subscriber } from "rxjs";
import { decodeEvent } from "../../datapath/events/index.ts";
import type { BpfMap, BpfOps, Closeable, DatapathEvent, RawMap } from "../../datapath/index.ts";
import type { RuntimeConfig } from "../../datapath/maps/index.ts";
import { RefusalError, resourceExhausted } from "../errors.ts";
import type { Monitor, MonitorFilter, MonitorMessage } from "./types.ts";

export interface MonitorParts {
  readonly bpf: Pick<BpfOps, "readPerfEvents">;
  /** `cilium_events`; asked for when first needed, for shared maps are open only after start. */
  events(): RawMap;
  /** `waggle_runtime` */
  runtime(): BpfMap<number, RuntimeConfig>;
  /** How many may read at once. */
  readonly maxReaders: number;
}

interface Reader {
  readonly filter: MonitorFilter;
  readonly subscriber: Subscriber<MonitorMessage>;
}

const quiet: RuntimeConfig = { trace: false, verdicts: false };

/** Notifications of the datapath for any number of readers: one perf buffer, decoded once. */
export class PerfMonitor implements Monitor {
  readonly #parts: MonitorParts;
  readonly #readers = new Set<Reader>();
  #buffer: Closeable | undefined;
  #runtime: RuntimeConfig = quiet;
  #running = false;

  constructor(parts: MonitorParts) {
    this.#parts = parts;
  }

  /** Switches off what an agent that died may have left on. @throws DatapathError */
  start(): void {
    this.#running = true;
    this.#switch(quiet);
  }

  /** Ends all streams. */
  stop(): void {
    this.#running = false;
    for (const { subscriber } of [...this.#readers]) subscriber.complete();
  }

  events(filter: MonitorFilter): Observable<MonitorMessage> {
    return new Observable((subscriber) => {
      try {
        return this.#add({ filter, subscriber });
      } catch (error) {
        subscriber.error(error);
        return undefined;
      }
    });
  }

  #add(reader: Reader): () => void {
    const { maxReaders } = this.#parts;
    if (!this.#running) throw new RefusalError("UNAVAILABLE", "the datapath's events are not available now");
    if (this.#readers.size >= maxReaders) {
      throw resourceExhausted(`${maxReaders} readers of the datapath's events are as many as there may be`);
    }
    this.#readers.add(reader);
    try {
      this.#follow();
    } catch (error) {
      this.#readers.delete(reader);
      this.#follow();
      throw error;
    }
    return () => {
      this.#readers.delete(reader);
      this.#follow();
    };
  }

  /** Makes buffer and switches fit the readers there are. */
  #follow(): void {
    const filters = Array.from(this.#readers, ({ filter }) => filter);
    if (filters.length > 0) {
      // The buffer first: what the switches let through is wanted from the first event on.
      this.#buffer ??= this.#parts.bpf.readPerfEvents(
        this.#parts.events(),
        (data, cpu) => this.#receive(data, cpu),
        (count) => this.#deliver({ kind: "lost", at: new Date(), count }),
      );
    }
    const trace = filters.some(({ traces }) => traces);
    const verdicts = filters.some((filter) => filter.verdicts);
    if (trace !== this.#runtime.trace || verdicts !== this.#runtime.verdicts)
      this.#switch({ trace, verdicts });
    if (filters.length === 0) {
      this.#buffer?.close();
      this.#buffer = undefined;
    }
  }

  #switch(config: RuntimeConfig): void {
    this.#parts.runtime().update(0, config);
    this.#runtime = config;
  }

  #receive(data: Buffer, cpu: number): void {
    this.#deliver({ kind: "event", at: new Date(), cpu, event: decodeEvent(data) });
  }

  #deliver(message: MonitorMessage): void {
    for (const { filter, subscriber } of this.#readers) {
      if (message.kind === "lost" || wants(filter, message.event)) subscriber.next(message);
    }
  }
}

function wants(filter: MonitorFilter, event: DatapathEvent): boolean {
  switch (event.kind) {
    case "drop":
      return filter.drops && concerns(filter, event.source, event.destinationEndpoint);
    case "trace":
      return filter.traces && concerns(filter, event.source, event.destinationEndpoint);
    case "verdict":
      return filter.verdicts && concerns(filter, event.source);
    case "unknown":
      // Nobody can say whom it concerns; it is shown to those who see everything.
      return filter.endpointId === undefined;
  }
}

function concerns({ endpointId }: MonitorFilter, ...endpoints: number[]): boolean {
  return endpointId === undefined || endpoints.includes(endpointId);
}
