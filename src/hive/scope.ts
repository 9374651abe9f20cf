// The tree of module scopes, and the cells laid out flat in declaration order.

import type { BundleCell, Cell, ModuleCell } from "./cell.ts";

/** A module's place in the tree; the root is the hive. */
export interface Scope {
  /** A module's own id; the hive's name for the root. */
  readonly id: string;
  /** Dotted ids from the root; empty for the root. */
  readonly fullId: string;
  readonly title: string;
  readonly parent: Scope | undefined;
  readonly children: Scope[];
}

/** A cell that declares something by itself. */
export type LeafCell = Exclude<Cell, ModuleCell | BundleCell>;

export interface Declaration {
  readonly cell: LeafCell;
  readonly scope: Scope;
}

export interface Layout {
  readonly root: Scope;
  readonly declarations: readonly Declaration[];
  /** Full ids that were declared more than once. */
  readonly repeatedIds: readonly string[];
}

/** Lays out a composition: modules become scopes, bundles dissolve. */
export function layOut(hiveName: string, cells: readonly Cell[]): Layout {
  const root: Scope = { id: hiveName, fullId: "", title: hiveName, parent: undefined, children: [] };
  const declarations: Declaration[] = [];
  const seen = new Set<string>();
  const repeatedIds = new Set<string>();

  const visit = (cell: Cell, scope: Scope): void => {
    if (cell.kind === "bundle") {
      for (const inner of cell.cells) visit(inner, scope);
    } else if (cell.kind === "module") {
      const fullId = scope.fullId === "" ? cell.id : `${scope.fullId}.${cell.id}`;
      if (seen.has(fullId)) repeatedIds.add(fullId);
      seen.add(fullId);
      const child: Scope = { id: cell.id, fullId, title: cell.title, parent: scope, children: [] };
      scope.children.push(child);
      for (const inner of cell.cells) visit(inner, child);
    } else {
      declarations.push({ cell, scope });
    }
  };
  for (const cell of cells) visit(cell, root);
  return { root, declarations, repeatedIds: [...repeatedIds] };
}

/** Whether `scope` is `enclosing` or lies below it. */
export function isWithin(scope: Scope, enclosing: Scope): boolean {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    if (at === enclosing) return true;
  }
  return false;
}

/** The scopes from the root down to this one. */
export function pathTo(scope: Scope): Scope[] {
  return scope.parent === undefined ? [scope] : [...pathTo(scope.parent), scope];
}

/** How errors and logs name a module by its full id. */
export function moduleLabel(fullId: string): string {
  return fullId === "" ? "the root" : `module ${fullId}`;
}
