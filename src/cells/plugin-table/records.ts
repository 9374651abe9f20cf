import { isDeepStrictEqual } from "node:util";
import { Observable, type Subscriber, type Subscription } from "rxjs";
import { type BpfOps, type Closeable, type MapSpec, MapType, type RawMap } from "../../datapath/index.ts";
import type { Table } from "../../table/index.ts";
import { failedPrecondition, notFound, RefusalError, resourceExhausted } from "../errors.ts";
import type { PluginMaps } from "./maps.ts";
import type { Plugin, PluginRecordLayout, PluginRecordMessage, PluginRecords } from "./types.ts";

export interface PluginRecordsParts {
  readonly bpf: Pick<BpfOps, "readRingbuf" | "readPerfEvents">;
  readonly table: Table<Plugin, string>;
  readonly maps: Pick<PluginMaps, "open">;
  /** How many may read one map at once. */
  readonly maxReaders: number;
}

/** True for maps that hand records to a reader instead of keeping entries. */
export function holdsRecords({ type }: Pick<MapSpec, "type">): boolean {
  return type === MapType.ringbuf || type === MapType.perfEventArray;
}

/** A map that records can be read from, and what they look like. */
interface Found {
  readonly raw: RawMap;
  readonly layout: PluginRecordLayout;
}

/** One map that is being read, and everybody who wants what comes out of it. */
interface Source {
  readonly plugin: string;
  readonly map: string;
  /** Kernel id of the map: the same name may come to stand for another map. */
  readonly mapId: number;
  readonly layout: PluginRecordLayout;
  readonly subscribers: Set<Subscriber<PluginRecordMessage>>;
  readonly reader: Closeable;
}

/**
 * Records of plugins' maps for any number of readers: the kernel lets one consumer empty a buffer, so all readers
 * of a map share it. A buffer that nobody reads is left alone, and fills.
 */
export class SharedPluginRecords implements PluginRecords {
  readonly #parts: PluginRecordsParts;
  /** By plugin and map. */
  readonly #sources = new Map<string, Source>();
  #changes: Subscription | undefined;
  #running = false;

  constructor(parts: PluginRecordsParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#running = true;
  }

  /** Ends all streams. */
  stop(): void {
    this.#running = false;
    for (const source of [...this.#sources.values()]) {
      this.#drop(source);
      for (const subscriber of [...source.subscribers]) subscriber.complete();
    }
  }

  records(plugin: string, map: string): Observable<PluginRecordMessage> {
    return new Observable((subscriber) => {
      try {
        return this.#add(plugin, map, subscriber);
      } catch (error) {
        subscriber.error(error);
        return undefined;
      }
    });
  }

  #add(plugin: string, map: string, subscriber: Subscriber<PluginRecordMessage>): () => void {
    if (!this.#running) throw new RefusalError("UNAVAILABLE", "records of plugins are not available now");
    const found = this.#find(plugin, map);
    const key = `${plugin}/${map}`;
    const source = this.#sources.get(key) ?? this.#read(plugin, found);
    if (source.subscribers.size >= this.#parts.maxReaders) {
      throw resourceExhausted(
        `${this.#parts.maxReaders} readers of map ${map} of plugin ${plugin} are as many as there may be`,
      );
    }
    this.#sources.set(key, source);
    source.subscribers.add(subscriber);
    this.#follow();
    subscriber.next({ kind: "layout", at: new Date(), layout: source.layout });
    return () => {
      source.subscribers.delete(subscriber);
      if (source.subscribers.size === 0) this.#drop(source);
    };
  }

  /** @throws RefusalError NOT_FOUND, FAILED_PRECONDITION */
  #find(plugin: string, map: string): Found {
    const row = this.#parts.table.get(plugin);
    if (row === undefined) throw notFound("plugin", plugin);
    const spec = row.maps.find(({ name }) => name === map);
    if (spec === undefined) throw notFound(`map of plugin ${plugin},`, map);
    if (!holdsRecords(spec)) {
      throw failedPrecondition(
        `map ${map} of plugin ${plugin} holds entries, not records; records come from maps of type ringbuf and ` +
          "perf_event_array",
      );
    }
    const raw = this.#parts.maps.open(row)[map];
    if (raw === undefined) throw notFound(`map of plugin ${plugin},`, map);
    const layout = row.manifest.records.find((one) => one.map === map) ?? { map, fields: [] };
    return { raw, layout };
  }

  #read(plugin: string, { raw, layout }: Found): Source {
    const subscribers = new Set<Subscriber<PluginRecordMessage>>();
    const deliver = (message: PluginRecordMessage): void => {
      for (const subscriber of subscribers) subscriber.next(message);
    };
    const record = (data: Buffer, cpu?: number): void =>
      deliver({ kind: "record", at: new Date(), data, ...(cpu === undefined ? {} : { cpu }) });
    const reader =
      raw.spec.type === MapType.ringbuf
        ? this.#parts.bpf.readRingbuf(raw, (data) => record(data))
        : this.#parts.bpf.readPerfEvents(raw, record, (count) =>
            deliver({ kind: "lost", at: new Date(), count }),
          );
    return { plugin, map: layout.map, mapId: raw.info.id, layout, subscribers, reader };
  }

  /** Closes the reader; whoever is still subscribed hears nothing more. */
  #drop(source: Source): void {
    source.reader.close();
    const key = `${source.plugin}/${source.map}`;
    if (this.#sources.get(key) === source) this.#sources.delete(key);
    if (this.#sources.size === 0) {
      this.#changes?.unsubscribe();
      this.#changes = undefined;
    }
  }

  /** While anything is read, changes of plugins are followed. */
  #follow(): void {
    this.#changes ??= this.#parts.table.changes().subscribe((change) => {
      if (change.kind === "sync") return;
      for (const source of [...this.#sources.values()]) {
        if (source.plugin === change.key) this.#check(source);
      }
    });
  }

  /** Ends a source whose map is not the plugin's any more, and tells its readers why. */
  #check(source: Source): void {
    const reason = this.#reasonToEnd(source);
    if (reason === undefined) return;
    this.#drop(source);
    for (const subscriber of [...source.subscribers]) subscriber.error(reason);
  }

  #reasonToEnd({ plugin, map, mapId, layout }: Source): unknown {
    if (!this.#parts.table.has(plugin)) {
      return new RefusalError("NOT_FOUND", `plugin ${plugin} was unregistered`);
    }
    let found: Found;
    try {
      found = this.#find(plugin, map);
    } catch (error) {
      return error;
    }
    const upgraded = (what: string): RefusalError =>
      new RefusalError("ABORTED", `plugin ${plugin} was upgraded: ${what}; read again`);
    if (found.raw.info.id !== mapId) return upgraded(`its map ${map} is a new one`);
    if (!isDeepStrictEqual(found.layout, layout)) return upgraded(`records of ${map} have another layout`);
    return undefined;
  }
}
