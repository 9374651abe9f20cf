// Turns cells into a linked dependency graph and collects what is wrong with it. Nothing is constructed here.

import type { DecorateCell } from "./cell.ts";
import { chainsFromInvokes, findCycles } from "./chains.ts";
import {
  DependencyCycleError,
  DuplicateModuleError,
  DuplicateProviderError,
  MissingDependencyError,
  PrivateTokenError,
} from "./errors.ts";
import { byName, makeNode, type Node, nodeLabel } from "./node.ts";
import { type Declaration, isWithin, type Layout, moduleLabel, pathTo, type Scope } from "./scope.ts";
import type { Dep, GroupToken, Token } from "./token.ts";

type Target = Token<unknown> | GroupToken<unknown>;

/** Values the hive itself provides: per module (given the scope), or one for all. */
export interface Builtins {
  readonly perModule: ReadonlyMap<Token<unknown>, (scope: Scope) => unknown>;
  readonly perHive: ReadonlyMap<Token<unknown>, () => unknown>;
}

interface Unresolved {
  readonly node: Node;
  readonly token: Token<unknown>;
}

export class Wiring {
  readonly root: Scope;
  /** Nodes of cells, in declaration order; groups, built-ins and decorators follow as they are reached. */
  readonly nodes: Node[] = [];
  readonly invokes: Node[] = [];
  readonly problems: Error[] = [];

  readonly #builtins: Builtins;
  readonly #providers = new Map<Token<unknown>, Node[]>();
  readonly #members = new Map<GroupToken<unknown>, Node[]>();
  readonly #groups = new Map<GroupToken<unknown>, Node>();
  readonly #decorators: { readonly cell: DecorateCell; readonly scope: Scope }[] = [];
  readonly #decorated = new Map<DecorateCell, Map<Node, Node>>();
  readonly #builtinNodes = new Map<Token<unknown>, Map<Scope, Node>>();
  readonly #unresolved: Unresolved[] = [];

  /** @param configValue gives a config cell's object; called when the cell is constructed */
  constructor(layout: Layout, builtins: Builtins, configValue: (declaration: Declaration) => unknown) {
    this.root = layout.root;
    this.#builtins = builtins;
    for (const id of layout.repeatedIds) this.problems.push(new DuplicateModuleError(id));
    for (const declaration of layout.declarations) this.#declare(declaration, configValue);
    this.#findDuplicates();
    for (const node of [...this.nodes]) this.#link(node, node.deps, node.scope);
    this.#linkDecorators();
    this.#reportUnresolved();
    for (const cycle of findCycles(this.nodes)) {
      this.problems.push(new DependencyCycleError(cycle.map(nodeLabel)));
    }
  }

  /** The node a consumer in `scope` gets for a token or a group, decorators applied; undefined if none is visible. */
  nodeFor(target: Target, scope: Scope): Node | undefined {
    const base = this.#baseFor(target, scope);
    if (base === undefined) return undefined;
    const enclosing = pathTo(scope);
    const ofTarget = this.#decorators.filter(({ cell }) => cell.target === target);
    const applied = [
      ...ofTarget.filter(({ cell }) => cell.reach === "hive"),
      ...enclosing.flatMap((at) =>
        ofTarget.filter((decorator) => decorator.cell.reach === "module" && decorator.scope === at),
      ),
    ];
    return applied.reduce((inner, { cell, scope: where }) => this.#decorate(cell, where, inner), base);
  }

  #declare({ cell, scope }: Declaration, configValue: (declaration: Declaration) => unknown): void {
    const provide = (token: Token<unknown>, fields: Pick<Node, "kind" | "deps" | "private" | "create">) => {
      const node = this.#add(makeNode({ ...fields, name: token.name, scope }));
      append(this.#providers, token, node);
    };
    switch (cell.kind) {
      case "provide":
        provide(cell.token, { ...cell, create: byName(cell.deps, cell.factory) });
        break;
      case "supply":
        provide(cell.token, { kind: "supply", deps: {}, private: false, create: () => cell.value });
        break;
      case "config": {
        const create = () => configValue({ cell, scope });
        provide(cell.token, { kind: "config", deps: {}, private: false, create });
        break;
      }
      case "contribute": {
        const create = byName(cell.deps, cell.factory);
        const node = makeNode({ kind: "contribute", name: cell.group.name, scope, deps: cell.deps, create });
        append(this.#members, cell.group, this.#add(node));
        break;
      }
      case "invoke": {
        const name = `#${this.invokes.length + 1}`;
        const create = byName(cell.deps, synchronous(cell.run));
        this.invokes.push(this.#add(makeNode({ kind: "invoke", name, scope, deps: cell.deps, create })));
        break;
      }
      case "decorate":
        this.#decorators.push({ cell, scope });
        break;
    }
  }

  #add(node: Node): Node {
    this.nodes.push(node);
    return node;
  }

  #findDuplicates(): void {
    for (const [token, providers] of this.#providers) {
      if (this.#builtins.perModule.has(token) || this.#builtins.perHive.has(token)) {
        const where = moduleLabel(providers[0]!.scope.fullId);
        this.problems.push(new DuplicateProviderError(token.name, "the hive itself", where));
      }
      for (const [at, later] of providers.entries()) {
        const earlier = providers.slice(0, at).find((other) => seeEachOther(other, later));
        if (earlier === undefined) continue;
        const [first, second] = [earlier, later].map((node) => moduleLabel(node.scope.fullId));
        this.problems.push(new DuplicateProviderError(token.name, first!, second!));
      }
    }
  }

  #link(node: Node, deps: Node["deps"], scope: Scope): void {
    for (const [name, dep] of Object.entries(deps))
      node.edges.push({ name, node: this.#resolve(node, dep, scope) });
  }

  #resolve(node: Node, dep: Dep, scope: Scope): Node | undefined {
    if (dep.kind === "optional") return this.nodeFor(dep.token, scope);
    const found = this.nodeFor(dep, scope);
    if (found === undefined && dep.kind === "token") this.#unresolved.push({ node, token: dep });
    return found;
  }

  #baseFor(target: Target, scope: Scope): Node | undefined {
    if (target.kind === "group") return this.#group(target);
    return (
      this.#builtin(target, scope) ??
      this.#providers.get(target)?.find((node) => !node.private || isWithin(scope, node.scope))
    );
  }

