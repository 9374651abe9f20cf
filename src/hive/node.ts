// Nodes of the dependency graph: one a constructor, decorator application, group or invoke.

import { moduleLabel, type Scope } from "./scope.ts";
import type { Deps } from "./token.ts";

export type NodeKind =
  | "provide"
  | "supply"
  | "contribute"
  | "config"
  | "decorate"
  | "group"
  | "invoke"
  | "builtin";

/** One argument of a node's constructor; without a node it is an optional dependency that is absent. */
export interface Edge {
  readonly name: string;
  readonly node: Node | undefined;
}

export interface Node {
  /** What the container knows it by. */
  readonly key: symbol;
  readonly kind: NodeKind;
  /** Name of the token it makes; of an invoke, its number. */
  readonly name: string;
  readonly scope: Scope;
  readonly private: boolean;
  readonly deps: Deps;
  /** Arguments of `create`, in order; filled when the graph is linked. */
  readonly edges: Edge[];
  readonly create: (args: readonly unknown[]) => unknown;
}

export function makeNode(fields: Omit<Node, "key" | "edges" | "private"> & { private?: boolean }): Node {
  return { private: false, ...fields, key: Symbol(`${fields.kind} ${fields.name}`), edges: [] };
}

/** A factory that takes a parameter object, as a function of the arguments in the order of `deps`. */
export function byName(
  deps: Deps,
  factory: (params: never) => unknown,
): (args: readonly unknown[]) => unknown {
  const names = Object.keys(deps);
  return (args) => factory(Object.fromEntries(names.map((name, at) => [name, args[at]])) as never);
}

/** How errors name a node: what it is and whose. */
export function nodeLabel(node: Node): string {
  const where = moduleLabel(node.scope.fullId);
  switch (node.kind) {
    case "invoke":
      return `invoke ${node.name} (${where})`;
    case "contribute":
      return `member of ${node.name} (${where})`;
    case "decorate":
      return `decorator of ${node.name} (${where})`;
    case "group":
      return `group ${node.name}`;
    default:
      return `${node.name} (${where})`;
  }
}
