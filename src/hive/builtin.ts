// Tokens every hive provides by itself.

import type { HealthRegistry, HealthScope } from "./health.ts";
import type { HiveInspector } from "./inspect.ts";
import type { JobGroup, JobInspector } from "./jobs.ts";
import type { LifecycleScope } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import { type Token, token } from "./token.ts";

/** Ends a running hive. */
export interface ShutdownRequester {
  /** Asks the hive to stop; `run` rejects with the error of the first call. */
  shutdown(error?: Error): void;
}

/** The module's logger: its lines carry `module` with the full id. */
export const Log: Token<Logger> = token("log");
/** The module's lifecycle: append hooks to it. */
export const Lifecycle: Token<LifecycleScope> = token("lifecycle");
/** The module's jobs. */
export const Jobs: Token<JobGroup> = token("jobs");
/** The module's health node. */
export const Health: Token<HealthScope> = token("health");
/** Health of the whole hive. */
export const HealthTree: Token<HealthRegistry> = token("health-tree");
/** Jobs of the whole hive, with their metrics. */
export const JobsInfo: Token<JobInspector> = token("jobs-info");
export const Shutdowner: Token<ShutdownRequester> = token("shutdowner");
export const HiveInfo: Token<HiveInspector> = token("hive-info");

/** Those of which every module has one of its own. */
export const perModuleTokens = [Log, Lifecycle, Jobs, Health] as const;
/** Those of which a hive has one. */
export const perHiveTokens = [HealthTree, JobsInfo, Shutdowner, HiveInfo] as const;
