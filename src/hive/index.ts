// The public surface of the hive.

export * from "./builtin.ts";
export {
  bundle,
  type Cell,
  config,
  contribute,
  decorate,
  decorateAll,
  invoke,
  module,
  provide,
  providePrivate,
  supply,
} from "./cell.ts";
export { formatDuration, parseDuration } from "./duration.ts";
export * from "./errors.ts";
export {
  type ConfigOf,
  type Flag,
  type FlagDescription,
  type FlagKind,
  type FlagOptions,
  type FlagSet,
  flag,
  type StringMap,
} from "./flag.ts";
export type * from "./health.ts";
export { Hive } from "./hive.ts";
export type * from "./inspect.ts";
export type * from "./jobs.ts";
export type * from "./lifecycle.ts";
export {
  type Logger,
  type LogLevel,
  type LogLine,
  type LogMethod,
  makeLogger,
  silentLogger,
  stderrLogger,
} from "./logger.ts";
export type { HiveOptions, Settings } from "./options.ts";
export {
  type Dep,
  type Deps,
  type GroupToken,
  group,
  type OptionalDep,
  optional,
  type Resolved,
  type Token,
  type TokenValue,
  token,
} from "./token.ts";