  #group(group: GroupToken<unknown>): Node {
    const known = this.#groups.get(group);
    if (known !== undefined) return known;
    const create = (members: readonly unknown[]) => Object.freeze([...members]);
    const node = makeNode({ kind: "group", name: group.name, scope: this.root, deps: {}, create });
    this.#groups.set(group, this.#add(node));
    for (const member of this.#members.get(group) ?? []) node.edges.push({ name: "member", node: member });
    return node;
  }

  #builtin(token: Token<unknown>, consumer: Scope): Node | undefined {
    const perModule = this.#builtins.perModule.get(token);
    const value = perModule ?? this.#builtins.perHive.get(token);
    if (value === undefined) return undefined;
    const scope = perModule === undefined ? this.root : consumer;
    const ofToken = this.#builtinNodes.get(token) ?? new Map<Scope, Node>();
    this.#builtinNodes.set(token, ofToken);
    const known = ofToken.get(scope);
    if (known !== undefined) return known;
    const create = () => value(scope);
    const node = makeNode({ kind: "builtin", name: token.name, scope, deps: {}, create });
    ofToken.set(scope, this.#add(node));
    return node;
  }

  /** One node for each application: a per-module token has a decorated value in each module. */
  #decorate(cell: DecorateCell, scope: Scope, inner: Node): Node {
    const applications = this.#decorated.get(cell) ?? new Map<Node, Node>();
    this.#decorated.set(cell, applications);
    const known = applications.get(inner);
    if (known !== undefined) return known;
    const names = Object.keys(cell.deps);
    const node = makeNode({
      kind: "decorate",
      name: cell.target.name,
      scope,
      deps: cell.deps,
      create: ([value, ...args]) =>
        cell.decorator(
          value as never,
          Object.fromEntries(names.map((name, at) => [name, args[at]])) as never,
        ),
    });
    applications.set(inner, this.#add(node));
    node.edges.push({ name: "inner", node: inner });
    this.#link(node, cell.deps, scope);
    return node;
  }

  /** Links every decorator, used or not, so that a mistake in one is found. */
  #linkDecorators(): void {
    for (const { cell, scope } of this.#decorators) {
      if (this.nodeFor(cell.target, scope) !== undefined) continue;
      const chain = [`decorator of ${cell.target.name} (${moduleLabel(scope.fullId)})`, cell.target.name];
      this.problems.push(this.missing(cell.target as Token<unknown>, chain));
    }
  }

  #reportUnresolved(): void {
    const chainTo = chainsFromInvokes(this.invokes, this.nodes);
    for (const { node, token } of this.#unresolved) {
      this.problems.push(this.missing(token, [...chainTo(node).map(nodeLabel), token.name]));
    }
  }

  /** The error for a token that is not visible where it is needed. */
  missing(token: Token<unknown>, chain: readonly string[]): Error {
    const hidden = this.#providers.get(token);
    if (hidden !== undefined) {
      const owners = hidden.map((node) => moduleLabel(node.scope.fullId)).join(" and ");
      return new PrivateTokenError(token.name, owners, chain);
    }
    const namesake = [...this.#providers].find(([other]) => other.name === token.name)?.[1][0];
    const hint =
      namesake &&
      `another token of that name is provided in ${moduleLabel(namesake.scope.fullId)}: make a token once and share it`;
    return new MissingDependencyError(token.name, chain, hint);
  }
}

function append<K>(map: Map<K, Node[]>, key: K, node: Node): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [node]);
  else list.push(node);
}

/** Whether there is a scope that both providers are visible in. */
function seeEachOther(a: Node, b: Node): boolean {
  if (!a.private || !b.private) return true;
  return isWithin(a.scope, b.scope) || isWithin(b.scope, a.scope);
}

/** Nobody would wait for an invoke's promise, and its error would be lost. */
function synchronous(run: (params: never) => unknown): (params: never) => void {
  return (params) => {
    const result = run(params);
    if (!(result instanceof Promise)) return;
    result.catch(() => undefined);
    throw new TypeError("it returned a promise; asynchronous work belongs in a start hook or a job");
  };
}
