// What a hive is made from.

import type { Cell } from "./cell.ts";
import type { Logger } from "./logger.ts";

/** Sources of settings, strongest first: overrides, flags, environment, file, defaults. */
export interface Settings {
  /** Parsed command line, keyed by flag name; `undefined` means not given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** Environment to read; nothing is read from the process' own unless it is passed here. */
  readonly env?: NodeJS.ProcessEnv;
  /** Variables with this prefix are the hive's; an unknown one is an error. Default `WAGGLE_`. */
  readonly envPrefix?: string;
  /** Path of a YAML file: a flat mapping of flag names to values. */
  readonly file?: string;
  /** For tests: values by flag name, stronger than everything else. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

export interface HiveOptions {
  readonly name: string;
  readonly cells: readonly Cell[];
  readonly settings?: Settings;
  /** Default: warnings and errors as JSON lines on standard error. */
  readonly logger?: Logger;
  /** Deadline of all start hooks together; default 5 minutes. */
  readonly startTimeoutMs?: number;
  /** Deadline of all stop hooks together; default 1 minute. */
  readonly stopTimeoutMs?: number;
  /** A hook that takes longer is warned about while it runs; default 3 seconds. */
  readonly slowHookMs?: number;
  /**
   * Start hooks side by side where the dependency graph allows: a hook waits for those of everything its constructor
   * or invoke needs. Default false: strictly one after the other, in construction order. Stopping is always in order.
   */
  readonly parallelStart?: boolean;
}
