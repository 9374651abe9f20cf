// The hive's use of inversify: one container, every node a singleton under a symbol of its own.

import "reflect-metadata";
import { Container } from "inversify";
import { ConstructionError } from "./errors.ts";
import { type Node, nodeLabel } from "./node.ts";

/** What the container holds for a node: boxed, as it would take a promise or undefined for something else. */
interface Box {
  readonly value: unknown;
}

/** Constructs nodes on demand, each at most once, what they need first. */
export class NodeContainer {
  readonly #container = new Container({ defaultScope: "Singleton" });
  readonly #bound = new Set<Node>();
  readonly #constructed = new Set<Node>();
  #current: Node | undefined;
  /** The nodes that are being constructed: each is needed by the one before. */
  readonly #path: Node[] = [];

  /** The node whose constructor is running. */
  get current(): Node | undefined {
    return this.#current;
  }

  isConstructed(node: Node): boolean {
    return this.#constructed.has(node);
  }

  /**
   * The node's value, constructed if need be. The graph must have been found valid.
   * @throws ConstructionError with what a constructor threw as cause
   */
  get(node: Node): unknown {
    if (!this.#constructed.has(node)) {
      // Bottom up, because inversify takes a dependency deeper than some five hundred for a cycle.
      this.#path.push(node);
      try {
        for (const { node: needed } of node.edges) if (needed !== undefined) this.get(needed);
        this.#bind(node);
        return this.#container.get<Box>(node.key).value;
      } finally {
        this.#path.pop();
      }
    }
    return this.#container.get<Box>(node.key).value;
  }

  #bind(node: Node): void {
    if (this.#bound.has(node)) return;
    this.#bound.add(node);
    const present = node.edges.flatMap((edge) => edge.node?.key ?? []);
    this.#container
      .bind<Box>(node.key)
      .toResolvedValue<Box[]>((...boxes) => this.#construct(node, boxes), present)
      .inSingletonScope();
  }

  #construct(node: Node, boxes: readonly Box[]): Box {
    const rest = boxes.values();
    const args = node.edges.map((edge) => (edge.node === undefined ? undefined : rest.next().value?.value));
    const outer = this.#current;
    this.#current = node;
    try {
      const value = node.create(args);
      this.#constructed.add(node);
      return { value };
    } catch (cause) {
      throw new ConstructionError(this.#path.map(nodeLabel), cause);
    } finally {
      this.#current = outer;
    }
  }
}
