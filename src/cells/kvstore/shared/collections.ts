import { StateArgumentError } from "../../state/index.ts";
import type { SharedCollection, SharedCollections, SharedOptions } from "../types.ts";
import { type CollectionParts, StoredCollection } from "./collection.ts";
import type { Following } from "./following.ts";

/** All collections of this node. */
export class StoredCollections implements SharedCollections {
  readonly #parts: CollectionParts;
  readonly #following: Following;
  readonly #names = new Set<string>();

  constructor(parts: CollectionParts, following: Following) {
    this.#parts = parts;
    this.#following = following;
  }

  open<T>(options: SharedOptions<T>): SharedCollection<T> {
    const { name } = options;
    if (this.#names.has(name)) throw new StateArgumentError(`shared collection ${name} is open already`);
    this.#names.add(name);
    const parts = { ...this.#parts, health: this.#parts.health.scope(name) };
    const collection = new StoredCollection<T>(options, parts);
    this.#following.add(collection);
    return collection;
  }
}
