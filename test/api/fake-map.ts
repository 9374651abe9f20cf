import { DatapathError } from "../../src/datapath/errors.ts";
import type { MapInfo, MapSpec, RawMap } from "../../src/datapath/types.ts";

/** A kernel map in memory, as far as the API uses one. */
export class FakeMap implements RawMap {
  readonly spec: MapSpec;
  readonly #content = new Map<string, Buffer>();

  constructor(spec: MapSpec) {
    this.spec = spec;
  }

  get info(): MapInfo {
    const { name, type, keySize, valueSize, maxEntries, flags = 0 } = this.spec;
    return { id: 42, name, type, keySize, valueSize, maxEntries, flags };
  }

  update(key: Buffer, value: Buffer): void {
    const id = key.toString("hex");
    if (!this.#content.has(id) && this.#content.size >= this.spec.maxEntries) {
      // What the kernel answers when a hash map is full: E2BIG.
      throw new DatapathError({ operation: "update map", object: this.spec.name, errno: 7 });
    }
    this.#content.set(id, Buffer.from(value));
  }

  lookup(key: Buffer): Buffer | undefined {
    return this.#content.get(key.toString("hex"));
  }

  delete(key: Buffer): boolean {
    return this.#content.delete(key.toString("hex"));
  }

  async updateBatch(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void> {
    for (const [index, key] of keys.entries()) this.update(key, values[index] ?? Buffer.alloc(0));
  }

  updatePacked(keys: Buffer, values: Buffer): Promise<void> {
    const { keySize, valueSize } = this.spec;
    const rows = Array.from({ length: keys.length / keySize }, (_, i) => i);
    return this.updateBatch(
      rows.map((i) => keys.subarray(i * keySize, (i + 1) * keySize)),
      rows.map((i) => values.subarray(i * valueSize, (i + 1) * valueSize)),
    );
  }

  async deleteBatch(keys: readonly Buffer[]): Promise<number> {
    return keys.filter((key) => this.delete(key)).length;
  }

  async keys() {
    return [...this.#content.keys()].map((key) => Buffer.from(key, "hex"));
  }

  async entries() {
    return [...this.#content].map(([key, value]) => ({ key: Buffer.from(key, "hex"), value }));
  }

  pin(): void {}
  close(): void {}
}
