// Errors of the hive, one class a kind. Each says what was being done, to what, and keeps its cause. Those that
// gather several are AggregateErrors with the parts in `errors`.

/** Base of the hive's single errors, so that callers can tell them from those of their own code. */
export class HiveError extends Error {
  override readonly name: string = "HiveError";
}

/** Text of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function summary(headline: string, errors: readonly Error[]): string {
  return [headline, ...errors.map((error) => `  - ${error.message.replaceAll("\n", "\n    ")}`)].join("\n");
}

// Declaration and validation

/** A cell was declared wrongly; thrown by the declaring function itself. */
export class CellDefinitionError extends HiveError {
  override readonly name = "CellDefinitionError";
  constructor(what: string, why: string) {
    super(`cannot declare ${what}: ${why}`);
  }
}

/** Everything that is wrong with a composition or its settings, found before anything was constructed. */
export class HiveValidationError extends AggregateError {
  override readonly name = "HiveValidationError";
  declare readonly errors: Error[];
  constructor(hive: string, problems: readonly Error[]) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    super(problems, summary(`hive "${hive}" is not valid: ${count}`, problems));
  }
}

/** A constructor, invoke or decorator takes a token that nobody provides. */
export class MissingDependencyError extends HiveError {
  override readonly name = "MissingDependencyError";
  readonly token: string;
  /** From an invoke to the missing token. */
  readonly chain: readonly string[];
  constructor(token: string, chain: readonly string[], hint?: string) {
    super(`nothing provides "${token}": ${chain.join(" → ")}${hint === undefined ? "" : ` (${hint})`}`);
    this.token = token;
    this.chain = chain;
  }
}

/** A token is private to a module that does not enclose its consumer. */
export class PrivateTokenError extends HiveError {
  override readonly name = "PrivateTokenError";
  readonly token: string;
  /** The module that provides it privately. */
  readonly owner: string;
  readonly chain: readonly string[];
  constructor(token: string, owner: string, chain: readonly string[]) {
    super(`"${token}" is private to ${owner} but is needed outside of it: ${chain.join(" → ")}`);
    this.token = token;
    this.owner = owner;
    this.chain = chain;
  }
}

/** Constructors need each other in a circle. */
export class DependencyCycleError extends HiveError {
  override readonly name = "DependencyCycleError";
  /** The circle; its first entry is also its last. */
  readonly chain: readonly string[];
  constructor(chain: readonly string[]) {
    super(`dependencies form a cycle: ${chain.join(" → ")}`);
    this.chain = chain;
  }
}

/** Two cells provide a token and both would be visible in the same place. */
export class DuplicateProviderError extends HiveError {
  override readonly name = "DuplicateProviderError";
  readonly token: string;
  constructor(token: string, first: string, second: string) {
    super(
      first === second
        ? `"${token}" is provided twice in ${first}`
        : `"${token}" is provided both in ${first} and in ${second}`,
    );
    this.token = token;
  }
}

/** Two modules have the same full id. */
export class DuplicateModuleError extends HiveError {
  override readonly name = "DuplicateModuleError";
  constructor(fullId: string) {
    super(`module ${fullId} is declared twice`);
  }
}

/** Two config cells register a flag of the same name. */
export class DuplicateFlagError extends HiveError {
  override readonly name = "DuplicateFlagError";
  constructor(flag: string, first: string, second: string) {
    super(
      first === second
        ? `flag "${flag}" is registered twice in ${first}`
        : `flag "${flag}" is registered both in ${first} and in ${second}`,
    );
  }
}

/** A source sets something that no config cell has registered. */
export class UnknownSettingError extends HiveError {
  override readonly name = "UnknownSettingError";
  /** @param what the setting as its source writes it, e.g. `WAGGLE_LOG_LEVLE` */
  constructor(what: string, suggestion: string | undefined) {
    super(`unknown setting ${what}${suggestion === undefined ? "" : `: did you mean ${suggestion}?`}`);
  }
}

/** A setting's value cannot be read or is refused by its flag. */
export class SettingValueError extends HiveError {
  override readonly name = "SettingValueError";
  /** @param origin where the value stands, e.g. `WAGGLE_LOG_LEVEL` or `--log-level` */
  constructor(flag: string, origin: string, cause: unknown) {
    super(`bad value for "${flag}" from ${origin}: ${errorText(cause)}`, { cause });
  }
}

/**
 * A setting that could be read does not go with another one, or not with this machine. For cells to throw, in a
 * constructor or a start hook: whoever started the hive has to change a setting.
 */
export class SettingConflictError extends HiveError {
  override readonly name = "SettingConflictError";
  constructor(flag: string, why: string) {
    super(`${flag}: ${why}`);
  }
}

