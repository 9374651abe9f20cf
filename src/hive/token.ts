// Typed keys of the dependency graph. A token is compared by identity, so two tokens of the same name are
// two different keys; the phantom type makes the compiler check every provider and every consumer.

/** Carries the value's type through the compiler; absent at run time. */
declare const valueType: unique symbol;

/** Names exactly one value of type T. Make one with {@link token}. */
export interface Token<T> {
  readonly kind: "token";
  readonly name: string;
  readonly [valueType]: T;
}

/** Names a value group: any number of cells contribute, a consumer gets all of them as `readonly T[]`. */
export interface GroupToken<T> {
  readonly kind: "group";
  readonly name: string;
  readonly [valueType]: T;
}

/** A dependency that may be absent: the consumer gets `T | undefined`. Make one with {@link optional}. */
export interface OptionalDep<T> {
  readonly kind: "optional";
  readonly token: Token<T>;
  readonly [valueType]: T;
}

/** Anything a constructor may ask for. */
export type Dep = Token<unknown> | GroupToken<unknown> | OptionalDep<unknown>;

/** A named set of dependencies; {@link Resolved} is the parameter object made of it. */
export type Deps = Readonly<Record<string, Dep>>;

/** The parameter object a factory receives for its {@link Deps}. */
export type Resolved<D extends Deps> = {
  readonly [K in keyof D]: D[K] extends OptionalDep<infer T>
    ? T | undefined
    : D[K] extends GroupToken<infer T>
      ? readonly T[]
      : D[K] extends Token<infer T>
        ? T
        : never;
};

/** The value type of a token: `TokenValue<typeof Log>` is `Logger`. */
export type TokenValue<K> = K extends Token<infer T> ? T : never;

/**
 * Makes a token. The name is for people: errors, the module tree and the graph print it.
 *
 * @example const Clock = token<() => number>("clock");
 */
export function token<T>(name: string): Token<T> {
  return Object.freeze({ kind: "token", name }) as Token<T>;
}

/**
 * Makes a group token. Members are injected in the order in which their cells were declared.
 *
 * @example const Commands = group<Command>("commands");
 */
export function group<T>(name: string): GroupToken<T> {
  return Object.freeze({ kind: "group", name }) as GroupToken<T>;
}

/** Marks a dependency as optional: it is `undefined` where no visible cell provides the token. */
export function optional<T>(t: Token<T>): OptionalDep<T> {
  return Object.freeze({ kind: "optional", token: t }) as unknown as OptionalDep<T>;
}
