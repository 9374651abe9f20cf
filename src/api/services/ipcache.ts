import { notFound } from "../../cells/errors.ts";
import type { IpCache } from "../../cells/ipcache/types.ts";
import { IPCacheServiceService } from "../../gen/waggle/v1/ipcache.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import { ipCacheEntryToMessage, readIPCacheEntry, readSource } from "../translate/ipcache.ts";
import { checkCount } from "../validate/fields.ts";
import { checkIP, prefixOrder, readPrefix } from "../validate/network.ts";
import { validated } from "../validate/violations.ts";

/** Entries of one UpsertIPCacheEntries. */
const MAX_BATCH = 10_000;

/** What {@link ipCacheService} delegates to. */
export interface IpCacheServiceDeps {
  readonly ipCache: Pick<IpCache, "table" | "apiUpsert" | "apiDelete" | "lookup">;
}

/** waggle.v1.IPCacheService. */
export function ipCacheService({ ipCache }: IpCacheServiceDeps, runtime: ApiRuntime): ServiceRegistration {
  const readExactPrefix = (value: string): string => {
    const prefix = validated((violations) => readPrefix("prefix", value, violations));
    if (prefix === undefined) throw new Error("a valid request has no prefix");
    return prefix.text;
  };

  return registration(IPCacheServiceService, runtime, {
    async upsertIpCacheEntry(request, { signal }) {
      const wanted = validated((violations) => readIPCacheEntry("entry", request.entry, violations));
      if (wanted === undefined) throw new Error("a valid request has no entry");
      return { entry: ipCacheEntryToMessage(await ipCache.apiUpsert(wanted, signal)) };
    },

    async upsertIpCacheEntries({ entries }, { signal }) {
      const wanted = validated((violations) => {
        checkCount("entries", entries.length, 1, MAX_BATCH, violations);
        const seen = new Map<string, number>();
        return entries.slice(0, MAX_BATCH).flatMap((entry, index) => {
          const read = readIPCacheEntry(`entries[${index}]`, entry, violations);
          if (read === undefined) return [];
          const first = seen.get(read.prefix);
          if (first !== undefined) {
            violations.add(`entries[${index}].prefix`, `${read.prefix} is in entries[${first}] already`);
          }
          seen.set(read.prefix, index);
          return [read];
        });
      });
      // Rows written together reach the kernel as batches; one failure must not hide those still under way.
      const results = await Promise.allSettled(wanted.map((entry) => ipCache.apiUpsert(entry, signal)));
      const failed = results.find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
      return { count: wanted.length };
    },

    async deleteIpCacheEntry(request, { signal }) {
      await ipCache.apiDelete(readExactPrefix(request.prefix), signal);
      return {};
    },

    getIpCacheEntry(request) {
      const prefix = readExactPrefix(request.prefix);
      const entry = ipCache.table.get(prefix);
      if (entry === undefined) throw notFound("IP cache entry", prefix);
      return { entry: ipCacheEntryToMessage(entry) };
    },

    lookupIpCacheEntry({ address }) {
      validated((violations) => checkIP("address", address, violations));
      const entry = ipCache.lookup(address);
      if (entry === undefined) throw notFound("IP cache entry for", address);
      return { entry: ipCacheEntryToMessage(entry) };
    },

    listIpCacheEntries(request) {
      const [source, page] = validated((violations) => [
        readSource("source", request.source, violations),
        readPage(request, `ipcache ${request.source}`, violations),
      ]);
      const rows = ipCache.table.list();
      const matching = source === undefined ? rows : rows.filter((row) => row.source === source);
      const { items, nextPageToken } = takePage(matching, ({ prefix }) => prefixOrder(prefix), page);
      return { entries: items.map(ipCacheEntryToMessage), nextPageToken };
    },

    watchIpCacheEntries(_request, context, out) {
      return watchTable(ipCache.table, ipCacheEntryToMessage, context, out, runtime);
    },
  });
}
