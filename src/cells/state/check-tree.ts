// Walks a B+tree of an LMDB file without LMDB, which follows a damaged pointer into a crash of the process.
// Page and node layouts: MDB_page_header, MDB_node and MDB_ovpage of mdb.c (LMDB 0.9.90, 64 bits, little endian).

const pageHeaderBytes = 24;
const nodeHeaderBytes = 8;
const flagsAt = 18;
const lowerAt = 20;
const upperAt = 22;
const overflowPagesAt = 20;
const pageFlag = { branch: 1, leaf: 2, overflow: 4 } as const;
const bigData = 1;
const overflowReferenceBytes = 24;
/** As deep as LMDB goes (CURSOR_STACK). */
const maxDepth = 32;

/** A tree as the meta page describes it. */
export interface Tree {
  readonly root: bigint;
  readonly entries: bigint;
  /** Compares keys as the tree is sorted by them. */
  compare(a: Buffer, b: Buffer): number;
}

/** Says what is wrong with the trees of one file. Pages seen once must not turn up again. */
export class TreeCheck {
  readonly #file: Buffer;
  readonly #pageSize: number;
  readonly #seen = new Set<number>();
  #entries = 0n;
  #lastKey: Buffer | undefined;

  constructor(file: Buffer, pageSize: number) {
    this.#file = file;
    this.#pageSize = pageSize;
  }

  /** @returns what is wrong, or undefined */
  check(tree: Tree): string | undefined {
    this.#entries = 0n;
    this.#lastKey = undefined;
    const problem = this.#page(tree.root, tree, 1);
    if (problem !== undefined) return problem;
    return this.#entries === tree.entries
      ? undefined
      : `it has ${this.#entries} entries and should have ${tree.entries}`;
  }

  #page(number: bigint, tree: Tree, depth: number): string | undefined {
    const page = this.#take(number);
    if (typeof page === "string") return page;
    if (depth > maxDepth) return `its tree is deeper than ${maxDepth} pages`;
    const flags = page.readUInt16LE(flagsAt);
    const isLeaf = (flags & pageFlag.leaf) !== 0;
    if (!isLeaf && (flags & pageFlag.branch) === 0) return `page ${number} is neither branch nor leaf`;
    // Offsets count from the end of the header.
    const lower = page.readUInt16LE(lowerAt);
    const upper = page.readUInt16LE(upperAt);
    if (lower > upper || upper > this.#pageSize - pageHeaderBytes || lower % 2 !== 0) {
      return `page ${number} has impossible bounds`;
    }
    for (let index = 0; index < lower / 2; index += 1) {
      const at = pageHeaderBytes + page.readUInt16LE(pageHeaderBytes + index * 2);
      if (at < pageHeaderBytes + upper || at + nodeHeaderBytes > this.#pageSize) {
        return `page ${number} points to a node outside itself`;
      }
      const node = page.subarray(at);
      const problem = isLeaf ? this.#leaf(number, node, tree) : this.#branch(number, node, tree, depth);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #branch(page: bigint, node: Buffer, tree: Tree, depth: number): string | undefined {
    if (nodeHeaderBytes + node.readUInt16LE(6) > node.length)
      return `page ${page} has a key that does not end`;
    return this.#page(BigInt(node.readUIntLE(0, 6)), tree, depth + 1);
  }

  #leaf(page: bigint, node: Buffer, tree: Tree): string | undefined {
    const dataBytes = node.readUInt32LE(0);
    const flags = node.readUInt16LE(4);
    const keyEnd = nodeHeaderBytes + node.readUInt16LE(6);
    const inPage = (flags & bigData) === 0 ? dataBytes : overflowReferenceBytes;
    if (keyEnd + inPage > node.length) return `page ${page} has an entry that does not end`;
    const key = node.subarray(nodeHeaderBytes, keyEnd);
    if (this.#lastKey !== undefined && tree.compare(this.#lastKey, key) >= 0)
      return `page ${page} is out of order`;
    this.#lastKey = key;
    this.#entries += 1n;
    return (flags & bigData) === 0 ? undefined : this.#overflow(node.subarray(keyEnd), dataBytes);
  }

  /** A value too big for a page lies on consecutive pages of its own, of which only the first has a header. */
  #overflow(reference: Buffer, dataBytes: number): string | undefined {
    const first = reference.readBigUInt64LE(0);
    const count = Number(reference.readBigUInt64LE(16));
    const page = this.#take(first);
    if (typeof page === "string") return page;
    if ((page.readUInt16LE(flagsAt) & pageFlag.overflow) === 0) return `page ${first} holds no long value`;
    if (count < 1 || page.readUInt32LE(overflowPagesAt) !== count) return `page ${first} has a wrong length`;
    if (pageHeaderBytes + dataBytes > count * this.#pageSize)
      return `page ${first} is too short for its value`;
    for (let next = 1n; next < BigInt(count); next += 1n) {
      const more = this.#take(first + next);
      if (typeof more === "string") return more;
    }
    return undefined;
  }

  /** The page with this number, or what is wrong with it. */
  #take(number: bigint): Buffer | string {
    const index = Number(number);
    const start = index * this.#pageSize;
    if (start + this.#pageSize > this.#file.length) return `it is cut off: page ${number} is missing`;
    if (index < 2 || this.#seen.has(index)) return `page ${number} is used twice`;
    this.#seen.add(index);
    return this.#file.subarray(start, start + this.#pageSize);
  }
}
