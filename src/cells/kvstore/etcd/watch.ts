import type { IWatchResponse } from "etcd3";
import { asError, KvCompactedError, KvUnavailableError } from "../errors.ts";
import type { KvEvent } from "../store.ts";
import { type EtcdClient, entryOf } from "./client.ts";
import { rangeOf } from "./keys.ts";

/**
 * Watches all keys below a prefix on a stream of its own, until the stream ends or the signal aborts.
 *
 * Built on the stream and not on etcd3's watcher, which takes the revision it resumes from out of every response's
 * header: that is the store's newest revision, so what had not been delivered is lost; and which throws out of a
 * socket's callback when the server says something unexpected.
 *
 * @param root prefix of the cluster, which keys are reported without
 * @returns never; rejects with the reason
 */
export async function watchPrefix(
  client: EtcdClient,
  root: string,
  prefix: string,
  after: number,
  onEvents: (events: readonly KvEvent[]) => void,
  signal: AbortSignal,
): Promise<never> {
  signal.throwIfAborted();
  const stream = await client.watchStream();
  return new Promise((_resolve, reject) => {
    let ended = false;
    const end = (reason: unknown): void => {
      if (ended) return;
      ended = true;
      signal.removeEventListener("abort", onAbort);
      stream.cancel();
      reject(asError(reason));
    };
    const onAbort = (): void => end(signal.reason);
    stream
      .on("error", (error) => end(client.error("watch", error)))
      .on("end", () =>
        end(
          new KvUnavailableError("watch", `${prefix} at etcd ${client.endpoint}`, "the server has ended it"),
        ),
      )
      .on("data", (response) => {
        if (ended) return;
        try {
          const events = eventsOf(response, root, prefix, after);
          if (events.length > 0) onEvents(events);
        } catch (error) {
          end(error);
        }
      });
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    stream.write({ create_request: { ...rangeOf(root + prefix), start_revision: after + 1 } });
  });
}

function eventsOf(
  { canceled, cancel_reason, compact_revision, events }: IWatchResponse & { cancel_reason?: string },
  root: string,
  prefix: string,
  after: number,
): readonly KvEvent[] {
  if (Number(compact_revision) > 0) throw new KvCompactedError(prefix, after, Number(compact_revision));
  if (canceled) throw new KvUnavailableError("watch", prefix, cancel_reason || "the server has cancelled it");
  return events.map(({ type, kv }) => {
    const entry = entryOf(kv, root);
    // Text at run time, whatever the declaration says.
    return String(type).toLowerCase() === "delete"
      ? { kind: "delete", key: entry.key, mod: entry.mod }
      : { kind: "put", entry };
  });
}
