// The module tree with what each module provides, its settings and hooks.

import type { HookEntry } from "./hook-runner.ts";
import type { ConfigInfo, HookInfo, ModuleNode, TokenInfo } from "./inspect.ts";
import type { Node } from "./node.ts";
import type { Scope } from "./scope.ts";
import type { RegisteredFlag, ResolvedSettings } from "./settings.ts";
import type { Wiring } from "./wiring.ts";

/** Everything a description is drawn from. */
export interface HiveParts {
  readonly wiring: Wiring;
  readonly flags: readonly RegisteredFlag[];
  readonly settings: ResolvedSettings;
  readonly hooks: readonly HookEntry[];
  readonly isConstructed: (node: Node) => boolean;
}

/** Describes the hive from its root. */
export function describeHive(parts: HiveParts): ModuleNode {
  return describeScope(parts.wiring.root, parts);
}

function describeScope(scope: Scope, parts: HiveParts): ModuleNode {
  const own = parts.wiring.nodes.filter((node) => node.scope === scope);
  return {
    id: scope.id,
    fullId: scope.fullId,
    title: scope.title,
    provides: own.flatMap((node) => tokenInfo(node, parts) ?? []),
    invokes: own.filter((node) => node.kind === "invoke").map(needs),
    config: parts.flags
      .filter((entry) => entry.module === scope.fullId)
      .map((entry) => configInfo(entry, parts)),
    hooks: parts.hooks.filter((entry) => entry.module === scope.fullId).map(hookInfo),
    modules: scope.children.map((child) => describeScope(child, parts)),
  };
}

function tokenInfo(node: Node, parts: HiveParts): TokenInfo | undefined {
  const { kind, name } = node;
  if (kind === "invoke" || kind === "group" || kind === "builtin") return undefined;
  return {
    name,
    kind,
    private: node.private,
    needs: needs(node),
    constructed: parts.isConstructed(node),
  };
}

function needs(node: Node): readonly string[] {
  return Object.values(node.deps).map((dep) => (dep.kind === "optional" ? `${dep.token.name}?` : dep.name));
}

function configInfo(entry: RegisteredFlag, parts: HiveParts): ConfigInfo {
  const setting = parts.settings.values.get(entry.name);
  return {
    flag: entry.name,
    value: setting?.value ?? entry.flag.default,
    source: setting?.source ?? "default",
    origin: setting?.origin ?? "default",
  };
}

function hookInfo({ hook, state, startMs, stopMs }: HookEntry): HookInfo {
  return {
    name: hook.name,
    start: hook.start !== undefined,
    stop: hook.stop !== undefined,
    stopFirst: hook.stopFirst ?? false,
    state,
    ...(startMs === undefined ? {} : { startMs }),
    ...(stopMs === undefined ? {} : { stopMs }),
  };
}
