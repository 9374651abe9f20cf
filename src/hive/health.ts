// What a cell reports about itself and what a reader sees; health-registry.ts keeps the tree.

import type { Observable } from "rxjs";

/** `unknown` means that nothing has been reported yet. */
export type HealthLevel = "unknown" | "ok" | "degraded" | "stopped";

/** A reporter for one node of the health tree. Reporting is cheap: call it as often as you like. */
export interface HealthScope {
  /** It works. */
  ok(message?: string): void;
  /** It does not do its whole job; the error's text is kept. */
  degraded(message: string, error?: unknown): void;
  /** It ended as intended. */
  stopped(message: string): void;
  /** A nested node; the same name gives the same node. */
  scope(name: string): HealthScope;
  /** Removes the node with everything below it. Reports after that are ignored. */
  close(): void;
}

/** One node of a snapshot. */
export interface HealthNode {
  readonly name: string;
  /** Names from the root, joined by dots; the root's is empty. */
  readonly path: string;
  /** What this node itself reported. */
  readonly own: HealthLevel;
  /** The worst of this node and those below: degraded, else ok, else stopped, else unknown. */
  readonly level: HealthLevel;
  readonly message: string;
  /** Text of the error of a degraded node. */
  readonly error?: string;
  /** When `own` last changed. */
  readonly since: Date;
  /** When it last reported anything. */
  readonly updated: Date;
  readonly children: readonly HealthNode[];
}

/** A change of one node's own level, message or error, or its removal. */
export interface HealthChange {
  readonly path: string;
  readonly level: HealthLevel;
  readonly message: string;
  readonly error?: string;
  readonly at: Date;
  readonly removed: boolean;
}

/** The reader's side of the health tree. */
export interface HealthRegistry {
  /** The whole tree as it is now. */
  snapshot(): HealthNode;
  /** Every change from now on; completes when the hive has stopped. */
  changes(): Observable<HealthChange>;
}
