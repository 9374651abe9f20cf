import { setTimeout as sleepFor } from "node:timers/promises";
import type { Subscription } from "rxjs";
import type { Logger } from "../../../hive/index.ts";
import type { KvSession, KvStore } from "../store.ts";

/** Something that mirrors a part of the store, session by session, and remembers it between them. */
export interface Follower {
  readonly name: string;
  /** Brings back what was last known; called before the first session. */
  load(): void;
  /**
   * Follows the store until the session ends.
   *
   * @param onCurrent called once what the store had when the session began is known here
   * @returns never; rejects with why it ended
   */
  follow(session: KvSession, onCurrent: () => void): Promise<never>;
  /** Resolves when all that is known is on disk; called after the last session. */
  stop(): Promise<void>;
}

/** Pause before a follower that failed although the session goes on is begun again. */
const againMs = 1_000;

/** Lets followers follow the store. */
export class Following {
  readonly #followers: Follower[] = [];
  readonly #log: Logger;
  #subscription: Subscription | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** To be called in constructors. */
  add(follower: Follower): void {
    this.#followers.push(follower);
  }

  load(): void {
    for (const follower of this.#followers) follower.load();
  }

  /** From now on each session is followed. Resolves when all followers are current for the first time. */
  start(store: KvStore): Promise<void> {
    return new Promise((resolve) => {
      const waiting = new Set(this.#followers);
      if (waiting.size === 0) resolve();
      this.#subscription = store.sessions.subscribe((session) => {
        if (session === undefined) return;
        for (const follower of this.#followers) {
          void this.#follow(follower, session, () => {
            if (waiting.delete(follower) && waiting.size === 0) resolve();
          });
        }
      });
    });
  }

  /** Call it when there are no more sessions. All are stopped. @throws AggregateError */
  async stop(): Promise<void> {
    this.#subscription?.unsubscribe();
    const results = await Promise.allSettled(this.#followers.map((follower) => follower.stop()));
    const errors = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as unknown] : [],
    );
    if (errors.length > 0)
      throw new AggregateError(errors, "what is known of the shared store was not stored");
  }

  async #follow(follower: Follower, session: KvSession, onCurrent: () => void): Promise<void> {
    while (!session.signal.aborted) {
      try {
        await follower.follow(session, onCurrent);
      } catch (err) {
        if (session.signal.aborted) return;
        this.#log.warn({ err, follower: follower.name }, "following the shared store failed: trying again");
        await sleepFor(againMs, undefined, { signal: session.signal }).catch(() => undefined);
      }
    }
  }
}
