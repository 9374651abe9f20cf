// The dependency graph in graphviz' language (https://graphviz.org/doc/info/lang.html): a cluster a module, an
// arrow from what needs to what is needed. Built-in tokens are left out: everything needs them.

import type { Node } from "./node.ts";
import type { Scope } from "./scope.ts";
import type { Wiring } from "./wiring.ts";

/** Writes the whole graph. */
export function toDot(wiring: Wiring): string {
  const shown = wiring.nodes.filter((node) => node.kind !== "builtin");
  const ids = new Map(shown.map((node, at) => [node, `n${at}`]));
  const lines = [
    `digraph ${quote(wiring.root.id)} {`,
    "  rankdir=LR;",
    '  node [shape=box, fontname="sans-serif"];',
  ];
  writeScope(wiring.root, shown, ids, lines, "  ");
  for (const node of shown) {
    for (const { name, node: needed } of node.edges) {
      const target = needed && ids.get(needed);
      if (target !== undefined) lines.push(`  ${ids.get(node)} -> ${target} [tooltip=${quote(name)}];`);
    }
  }
  lines.push("}", "");
  return lines.join("\n");
}

function writeScope(
  scope: Scope,
  shown: readonly Node[],
  ids: ReadonlyMap<Node, string>,
  lines: string[],
  indent: string,
): void {
  for (const node of shown.filter((other) => other.scope === scope)) {
    lines.push(`${indent}${ids.get(node)} [label=${quote(label(node))}${style(node)}];`);
  }
  for (const child of scope.children) {
    lines.push(`${indent}subgraph ${quote(`cluster_${child.fullId}`)} {`);
    lines.push(`${indent}  label=${quote(child.fullId)}; tooltip=${quote(child.title)};`);
    writeScope(child, shown, ids, lines, `${indent}  `);
    lines.push(`${indent}}`);
  }
}

function label(node: Node): string {
  switch (node.kind) {
    case "invoke":
      return `invoke ${node.name}`;
    case "decorate":
      return `decorate ${node.name}`;
    case "contribute":
      return `+ ${node.name}`;
    case "group":
      return `[${node.name}]`;
    default:
      return node.name;
  }
}

function style(node: Node): string {
  if (node.kind === "invoke") return ", shape=oval";
  return node.private ? ", style=dashed" : "";
}

function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