/** The conflict of settings that is behind an error, if one is. */
export function settingConflict(error: unknown): SettingConflictError | undefined {
  if (error instanceof SettingConflictError) return error;
  return error instanceof Error ? settingConflict(error.cause) : undefined;
}

/** The settings file cannot be read or is no flat YAML mapping. */
export class SettingsFileError extends HiveError {
  override readonly name = "SettingsFileError";
  constructor(path: string, cause: unknown) {
    super(`cannot read settings file ${path}: ${errorText(cause)}`, { cause });
  }
}

// Construction and lifecycle

/** A constructor, decorator or invoke threw. */
export class ConstructionError extends HiveError {
  override readonly name = "ConstructionError";
  /** What was being constructed, outermost first: each needs the next. */
  readonly chain: readonly string[];
  constructor(chain: readonly string[], cause: unknown) {
    const needed = chain.length > 1 ? ` (needed by ${chain.slice(0, -1).join(" → ")})` : "";
    super(`cannot construct ${chain.at(-1)}${needed}: ${errorText(cause)}`, { cause });
    this.chain = chain;
  }
}

/** An operation does not fit the hive's state. */
export class HiveStateError extends HiveError {
  override readonly name = "HiveStateError";
  constructor(operation: string, state: string) {
    super(`cannot ${operation}: the hive is ${state}`);
  }
}

/** A hook was appended when the hive had already begun to start. */
export class LifecycleClosedError extends HiveError {
  override readonly name = "LifecycleClosedError";
  constructor(hook: string, where: string) {
    super(`cannot append hook "${hook}" of ${where}: the hive has already begun to start`);
  }
}

/** A start or stop hook threw. */
export class HookError extends HiveError {
  override readonly name = "HookError";
  readonly phase: "start" | "stop";
  readonly hook: string;
  constructor(phase: "start" | "stop", hook: string, where: string, cause: unknown) {
    super(`${phase} hook "${hook}" of ${where} failed: ${errorText(cause)}`, { cause });
    this.phase = phase;
    this.hook = hook;
  }
}

/** A hook was still running when its deadline, and the grace after it, had passed; it was left behind. */
export class HookTimeoutError extends HiveError {
  override readonly name = "HookTimeoutError";
  constructor(phase: "start" | "stop", hook: string, where: string, cause: unknown) {
    super(`${phase} hook "${hook}" of ${where} did not end: ${errorText(cause)}`, { cause });
  }
}

/** All hooks of a phase together took longer than allowed. The reason of an aborted hook's signal. */
export class DeadlineError extends HiveError {
  override readonly name = "DeadlineError";
  constructor(phase: "start" | "stop", timeoutMs: number) {
    super(`the ${phase} deadline of ${timeoutMs} ms passed`);
  }
}

/** The start was called off: by a signal, a shutdown request or a stop. */
export class StartCancelledError extends HiveError {
  override readonly name = "StartCancelledError";
  constructor(why: string) {
    super(`the start was called off: ${why}`);
  }
}

/** The hive did not start. `errors` holds the reason first, then what failed while rolling back. */
export class StartFailedError extends AggregateError {
  override readonly name = "StartFailedError";
  declare readonly errors: Error[];
  constructor(hive: string, reason: Error, rollback: readonly Error[]) {
    const errors = [reason, ...rollback];
    super(errors, summary(`hive "${hive}" did not start`, errors), { cause: reason });
  }
}

/** Some stop hooks failed; all others ran all the same. */
export class StopFailedError extends AggregateError {
  override readonly name = "StopFailedError";
  declare readonly errors: Error[];
  constructor(hive: string, errors: readonly Error[]) {
    super(errors, summary(`hive "${hive}" did not stop cleanly`, errors));
  }
}

/** A run ended for a reason that is an error, and then did not stop cleanly either. */
export class RunFailedError extends AggregateError {
  override readonly name = "RunFailedError";
  declare readonly errors: Error[];
  constructor(hive: string, reason: Error, others: readonly Error[]) {
    const errors = [reason, ...others];
    super(errors, summary(`hive "${hive}" failed`, errors), { cause: reason });
  }
}

// Jobs

/** A job of that name exists in the module and has not ended. */
export class JobNameTakenError extends HiveError {
  override readonly name = "JobNameTakenError";
  constructor(job: string, where: string) {
    super(`cannot add job "${job}" to ${where}: the name is taken`);
  }
}

/** A job was added when the hive was stopping or had stopped. */
export class JobsClosedError extends HiveError {
  override readonly name = "JobsClosedError";
  constructor(job: string, where: string) {
    super(`cannot add job "${job}" to ${where}: the hive is stopping`);
  }
}

/** A job that ends the hive on failure has failed for good. */
export class JobFailedError extends HiveError {
  override readonly name = "JobFailedError";
  constructor(job: string, where: string, cause: unknown) {
    super(`job "${job}" of ${where} failed: ${errorText(cause)}`, { cause });
  }
}
