// LMDB maps its file into memory and trusts it: a file that is cut short ends the process with SIGBUS at the first
// read beyond its end. So the two meta pages are checked before the file is opened.

import { type FileHandle, open } from "node:fs/promises";
import { StateCorruptError } from "./errors.ts";

// Layout of the first two pages of the LMDB that is built into the lmdb package (mdb.c of LMDB 0.9.90: MDB_page_header
// and MDB_meta), on 64-bit machines.
const pageHeaderBytes = 24;
const magic = 0xbeefc0de;
const offsets = { magic: 0, pageSize: 24, freeRoot: 64, mainRoot: 112, lastPage: 120, txnId: 128 } as const;
const metaBytes = 144;
/** Root of a tree that has no pages (P_INVALID). */
const noPage = 0xffff_ffff_ffff_ffffn;

/**
 * Checks that the file begins with the meta pages of an LMDB database and is as long as they say. A file that is
 * absent or empty is fine: the database is about to be made.
 *
 * @throws StateCorruptError
 */
export async function checkDatabaseFile(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size === 0) return;
    const first = await readMeta(file, path, 0, size);
    const second = await readMeta(file, path, first.pageSize, size);
    const newest = second.txnId > first.txnId ? second : first;
    const pages = BigInt(Math.floor(size / newest.pageSize));
    for (const root of newest.roots) {
      if (root !== noPage && root >= pages) {
        throw new StateCorruptError(path, `it is cut off: it has ${pages} pages and needs page ${root}`);
      }
    }
    // Free pages at the end may never have been written, so a file that is shorter than its last page is not
    // necessarily damaged. With zeros in their place LMDB reports what is missing instead of crashing.
    const whole = Number(newest.lastPage + 1n) * newest.pageSize;
    if (size < whole) await file.truncate(whole);
  } finally {
    await file.close();
  }
}

interface Meta {
  readonly pageSize: number;
  /** Of the trees of free pages and of the data. */
  readonly roots: readonly bigint[];
  readonly lastPage: bigint;
  readonly txnId: bigint;
}

async function readMeta(file: FileHandle, path: string, at: number, size: number): Promise<Meta> {
  const bytes = Buffer.alloc(metaBytes);
  const { bytesRead } = await file.read(bytes, 0, metaBytes, at + pageHeaderBytes);
  if (bytesRead < metaBytes) throw new StateCorruptError(path, `it ends after ${size} bytes, in its header`);
  if (bytes.readUInt32LE(offsets.magic) !== magic)
    throw new StateCorruptError(path, "it is no LMDB database");
  const pageSize = bytes.readUInt32LE(offsets.pageSize);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) {
    throw new StateCorruptError(path, `its header says that a page has ${pageSize} bytes`);
  }
  return {
    pageSize,
    roots: [bytes.readBigUInt64LE(offsets.freeRoot), bytes.readBigUInt64LE(offsets.mainRoot)],
    lastPage: bytes.readBigUInt64LE(offsets.lastPage),
    txnId: bytes.readBigUInt64LE(offsets.txnId),
  };
}
