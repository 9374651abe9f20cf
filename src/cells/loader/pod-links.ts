import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../../hive/index.ts";
import { type AttachedDevice, type EntryAttacher, type EntryPrograms, isGone } from "./entries.ts";
import { LinkEndings } from "./link-endings.ts";

/** What links of pods are made with. */
export interface PodLinkParts {
  readonly entries: Pick<EntryAttacher, "linksPods" | "hasLink" | "link" | "unlink" | "dropPins">;
  /** Milliseconds without a pod that comes or goes, after which those that are there are taken to stay. */
  readonly quietMs: number;
  /** Milliseconds after which links that are there are looked at again: somebody may have ended them. */
  readonly checkMs: number;
  readonly log: Pick<Logger, "debug">;
}

/** Runs `work` while nobody replaces programs, with those that pods have now; not at all when there are none. */
export type WithPrograms = (work: (programs: EntryPrograms) => Promise<void>) => Promise<void>;

interface Waiter {
  readonly resolve: () => void;
}

/** Where pods never stop coming and going, one link is made in so many times the quiet time. */
const patience = 5;

/**
 * Gives pods that stay a TCX link beside their filters. A packet from the pod meets the link's program first, and goes
 * its way from there; that costs less than the way through a filter, but the kernel makes and ends a link in a grace
 * period with the network's configuration locked. So nobody waits for one who creates a pod: links are made when pods
 * have ceased to come and go, one after the other, and each comes after whatever has begun meanwhile. The filter is what
 * holds until there is a link, and where one is lost.
 */
export class PodLinks {
  readonly #parts: PodLinkParts;
  readonly #endings: LinkEndings;
  /** Pods that are in place, by the name of their attachment. */
  readonly #pods = new Map<string, AttachedDevice>();
  /** Attachments whose link was there when it was last looked at: a look at each is a few system calls. */
  readonly #linked = new Set<string>();
  readonly #waiters = new Set<Waiter>();
  #lastChange = Number.NEGATIVE_INFINITY;
  #lastLook = Number.NEGATIVE_INFINITY;
  /** The link that is being made. */
  #linking: { readonly attachment: string; readonly done: Promise<void> } | undefined;
  #wake: () => void = () => undefined;

  constructor(parts: PodLinkParts) {
    this.#parts = parts;
    this.#endings = new LinkEndings((device) => parts.entries.unlink(device));
  }

  /** @param wake called when there may be work for `run` */
  onWork(wake: () => void): void {
    this.#wake = wake;
  }

  /** Takes note of a pod that has its filters. */
  add(device: AttachedDevice): void {
    if (!this.#parts.entries.linksPods) return;
    this.#linked.delete(device.attachment);
    // One that was changed, or got its device back, has not come.
    if (this.#pods.get(device.attachment)?.ifindex === device.ifindex) this.#wake();
    else {
      this.#pods.set(device.attachment, device);
      this.#changed();
    }
  }

  /** Ends the pod's link, off the event loop, when there is one or one is being made. @throws DatapathError */
  async end(device: AttachedDevice): Promise<void> {
    const { entries } = this.#parts;
    if (!entries.linksPods) return;
    this.#pods.delete(device.attachment);
    this.#linked.delete(device.attachment);
    this.#changed();
    if (this.#linking?.attachment === device.attachment) await this.#linking.done;
    if (entries.hasLink(device)) await this.#endings.add(device);
    // Also the pin of a link whose device went first.
    entries.dropPins(device);
  }

  /** Resolves when every pod that is in place is attached to as it is going to stay. @throws the signal's reason */
  async settled(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#linked.clear();
    if (this.#missing().length === 0) return;
    this.#wake();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { resolve };
    const abort = (): void => reject(signal.reason);
    this.#waiters.add(waiter);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal.removeEventListener("abort", abort);
    }
  }

  /**
   * Makes the links that are missing, each in its time; ends early when the signal aborts, but not amidst one.
   * @throws AggregateError of those that could not be made, after all others
   */
  async run(signal: AbortSignal, withPrograms: WithPrograms): Promise<void> {
    if (performance.now() - this.#lastLook >= this.#parts.checkMs) {
      this.#lastLook = performance.now();
      this.#linked.clear();
    }
    const errors: unknown[] = [];
    for (const device of this.#missing()) {
      await this.#calm(signal);
      if (signal.aborted) return;
      try {
        await withPrograms((programs) => this.#make(device, programs));
      } catch (error) {
        errors.push(error);
      }
    }
    if (this.#missing().length === 0) for (const { resolve } of this.#waiters) resolve();
    if (errors.length > 0)
      throw new AggregateError(errors, `${errors.length} pods have no link: ${errors[0]}`);
  }

  async #make(device: AttachedDevice, programs: EntryPrograms): Promise<void> {
    const { entries, log } = this.#parts;
    const { attachment } = device;
    // It may have gone, or come back at another device, while others had theirs.
    if (this.#pods.get(attachment) !== device || entries.hasLink(device)) return;
    const made = entries.link(device, programs);
    this.#linking = { attachment, done: made.catch(() => undefined) };
    try {
      await made;
      log.debug({ attachment }, "pod has a TCX link");
    } catch (error) {
      if (!isGone(error)) throw error;
      // Until it has a device again, and with it its filters, it gets none, and nobody is to wait for that.
      if (this.#pods.get(attachment) === device) this.#pods.delete(attachment);
      log.debug({ attachment, err: error }, "device went before it had a TCX link");
    } finally {
      this.#linking = undefined;
    }
  }

  /** Waits until no pod has come or gone for a while, or for too long. */
  async #calm(signal: AbortSignal): Promise<void> {
    const { quietMs } = this.#parts;
    const latest = performance.now() + patience * quietMs;
    for (;;) {
      const left = Math.min(this.#lastChange + quietMs, latest) - performance.now();
      if (left <= 0 || signal.aborted) return;
      await sleep(Math.ceil(left), undefined, { signal }).catch(() => undefined);
    }
  }

  #missing(): readonly AttachedDevice[] {
    return [...this.#pods.values()].filter((device) => {
      if (this.#linked.has(device.attachment)) return false;
      if (!this.#parts.entries.hasLink(device)) return true;
      this.#linked.add(device.attachment);
      return false;
    });
  }

  #changed(): void {
    this.#lastChange = performance.now();
    this.#wake();
  }
}
