// The part of pino's interface the hive and its cells use, so a pino logger can be passed in as it is.

/** One log method: an object of fields with an optional message, or a message alone. */
export interface LogMethod {
  (fields: object, message?: string): void;
  (message: string): void;
}

/** A pino-compatible logger. */
export interface Logger {
  readonly trace: LogMethod;
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  /** A logger that adds these fields to every line. */
  child(bindings: Record<string, unknown>): Logger;
}

/** The levels, least severe first. */
const logLevels = ["trace", "debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** One line as {@link makeLogger} hands it to its sink. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Builds a logger on any sink; lines below `level` (default "trace") are dropped. */
export function makeLogger(sink: (line: LogLine) => void, level: LogLevel = "trace"): Logger {
  const threshold = logLevels.indexOf(level);
  const build = (bindings: Readonly<Record<string, unknown>>): Logger => {
    const method =
      (name: LogLevel): LogMethod =>
      (first: object | string, message?: string) => {
        if (logLevels.indexOf(name) < threshold) return;
        if (typeof first === "string") sink({ level: name, message: first, fields: bindings });
        else sink({ level: name, message: message ?? "", fields: { ...bindings, ...first } });
      };
    return {
      trace: method("trace"),
      debug: method("debug"),
      info: method("info"),
      warn: method("warn"),
      error: method("error"),
      child: (more) => build({ ...bindings, ...more }),
    };
  };
  return build({});
}

/** A logger that drops everything. */
export const silentLogger: Logger = makeLogger(() => undefined);

/** A logger of one JSON object a line on standard error; what a hive uses when it is given none. */
export function stderrLogger(level: LogLevel = "warn"): Logger {
  return makeLogger((line) => {
    const record = { level: line.level, time: Date.now(), ...line.fields, msg: line.message };
    process.stderr.write(`${JSON.stringify(record, errorsAsText)}\n`);
  }, level);
}

function errorsAsText(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? String(value);
  return typeof value === "bigint" ? value.toString() : value;
}
