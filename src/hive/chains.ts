// Walks over the dependency graph for error messages: why something is constructed, and where it goes in circles.

import type { Node } from "./node.ts";

/**
 * Gives a function from a node to the shortest path to it, from an invoke where one leads there, or else from a
 * node that nothing needs.
 */
export function chainsFromInvokes(
  invokes: readonly Node[],
  nodes: readonly Node[],
): (node: Node) => readonly Node[] {
  const parents = new Map<Node, Node | undefined>();
  const walk = (roots: readonly Node[]): void => {
    const queue = roots.filter((root) => !parents.has(root));
    for (const root of queue) parents.set(root, undefined);
    for (const node of queue) {
      for (const { node: next } of node.edges) {
        if (next === undefined || parents.has(next)) continue;
        parents.set(next, node);
        queue.push(next);
      }
    }
  };
  walk(invokes);
  const needed = new Set(nodes.flatMap((node) => node.edges.map((edge) => edge.node)));
  walk(nodes.filter((node) => !needed.has(node)));
  return (node) => {
    const path: Node[] = [];
    for (let at: Node | undefined = node; at !== undefined; at = parents.get(at)) path.unshift(at);
    return path;
  };
}

/** Every cycle a depth-first walk meets, each once, as a path whose last node is its first. */
export function findCycles(nodes: readonly Node[]): Node[][] {
  const done = new Set<Node>();
  const path: Node[] = [];
  const onPath = new Set<Node>();
  const cycles: Node[][] = [];
  const visit = (node: Node): void => {
    if (onPath.has(node)) {
      cycles.push([...path.slice(path.indexOf(node)), node]);
      return;
    }
    if (done.has(node)) return;
    path.push(node);
    onPath.add(node);
    for (const edge of node.edges) if (edge.node !== undefined) visit(edge.node);
    onPath.delete(node);
    path.pop();
    done.add(node);
  };
  for (const node of nodes) visit(node);
  return cycles;
}

/** Everything a node needs, directly or not. */
export function dependenciesOf(node: Node): Set<Node> {
  const found = new Set<Node>();
  const queue = [node];
  for (const at of queue) {
    for (const { node: next } of at.edges) {
      if (next === undefined || found.has(next)) continue;
      found.add(next);
      queue.push(next);
    }
  }
  return found;
}
