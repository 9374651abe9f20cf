// The health tree: scopes write to it, the registry shows it.

import { type Observable, Subject } from "rxjs";
import { errorText } from "./errors.ts";
import type { HealthChange, HealthLevel, HealthNode, HealthRegistry, HealthScope } from "./health.ts";

/** One node; as a HealthScope it is what its owner reports to. */
class HealthReporter implements HealthScope {
  readonly #name: string;
  readonly #path: string;
  readonly #parent: HealthReporter | undefined;
  readonly #emit: (change: HealthChange) => void;
  readonly #children = new Map<string, HealthReporter>();
  #level: HealthLevel = "unknown";
  #message = "";
  #error: string | undefined;
  #since = new Date();
  #updated = this.#since;
  #closed = false;

  constructor(name: string, parent: HealthReporter | undefined, emit: (change: HealthChange) => void) {
    this.#name = name;
    this.#parent = parent;
    this.#emit = emit;
    this.#path = parent === undefined || parent.#path === "" ? name : `${parent.#path}.${name}`;
  }

  ok(message = ""): void {
    this.#report("ok", message, undefined);
  }

  degraded(message: string, error?: unknown): void {
    this.#report("degraded", message, error === undefined ? undefined : errorText(error));
  }

  stopped(message: string): void {
    this.#report("stopped", message, undefined);
  }

  scope(name: string): HealthScope {
    return this.child(name);
  }

  child(name: string): HealthReporter {
    const known = this.#children.get(name);
    if (known !== undefined) return known;
    const child = new HealthReporter(name, this, this.#emit);
    // Under a closed node a child is out of the tree from the start: a late report must not bring it back.
    if (this.#closed) child.#closed = true;
    else this.#children.set(name, child);
    return child;
  }

  close(): void {
    if (this.#closed) return;
    for (const child of this.#children.values()) child.close();
    this.#closed = true;
    if (this.#parent !== undefined) this.#parent.#children.delete(this.#name);
    this.#announce(new Date(), true);
  }

  snapshot(): HealthNode {
    const children = [...this.#children.values()].map((child) => child.snapshot());
    return {
      name: this.#name,
      path: this.#path,
      own: this.#level,
      level: worst([this.#level, ...children.map((child) => child.level)]),
      message: this.#message,
      ...(this.#error === undefined ? {} : { error: this.#error }),
      since: this.#since,
      updated: this.#updated,
      children,
    };
  }

  #report(level: HealthLevel, message: string, error: string | undefined): void {
    if (this.#closed) return;
    const now = new Date();
    this.#updated = now;
    if (level === this.#level && message === this.#message && error === this.#error) return;
    if (level !== this.#level) this.#since = now;
    this.#level = level;
    this.#message = message;
    this.#error = error;
    this.#announce(now, false);
  }

  #announce(at: Date, removed: boolean): void {
    this.#emit({
      path: this.#path,
      level: this.#level,
      message: this.#message,
      ...(this.#error === undefined ? {} : { error: this.#error }),
      at,
      removed,
    });
  }
}

const severity: readonly HealthLevel[] = ["unknown", "stopped", "ok", "degraded"];

function worst(levels: readonly HealthLevel[]): HealthLevel {
  return severity[Math.max(...levels.map((level) => severity.indexOf(level)))]!;
}

/** Keeps the tree of one hive. */
export class HealthTreeKeeper implements HealthRegistry {
  readonly #changes = new Subject<HealthChange>();
  readonly #root = new HealthReporter("", undefined, (change) => this.#changes.next(change));

  /** The scope of a module, by its full id. */
  moduleScope(fullId: string): HealthScope {
    return fullId === "" ? this.#root : fullId.split(".").reduce((node, id) => node.child(id), this.#root);
  }

  snapshot(): HealthNode {
    return this.#root.snapshot();
  }

  changes(): Observable<HealthChange> {
    return this.#changes.asObservable();
  }

  /** Ends the stream of changes. */
  complete(): void {
    this.#changes.complete();
  }
}
