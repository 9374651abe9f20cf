// What a cell sees of the lifecycle; lifecycle-runner.ts runs the hooks.

/** A pair of things to do when the hive starts and when it stops. At least one of them is given. */
export interface Hook {
  /** For logs, errors and the module tree. */
  readonly name: string;
  /**
   * Runs on start, after the start hooks of everything that was constructed before. The signal aborts when
   * the start deadline passes or the start is called off; its reason says which.
   */
  readonly start?: (signal: AbortSignal) => void | Promise<void>;
  /**
   * Runs on stop, in reverse order, and only where start had completed (or there was none). The signal aborts
   * when the stop deadline passes; a hook called after that still gets a short grace.
   */
  readonly stop?: (signal: AbortSignal) => void | Promise<void>;
  /** Stop before all hooks that do not have this set: for things that must be cut off first, such as servers. */
  readonly stopFirst?: boolean;
}

/** A module's view of the lifecycle. */
export interface LifecycleScope {
  /**
   * Adds a hook; call it from a constructor or an invoke.
   * @throws LifecycleClosedError once the hive has begun to start.
   */
  append(hook: Hook): void;
}
