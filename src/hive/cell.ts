// Cells: the declarations a hive is composed of. They are plain data and do nothing by themselves, so one cell may
// be used in many hives.

import { CellDefinitionError } from "./errors.ts";
import type { ConfigOf, FlagSet } from "./flag.ts";
import type { Deps, GroupToken, Resolved, Token } from "./token.ts";

export interface ModuleCell {
  readonly kind: "module";
  readonly id: string;
  readonly title: string;
  readonly cells: readonly Cell[];
}

export interface BundleCell {
  readonly kind: "bundle";
  readonly cells: readonly Cell[];
}

export interface ProvideCell {
  readonly kind: "provide";
  readonly token: Token<unknown>;
  readonly deps: Deps;
  readonly factory: (deps: never) => unknown;
  readonly private: boolean;
}

export interface SupplyCell {
  readonly kind: "supply";
  readonly token: Token<unknown>;
  readonly value: unknown;
}

export interface ContributeCell {
  readonly kind: "contribute";
  readonly group: GroupToken<unknown>;
  readonly deps: Deps;
  readonly factory: (deps: never) => unknown;
}

export interface InvokeCell {
  readonly kind: "invoke";
  readonly deps: Deps;
  readonly run: (deps: never) => void;
}

export interface ConfigCell {
  readonly kind: "config";
  readonly token: Token<unknown>;
  readonly flags: FlagSet;
}

export interface DecorateCell {
  readonly kind: "decorate";
  readonly target: Token<unknown> | GroupToken<unknown>;
  readonly deps: Deps;
  readonly decorator: (inner: never, deps: never) => unknown;
  /** The whole hive, or the declaring module and those below it. */
  readonly reach: "module" | "hive";
}

/** Anything a hive is made of. */
export type Cell =
  | ModuleCell
  | BundleCell
  | ProvideCell
  | SupplyCell
  | ContributeCell
  | InvokeCell
  | ConfigCell
  | DecorateCell;

const kebabCase = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/**
 * A named module: its own scope for private providers and decorators, and its own logger, lifecycle, jobs and health.
 *
 * @param id kebab-case; nested modules get dotted full ids (`agent.endpoints`)
 * @param title one line for people
 * @throws CellDefinitionError if the id is not kebab-case or the title is empty
 */
export function module(id: string, title: string, ...cells: Cell[]): Cell {
  if (!kebabCase.test(id)) throw new CellDefinitionError(`module "${id}"`, "its id is not kebab-case");
  if (title.trim() === "") throw new CellDefinitionError(`module "${id}"`, "its title is empty");
  return { kind: "module", id, title, cells };
}

/** Several cells as one, without a scope: as if its cells stood in its place. */
export function bundle(...cells: Cell[]): Cell {
  return { kind: "bundle", cells };
}

/**
 * Provides a token to the whole hive. The factory runs at most once, when something first needs the token; it must
 * be synchronous and should acquire nothing: that belongs in a start hook.
 */
export function provide<T, D extends Deps>(
  t: Token<T>,
  deps: D,
  factory: (deps: Resolved<D>) => NoInfer<T>,
): Cell {
  return { kind: "provide", token: t, deps, factory, private: false };
}

/** Like {@link provide}, visible only to the declaring module and those nested in it. */
export function providePrivate<T, D extends Deps>(
  t: Token<T>,
  deps: D,
  factory: (deps: Resolved<D>) => NoInfer<T>,
): Cell {
  return { kind: "provide", token: t, deps, factory, private: true };
}

/** Adds one member to a value group. */
export function contribute<T, D extends Deps>(
  g: GroupToken<T>,
  deps: D,
  factory: (deps: Resolved<D>) => NoInfer<T>,
): Cell {
  return { kind: "contribute", group: g, deps, factory };
}

/** Provides a ready value to the whole hive. */
export function supply<T>(t: Token<T>, value: NoInfer<T>): Cell {
  return { kind: "supply", token: t, value };
}

/**
 * Runs when the hive is populated, in declaration order, and causes the construction of what it takes. This is what
 * brings a hive to life: a provider nobody invokes, directly or not, is never constructed.
 */
export function invoke<D extends Deps>(deps: D, fn: (deps: Resolved<D>) => void): Cell {
  return { kind: "invoke", deps, run: fn };
}

/**
 * Registers flags and provides their values to the whole hive.
 *
 * @example
 * const flags = { "probe-interval": flag.duration({ default: "1s", help: "time between probes" }) };
 * const ProbeConfig = token<ConfigOf<typeof flags>>("probe-config");
 * config(ProbeConfig, flags); // injected as { probeInterval: 1000 }
 *
 * @throws CellDefinitionError if a flag's name is not kebab-case
 */
export function config<S extends FlagSet>(t: Token<ConfigOf<S>>, flags: S): Cell {
  for (const name of Object.keys(flags)) {
    if (!kebabCase.test(name)) throw new CellDefinitionError(`flag "${name}"`, "its name is not kebab-case");
  }
  return { kind: "config", token: t, flags };
}

/**
 * Replaces a token's value, or a group's list, for the declaring module and those nested in it. Decorators of one
 * token apply from the outermost module inwards, and in declaration order within a module.
 */
export function decorate<T, D extends Deps>(
  t: Token<T>,
  deps: D,
  fn: (inner: T, deps: Resolved<D>) => NoInfer<T>,
): Cell;
export function decorate<T, D extends Deps>(
  g: GroupToken<T>,
  deps: D,
  fn: (inner: readonly T[], deps: Resolved<D>) => readonly NoInfer<T>[],
): Cell;
export function decorate(
  target: Token<unknown> | GroupToken<unknown>,
  deps: Deps,
  decorator: (inner: never, deps: never) => unknown,
): Cell {
  return { kind: "decorate", target, deps, decorator, reach: "module" };
}

/** Like {@link decorate} for the whole hive, wherever it is declared; applied before module decorators. */
export function decorateAll<T, D extends Deps>(
  t: Token<T>,
  deps: D,
  fn: (inner: T, deps: Resolved<D>) => NoInfer<T>,
): Cell;
export function decorateAll<T, D extends Deps>(
  g: GroupToken<T>,
  deps: D,
  fn: (inner: readonly T[], deps: Resolved<D>) => readonly NoInfer<T>[],
): Cell;
export function decorateAll(
  target: Token<unknown> | GroupToken<unknown>,
  deps: Deps,
  decorator: (inner: never, deps: never) => unknown,
): Cell {
  return { kind: "decorate", target, deps, decorator, reach: "hive" };
}
