import type { IpCacheEntry, IpCacheSource } from "./types.ts";

/**
 * Who is believed when several speak of one prefix, weakest first. As in Cilium, what the node knows of itself beats
 * what it is told: an entry of the API can neither take over a local pod's address nor the node's own.
 */
export const sourcePriority: readonly IpCacheSource[] = [
  "service",
  "api",
  "kvstore",
  "endpoint",
  "node",
  "reserved",
];

const rank = new Map(sourcePriority.map((source, index) => [source, index]));

/** Whether `a` is believed rather than `b`. */
export function outranks(a: IpCacheSource, b: IpCacheSource): boolean {
  return (rank.get(a) ?? 0) > (rank.get(b) ?? 0);
}

/**
 * What is said of prefixes by sources weaker than the one that is believed, strongest first. Hardly any prefix has more
 * than one source, and those that have not take no room here.
 */
export class Shadowed {
  readonly #byPrefix = new Map<string, readonly IpCacheEntry[]>();

  /** Adds or replaces what the source says. */
  set(entry: IpCacheEntry): void {
    const others = this.all(entry.prefix).filter(({ source }) => source !== entry.source);
    const weakerAt = others.findIndex(({ source }) => outranks(entry.source, source));
    const at = weakerAt < 0 ? others.length : weakerAt;
    this.#byPrefix.set(entry.prefix, [...others.slice(0, at), entry, ...others.slice(at)]);
  }

  /** What the source said, and now no longer says. */
  remove(prefix: string, source: IpCacheSource): IpCacheEntry | undefined {
    if (this.#byPrefix.size === 0) return undefined;
    const entries = this.all(prefix);
    const removed = entries.find((entry) => entry.source === source);
    if (removed === undefined) return undefined;
    if (entries.length === 1) this.#byPrefix.delete(prefix);
    else
      this.#byPrefix.set(
        prefix,
        entries.filter((entry) => entry !== removed),
      );
    return removed;
  }

  /** What is to be believed when the present one goes. */
  first(prefix: string): IpCacheEntry | undefined {
    return this.all(prefix)[0];
  }

  all(prefix: string): readonly IpCacheEntry[] {
    return this.#byPrefix.get(prefix) ?? [];
  }
}
