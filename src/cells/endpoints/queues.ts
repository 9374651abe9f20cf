import { Mutex } from "async-mutex";
import { notFound } from "../errors.ts";
import type { Endpoint } from "./types.ts";

interface Queue {
  readonly mutex: Mutex;
  /** The regeneration that has not begun. */
  waiting: Promise<Endpoint> | undefined;
  /** The waiting one is to load programs even where those that run are right. */
  reload: boolean;
}

/** Work on endpoints: one thing at a time for each of them, and at most one regeneration waiting. */
export class EndpointQueues {
  readonly #queues = new Map<number, Queue>();

  /** Makes the queue of an endpoint; harmless when it is there. */
  open(id: number): void {
    if (this.#queues.has(id)) return;
    this.#queues.set(id, { mutex: new Mutex(), waiting: undefined, reload: false });
  }

  forget(id: number): void {
    this.#queues.delete(id);
  }

  /** Runs `work` when everything begun before it has ended. @throws RefusalError NOT_FOUND */
  exclusive<T>(id: number, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    return this.#queue(id).mutex.runExclusive(async () => {
      signal?.throwIfAborted();
      return work();
    });
  }

  /**
   * Runs `work` in its turn, once for all who ask before it has begun: it will see everything that is wanted by
   * then. It belongs to all of them, so none of them can stop it.
   *
   * @param work told whether somebody asked for a reload
   * @throws RefusalError NOT_FOUND
   */
  regenerate(id: number, reload: boolean, work: (reload: boolean) => Promise<Endpoint>): Promise<Endpoint> {
    const queue = this.#queue(id);
    queue.reload ||= reload;
    queue.waiting ??= queue.mutex.runExclusive(async () => {
      const anew = queue.reload;
      queue.waiting = undefined;
      queue.reload = false;
      return work(anew);
    });
    return queue.waiting;
  }

  #queue(id: number): Queue {
    const queue = this.#queues.get(id);
    if (queue === undefined) throw notFound("endpoint", id);
    return queue;
  }
}
