import { chmod, mkdir, open as openFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { open, type RootDatabase } from "lmdb";
import { checkDatabaseFile } from "./check-file.ts";
import {
  StateArgumentError,
  StateClosedError,
  StateCorruptError,
  StateDirectoryError,
  StateError,
  StateVersionError,
} from "./errors.ts";
import { DirectoryLock } from "./lock.ts";
import type { StateCollection, StateStore } from "./types.ts";
import { decodeValue, encodeValue } from "./values.ts";
import { GroupWriter } from "./writer.ts";

/** Version of the format: of the values' encoding and of what the agent's collections hold. */
export const stateVersion = 1;

const fileName = "state.mdb";
const versionKey = "@version";
// Address space, not disk: the file grows as it is written.
const mapBytes = 2 ** 30;
/** LMDB takes keys of up to 1,978 bytes; this leaves room for the collection's name and escapes. */
const maxKeyBytes = 1_024;

type Db = RootDatabase<Buffer, string>;

interface Open {
  readonly db: Db;
  readonly writer: GroupWriter;
}

/**
 * The state store on LMDB. Writes happen on a thread of their own and resolve after the commit's fdatasync; those
 * made one after the other without awaiting are there after a crash all together, or not at all.
 */
export class LmdbStateStore implements StateStore {
  readonly directory: string;
  #opened: Open | undefined;
  #lock: DirectoryLock | undefined;
  readonly #collections = new Map<string, StateCollection<unknown>>();

  constructor(directory: string) {
    this.directory = directory;
  }

  /** @throws StateArgumentError when the name is not kebab-case */
  collection<T>(name: string): StateCollection<T> {
    if (!/^[a-z][a-z0-9-]*$/.test(name))
      throw new StateArgumentError(`collection ${name}: the name is not kebab-case`);
    const known =
      this.#collections.get(name) ??
      new LmdbCollection<unknown>(name, this.#file, (op, key) => this.#open(op, key));
    this.#collections.set(name, known);
    return known as StateCollection<T>;
  }

  /**
   * Makes the directory (mode 0700), locks it and reads everything once, so that damage is found here and not
   * at some later time.
   *
   * @throws StateDirectoryError, StateLockedError, StateCorruptError, StateVersionError
   */
  async open(): Promise<void> {
    try {
      await mkdir(this.directory, { recursive: true, mode: 0o700 });
      await chmod(this.directory, 0o700);
    } catch (cause) {
      throw new StateDirectoryError("make", this.directory, cause);
    }
    this.#lock = await DirectoryLock.acquire(this.directory);
    try {
      await checkDatabaseFile(this.#file);
      const db = this.#openDatabase();
      this.#opened = { db, writer: new GroupWriter(db) };
      verify(db, this.#file);
      await this.#checkVersion(this.#opened);
      // LMDB syncs its file; that the file exists is a fact of the directory, and so on upwards.
      await syncDirectory(this.directory);
      await syncDirectory(dirname(this.directory));
    } catch (error) {
      await this.close();
      throw error instanceof StateError ? error : new StateDirectoryError("open", this.directory, error);
    }
  }

  /** Waits for writes under way. Safe to repeat. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.writer.idle();
    await opened?.db.close();
    await this.#lock?.release();
    this.#lock = undefined;
  }

  get #file(): string {
    return join(this.directory, fileName);
  }

  #openDatabase(): Db {
    try {
      return open<Buffer, string>({
        path: this.#file,
        encoding: "binary",
        mapSize: mapBytes,
        // The default acknowledges a write before it is on disk.
        overlappingSync: false,
        // GroupWriter does that; the package's own leaves a rejection unhandled when a commit fails.
        eventTurnBatching: false,
      });
    } catch (cause) {
      throw new StateCorruptError(this.#file, cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  async #checkVersion({ db, writer }: Open): Promise<void> {
    const stored = db.get(versionKey);
    if (stored === undefined) {
      if (db.getCount({ limit: 1 }) > 0) {
        throw new StateCorruptError(this.#file, "it does not say which version of the format it has");
      }
      await writer.write(versionKey, encodeValue(versionKey, stateVersion));
      return;
    }
    const found = decodeValue(`${this.#file} ${versionKey}`, stored);
    if (typeof found !== "number") throw new StateCorruptError(this.#file, "its version is no number");
    if (found !== stateVersion) throw new StateVersionError(this.#file, found, stateVersion);
  }

  #open(operation: string, key: string): Open {
    if (this.#opened === undefined) throw new StateClosedError(operation, key);
    return this.#opened;
  }
}

class LmdbCollection<T> implements StateCollection<T> {
  readonly #prefix: string;
  readonly #file: string;
  readonly #open: (operation: string, key: string) => Open;

  constructor(name: string, file: string, open: (operation: string, key: string) => Open) {
    this.#prefix = `${name}/`;
    this.#file = file;
    this.#open = open;
  }

  all(): readonly { readonly key: string; readonly value: T }[] {
    const { db } = this.#open("list", this.#prefix);
    // "0" follows "/".
    const range = { start: this.#prefix, end: `${this.#prefix.slice(0, -1)}0` };
    return Array.from(db.getRange(range), ({ key, value }) => ({
      key: key.slice(this.#prefix.length),
      value: this.#decode(key, value),
    }));
  }

  get(key: string): T | undefined {
    const full = this.#key(key);
    const stored = this.#open("get", full).db.get(full);
    return stored === undefined ? undefined : this.#decode(full, stored);
  }

  async put(key: string, value: T): Promise<void> {
    const full = this.#key(key);
    const { writer } = this.#open("put", full);
    await writer.write(full, encodeValue(full, value));
  }

  async delete(key: string): Promise<void> {
    const full = this.#key(key);
    await this.#open("delete", full).writer.write(full, undefined);
  }

  #key(key: string): string {
    const full = this.#prefix + key;
    const problem =
      key === ""
        ? "it is empty"
        : Buffer.byteLength(full) > maxKeyBytes
          ? `it has more than ${maxKeyBytes} bytes`
          : hasControlCharacter(key)
            ? "it has control characters"
            : undefined;
    if (problem !== undefined) throw new StateArgumentError(`key ${JSON.stringify(full)}: ${problem}`);
    return full;
  }

  #decode(full: string, stored: Uint8Array): T {
    return decodeValue(`${this.#file} ${full}`, stored) as T;
  }
}

/** Reads every value once. */
function verify(db: Db, file: string): void {
  try {
    for (const { key, value } of db.getRange()) decodeValue(`${file} ${String(key)}`, value);
  } catch (error) {
    if (error instanceof StateError) throw error;
    throw new StateCorruptError(file, error instanceof Error ? error.message : String(error), error);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await openFile(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) < 0x20) return true;
  }
  return false;
}
