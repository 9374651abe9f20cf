// Merges the sources of settings, strict both ways: every flag gets a value, every given setting has a flag.

import { DuplicateFlagError, SettingValueError, UnknownSettingError } from "./errors.ts";
import type { Flag } from "./flag.ts";
import type { SettingSource } from "./inspect.ts";
import type { Settings } from "./options.ts";
import { moduleLabel } from "./scope.ts";
import { readSettingsFile } from "./settings-file.ts";
import { nearest } from "./suggest.ts";

/** A flag as a config cell registered it. */
export interface RegisteredFlag {
  readonly name: string;
  readonly flag: Flag<unknown>;
  /** Full id of the module. */
  readonly module: string;
}

/** A flag's value and where it came from. */
export interface SettingValue {
  readonly value: unknown;
  readonly source: SettingSource;
  readonly origin: string;
}

export interface ResolvedSettings {
  /** By flag name; a flag whose given value is bad has its default here, and a problem. */
  readonly values: ReadonlyMap<string, SettingValue>;
  readonly problems: readonly Error[];
}

/** One source: what it gives, and how it writes a flag's name. */
interface Source {
  readonly source: SettingSource;
  readonly given: ReadonlyMap<string, unknown>;
  readonly originOf: (flag: string) => string;
}

const camelToKebab = (name: string): string =>
  name.replaceAll("_", "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const present = (record: Readonly<Record<string, unknown>> | undefined): Map<string, unknown> =>
  new Map(Object.entries(record ?? {}).filter(([, value]) => value !== undefined));

/** Flags that more than one config cell registers. */
function findDuplicateFlags(flags: readonly RegisteredFlag[]): Error[] {
  const first = new Map<string, RegisteredFlag>();
  const problems: Error[] = [];
  for (const entry of flags) {
    const earlier = first.get(entry.name);
    if (earlier === undefined) first.set(entry.name, entry);
    else {
      const [one, other] = [moduleLabel(earlier.module), moduleLabel(entry.module)];
      problems.push(new DuplicateFlagError(entry.name, one, other));
    }
  }
  return problems;
}

function environment(settings: Settings): Source {
  const prefix = settings.envPrefix ?? "WAGGLE_";
  const given = new Map<string, unknown>();
  for (const [name, value] of Object.entries(settings.env ?? {})) {
    if (value === undefined || !name.startsWith(prefix)) continue;
    given.set(name.slice(prefix.length).toLowerCase().replaceAll("_", "-"), value);
  }
  return {
    source: "env",
    given,
    originOf: (flag) => `environment variable ${prefix}${flag.toUpperCase().replaceAll("-", "_")}`,
  };
}

/** Reads all sources and gives every flag its value; collects all problems. */
export function resolveSettings(flags: readonly RegisteredFlag[], settings: Settings): ResolvedSettings {
  const file = readSettingsFile(settings.file);
  const problems: Error[] = [...findDuplicateFlags(flags), ...file.problems];
  const sources: Source[] = [
    { source: "override", given: present(settings.overrides), originOf: (flag) => `override "${flag}"` },
    { source: "flag", given: present(settings.flags), originOf: (flag) => `--${flag}` },
    environment(settings),
    { source: "file", given: file.values, originOf: (flag) => `"${flag}" in ${settings.file}` },
  ];
  const names = new Set(flags.map((entry) => entry.name));
  for (const source of sources) {
    for (const given of source.given.keys()) {
      if (names.has(given)) continue;
      const asKebab = camelToKebab(given);
      const suggestion = names.has(asKebab) ? asKebab : nearest(given, names);
      const hint = suggestion === undefined ? undefined : source.originOf(suggestion);
      problems.push(new UnknownSettingError(source.originOf(given), hint));
    }
  }
  const values = new Map(flags.map((entry) => [entry.name, resolveOne(entry, sources, problems)]));
  return { values, problems };
}

/** Every given value is read, even one that a stronger source hides: a mistake should not lie in wait. */
function resolveOne(
  { name, flag }: RegisteredFlag,
  sources: readonly Source[],
  problems: Error[],
): SettingValue {
  let strongest: SettingValue | undefined;
  for (const { source, given, originOf } of sources) {
    if (!given.has(name)) continue;
    const raw = given.get(name);
    const origin = originOf(name);
    try {
      const value = typeof raw === "string" ? flag.parse(raw) : flag.accept(raw);
      flag.check(value);
      strongest ??= { value, source, origin };
    } catch (cause) {
      problems.push(new SettingValueError(name, origin, cause));
    }
  }
  if (strongest !== undefined) return strongest;
  try {
    flag.check(flag.default);
  } catch (cause) {
    problems.push(new SettingValueError(name, "its default", cause));
  }
  return { value: flag.default, source: "default", origin: "default" };
}

/** The object a config cell provides. */
export function configObject(flags: Iterable<string>, settings: ResolvedSettings): unknown {
  const entries = [...flags].map((name) => [kebabToCamel(name), settings.values.get(name)?.value] as const);
  return Object.freeze(Object.fromEntries(entries));
}

function kebabToCamel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
