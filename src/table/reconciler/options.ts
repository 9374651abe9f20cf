import { InvalidDefinitionError } from "../errors.ts";
import type { TableKey } from "../types.ts";
import type { ReconcilerOptions } from "./types.ts";

/** The longest delay that `setTimeout` takes, in milliseconds (24.8 days); beyond it, it would not wait at all. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** A reconciler's numbers, complete and checked. */
export interface Settings {
  readonly batchSize: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly pruneIntervalMs: number;
  readonly refreshIntervalMs: number;
}

/**
 * Fills in the defaults, which are those of cilium/statedb.
 *
 * @throws InvalidDefinitionError
 */
export function settingsOf<Row, Key extends TableKey>(options: ReconcilerOptions<Row, Key>): Settings {
  const settings: Settings = {
    batchSize: options.batchSize ?? 4096,
    retryMinMs: options.retryMinMs ?? 100,
    retryMaxMs: options.retryMaxMs ?? 60_000,
    pruneIntervalMs: options.pruneIntervalMs ?? 3_600_000,
    refreshIntervalMs: options.refreshIntervalMs ?? 0,
  };
  const refuse = (reason: string): never => {
    throw new InvalidDefinitionError(`reconciler ${options.name}: ${reason}`);
  };
  if (!Number.isSafeInteger(settings.batchSize) || settings.batchSize < 1)
    refuse("batchSize must be positive");
  for (const name of ["retryMinMs", "retryMaxMs", "pruneIntervalMs", "refreshIntervalMs"] as const) {
    const ms = settings[name];
    if (!(ms >= 0 && ms <= MAX_TIMER_MS)) refuse(`${name} must be between 0 and ${MAX_TIMER_MS}, not ${ms}`);
  }
  if (settings.retryMinMs === 0) refuse("retryMinMs must be positive");
  if (settings.retryMaxMs < settings.retryMinMs) refuse("retryMaxMs must not be below retryMinMs");
  return settings;
}
