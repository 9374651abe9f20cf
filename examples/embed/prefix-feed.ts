import { resolve } from "node:path";
import { BehaviorSubject, type Observable } from "rxjs";
import { Identities, type IdentityAllocator, type Labels } from "waggle/cells/identity";
import { type IpCache, type IpCacheEntry, IpCaches } from "waggle/cells/ipcache";
import { type ConfigOf, config, flag, Health, Jobs, Lifecycle, module, provide, token } from "waggle/hive";
import { type LabelledPrefix, readPrefixFile } from "./prefix-file.ts";

/** A prefix that is in force. */
export interface FedPrefix extends LabelledPrefix {
  readonly identity: number;
}

/** What the file says and the kernel has. */
export interface PrefixFeed {
  /** The set in force, now and after each change. */
  readonly prefixes: Observable<readonly FedPrefix[]>;
}

/** What others depend on. Usable at once; filled when the prefix-feed module has started. */
export const Prefixes = token<PrefixFeed>("Prefixes");

const flags = {
  "prefix-file": flag.string({
    default: "",
    help: "YAML file with the prefixes and their labels",
    validate: (path) => (path === "" ? "it is required" : undefined),
  }),
  "reload-every": flag.duration({ default: "5s", help: "how often the file is read again" }),
};
const PrefixFeedConfig = token<ConfigOf<typeof flags>>("PrefixFeedConfig");

/** Brings a set of prefixes into the ipcache, each with an identity for its labels. */
class FilePrefixFeed implements PrefixFeed {
  readonly prefixes = new BehaviorSubject<readonly FedPrefix[]>([]);
  readonly #identities: IdentityAllocator;
  readonly #ipCache: IpCache;
  /** What the ipcache was told last; `prefixes` has it once the kernel has. */
  #told: readonly FedPrefix[] = [];

  constructor(identities: IdentityAllocator, ipCache: IpCache) {
    this.#identities = identities;
    this.#ipCache = ipCache;
  }

  /**
   * Resolves to the number of prefixes when the kernel has them all, and none that went. A set that is refused
   * changes nothing.
   * @throws RefusalError, ReconcileError
   */
  async apply(wanted: readonly LabelledPrefix[], signal: AbortSignal): Promise<number> {
    const before = this.#told;
    if (describe(wanted) === describe(before)) return before.length;

    // New identities are taken before old ones are given back: a number whose labels stay is never given away.
    const next: FedPrefix[] = [];
    try {
      for (const { prefix, labels } of wanted) {
        next.push({ prefix, labels, identity: (await this.#identities.acquire(labels)).id });
      }
      this.#ipCache.upsertMany(next.map(entry));
    } catch (error) {
      await this.#release(next);
      throw error;
    }
    const kept = new Set(next.map(({ prefix }) => prefix));
    for (const { prefix } of before) if (!kept.has(prefix)) this.#ipCache.remove(prefix, "api");
    this.#told = next;
    await this.#release(before);
    await this.#ipCache.reconciler.waitReconciled(this.#ipCache.table.revision, signal);
    this.prefixes.next(next);
    return next.length;
  }

  async #release(prefixes: readonly FedPrefix[]): Promise<void> {
    for (const { identity } of prefixes) await this.#identities.release(identity);
  }
}

/** Source "api" is the weakest: the file can hide neither the node's own addresses nor the world. */
function entry({ prefix, identity }: FedPrefix): IpCacheEntry {
  return { prefix, identity, tunnelEndpoint: "0.0.0.0", encryptKey: 0, source: "api" };
}

function describe(prefixes: readonly { readonly prefix: string; readonly labels: Labels }[]): string {
  return JSON.stringify(prefixes.map(({ prefix, labels }) => [prefix, labels]));
}

/** Keeps the ipcache as a file says. A bad file at start ends the program; later it only degrades its health. */
export const prefixFeedCell = module(
  "prefix-feed",
  "Prefixes of a file, in the ipcache",
  config(PrefixFeedConfig, flags),
  provide(
    Prefixes,
    {
      settings: PrefixFeedConfig,
      identities: Identities,
      ipCache: IpCaches,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
    },
    ({ settings, identities, ipCache, lifecycle, jobs, health }) => {
      const path = resolve(settings.prefixFile);
      const feed = new FilePrefixFeed(identities, ipCache);
      // Until this is called nothing is pruned: what the last run left in the kernel stays until we have read the file.
      const complete = ipCache.registerInitializer("prefix-feed");
      const load = async (signal: AbortSignal): Promise<void> => {
        const count = await feed.apply(await readPrefixFile(path), signal);
        health.ok(`${count} prefixes of ${path}`);
      };
      lifecycle.append({
        name: "prefix file",
        start: async (signal) => {
          await load(signal);
          complete();
        },
        stop: () => feed.prefixes.complete(),
      });
      jobs.timer("reload", ({ signal }) => load(signal), { intervalMs: settings.reloadEvery });
      return feed;
    },
  ),
);
