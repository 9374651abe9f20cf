// Kinds of flags. A config cell owns a set of them; settings.ts merges the sources and parses with these.

import { formatDuration, parseDuration } from "./duration.ts";

export type FlagKind = "string" | "int" | "bool" | "duration" | "list" | "map" | "choice";

/** One flag: how to read its value from text or from a value, and how to show it. */
export interface Flag<T> {
  readonly kind: FlagKind;
  readonly default: T;
  readonly help: string;
  /** Left out of a CLI's help; works like any other. */
  readonly hidden: boolean;
  /** Accepted words of a choice. */
  readonly choices?: readonly string[];
  /** Reads text: a command line argument, an environment variable or a scalar of a file. Throws what is wrong. */
  parse(text: string): T;
  /** Takes a value that is no text, such as a YAML sequence or an override. Throws what is wrong. */
  accept(value: unknown): T;
  /** Throws if the flag's own rule refuses the value. */
  check(value: T): void;
  format(value: T): string;
}

/** Flags of one config cell, keyed by their names in kebab-case. */
export type FlagSet = Readonly<Record<string, Flag<unknown>>>;

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** The object a config cell provides: a flag `log-level` becomes the property `logLevel`. */
export type ConfigOf<S extends FlagSet> = {
  readonly [K in keyof S & string as CamelCase<K>]: S[K] extends Flag<infer T> ? T : never;
};

/** What every kind of flag takes; `D` is the type of the default as written. */
export interface FlagOptions<T, D = T> {
  readonly default: D;
  readonly help: string;
  readonly hidden?: boolean;
  /** Says what is wrong with a value that parsed well, or returns undefined (it may also throw). */
  readonly validate?: (value: T) => string | undefined;
}

interface Codec<T> {
  readonly kind: FlagKind;
  readonly parse: (text: string) => T;
  readonly accept: (value: unknown) => T;
  readonly format: (value: T) => string;
  readonly choices?: readonly string[];
}

function make<T>(options: FlagOptions<T, unknown>, initial: T, codec: Codec<T>): Flag<T> {
  return {
    ...codec,
    default: initial,
    help: options.help,
    hidden: options.hidden ?? false,
    check(value) {
      const problem = options.validate?.(value);
      if (problem !== undefined) throw new RangeError(problem);
    },
  };
}

const refuse = (value: unknown, wanted: string): never => {
  throw new TypeError(`${JSON.stringify(value) ?? String(value)} is not ${wanted}`);
};

function string(options: FlagOptions<string>): Flag<string> {
  return make(options, options.default, {
    kind: "string",
    parse: (text) => text,
    accept: (value) => (typeof value === "string" ? value : refuse(value, "a string")),
    format: (value) => value,
  });
}

function parseInteger(text: string): number {
  const value = /^-?(\d+|0x[0-9a-f]+)$/i.test(text.trim()) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : refuse(text, "a whole number");
}

function int(options: FlagOptions<number>): Flag<number> {
  return make(options, options.default, {
    kind: "int",
    parse: parseInteger,
    accept: (value) => (Number.isSafeInteger(value) ? (value as number) : refuse(value, "a whole number")),
    format: String,
  });
}

const booleans = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

function bool(options: FlagOptions<boolean>): Flag<boolean> {
  return make(options, options.default, {
    kind: "bool",
    parse: (text) => booleans.get(text.trim().toLowerCase()) ?? refuse(text, "true or false"),
    accept: (value) => (typeof value === "boolean" ? value : refuse(value, "true or false")),
    format: String,
  });
}

function duration(options: FlagOptions<number, number | string>): Flag<number> {
  const initial = typeof options.default === "string" ? parseDuration(options.default) : options.default;
  return make(options, initial, {
    kind: "duration",
    parse: parseDuration,
    accept: (value) =>
      typeof value === "number" && value >= 0 ? value : refuse(value, "a duration in milliseconds"),
    format: formatDuration,
  });
}

const splitList = (text: string): string[] =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

function list(options: FlagOptions<readonly string[]>): Flag<readonly string[]> {
  return make(options, options.default, {
    kind: "list",
    parse: splitList,
    accept: (value) =>
      Array.isArray(value) && value.every((item) => typeof item === "string")
        ? value
        : refuse(value, "a list of strings"),
    format: (value) => value.join(","),
  });
}

export type StringMap = Readonly<Record<string, string>>;

function parseMap(text: string): StringMap {
  const entries = new Map<string, string>();
  for (const item of splitList(text)) {
    const at = item.indexOf("=");
    if (at < 1) throw new SyntaxError(`"${item}" is not key=value`);
    const key = item.slice(0, at).trim();
    if (entries.has(key)) throw new SyntaxError(`the key "${key}" is given twice`);
    entries.set(key, item.slice(at + 1).trim());
  }
  return Object.fromEntries(entries);
}

function isStringMap(value: unknown): value is StringMap {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((item) => typeof item === "string")
  );
}

function map(options: FlagOptions<StringMap>): Flag<StringMap> {
  return make(options, options.default, {
    kind: "map",
    parse: parseMap,
    accept: (value) => (isStringMap(value) ? value : refuse(value, "a map of strings")),
    format: (value) =>
      Object.entries(value)
        .map(([key, item]) => `${key}=${item}`)
        .join(","),
  });
}

function choice<const C extends string>(
  options: FlagOptions<C, NoInfer<C>> & { readonly choices: readonly C[] },
): Flag<C> {
  const pick = (value: unknown): C =>
    options.choices.find((word) => word === value) ?? refuse(value, `one of ${options.choices.join(", ")}`);
  return make<C>(options, options.default, {
    kind: "choice",
    choices: options.choices,
    parse: pick,
    accept: pick,
    format: (value) => value,
  });
}

/**
 * Makers of flags, one a kind: `int` reads decimal or 0x…, `bool` reads true/false/1/0, `duration` reads "1m30s" and
 * gives milliseconds, `list` reads "a,b" or a YAML sequence, `map` reads "k=v,k=v" or a YAML mapping, `choice` takes
 * one of `choices`.
 *
 * @example flag.duration({ default: "1s", help: "time between probes" })
 */
export const flag = { string, int, bool, duration, list, map, choice } as const;

/** A flag as a CLI registers it. */
export interface FlagDescription {
  readonly name: string;
  readonly kind: FlagKind;
  readonly default: unknown;
  /** The default as one would write it on a command line. */
  readonly defaultText: string;
  readonly help: string;
  readonly hidden: boolean;
  readonly choices?: readonly string[];
  /** Full id of the module that owns it; empty for the root. */
  readonly module: string;
}
