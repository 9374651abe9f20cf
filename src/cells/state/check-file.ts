// LMDB maps its file into memory and trusts it: at a file that is cut short or damaged the process ends with SIGBUS or
// SIGSEGV, and nobody learns why. So the file is looked through before LMDB opens it.

import { open } from "node:fs/promises";
import { type Tree, TreeCheck } from "./check-tree.ts";
import { StateCorruptError } from "./errors.ts";

// Layout of the first two pages of the LMDB that is built into the lmdb package (MDB_page_header and MDB_meta of
// mdb.c, LMDB 0.9.90), on little-endian 64-bit machines.
const pageHeaderBytes = 24;
const magic = 0xbeefc0de;
const offsets = {
  magic: 0,
  pageSize: 24,
  freeEntries: 56,
  freeRoot: 64,
  mainEntries: 104,
  mainRoot: 112,
  lastPage: 120,
  txnId: 128,
} as const;
const metaBytes = 144;
/** Root of a tree that has no pages (P_INVALID). */
const noPage = 0xffff_ffff_ffff_ffffn;

/**
 * Checks an LMDB file: its two meta pages, and every page, entry and key of the trees that the newer one leads to. A
 * file that is absent or empty is fine: the database is about to be made.
 *
 * @throws StateCorruptError
 */
export async function checkDatabaseFile(path: string): Promise<void> {
  const file = await contentsOf(path);
  if (file.length === 0) return;
  const first = readMeta(file, path, 0);
  const second = readMeta(file, path, first.pageSize);
  const newest = second.txnId > first.txnId ? second : first;
  const check = new TreeCheck(file, newest.pageSize);
  for (const tree of newest.trees) {
    const problem = tree.root === noPage ? undefined : check.check(tree);
    if (problem !== undefined) throw new StateCorruptError(path, problem);
  }
  await extend(path, file.length, newest);
}

/**
 * Free pages at the end may never have been written, so a file that ends before its last page is not damaged. But
 * LMDB may read them in its map, where the process ends if the file has no such page.
 */
async function extend(path: string, bytes: number, { lastPage, pageSize }: Meta): Promise<void> {
  const whole = Number(lastPage + 1n) * pageSize;
  if (bytes >= whole) return;
  const file = await open(path, "r+");
  try {
    await file.truncate(whole);
  } finally {
    await file.close();
  }
}

async function contentsOf(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, "r");
    return await file.readFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

interface Meta {
  readonly pageSize: number;
  /** Of free pages, and of the data. */
  readonly trees: readonly Tree[];
  readonly lastPage: bigint;
  readonly txnId: bigint;
}

function readMeta(file: Buffer, path: string, at: number): Meta {
  const start = at + pageHeaderBytes;
  if (file.length < start + metaBytes) {
    throw new StateCorruptError(path, `it ends after ${file.length} bytes, in its header`);
  }
  const bytes = file.subarray(start, start + metaBytes);
  if (bytes.readUInt32LE(offsets.magic) !== magic)
    throw new StateCorruptError(path, "it is no LMDB database");
  const pageSize = bytes.readUInt32LE(offsets.pageSize);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) {
    throw new StateCorruptError(path, `its header says that a page has ${pageSize} bytes`);
  }
  const u64 = (offset: number): bigint => bytes.readBigUInt64LE(offset);
  return {
    pageSize,
    trees: [
      { root: u64(offsets.freeRoot), entries: u64(offsets.freeEntries), compare: compareNumbers },
      { root: u64(offsets.mainRoot), entries: u64(offsets.mainEntries), compare: Buffer.compare },
    ],
    lastPage: u64(offsets.lastPage),
    txnId: u64(offsets.txnId),
  };
}

/** Free pages are filed under the transactions that freed them. */
function compareNumbers(a: Buffer, b: Buffer): number {
  if (a.length !== 8 || b.length !== 8) return 0;
  const difference = a.readBigUInt64LE() - b.readBigUInt64LE();
  return difference < 0n ? -1 : Number(difference > 0n);
}
