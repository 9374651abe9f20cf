/** Object files on disk: read once, opened through libbpf as often as needed. */
import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { DatapathError } from "../errors.ts";
import { addressOf } from "./ffi/common.ts";
import { errno } from "./ffi/libraries.ts";
import { bpf_object__close, bpf_object__open_mem, type ObjectPointer, objectOpenOpts } from "./ffi/object.ts";
import { withMessages } from "./messages.ts";
import { type ObjectContents, readContents } from "./object-contents.ts";

/** Distinct objects kept: the core's templates and plugins of one node fit many times over. */
const CACHED_FILES = 64;

const cache = new Map<string, ObjectFile>();

/** One version of an object file. */
export class ObjectFile {
  readonly path: string;
  /** Modification time and size: another version of the file has another stamp. */
  readonly stamp: string;
  readonly #bytes: Buffer;
  /** C string that libbpf prefixes to names of `.rodata` and `.bss` maps; must not contain dots. */
  readonly #name: Buffer;
  #contents: ObjectContents | undefined;

  constructor(path: string, stamp: string, bytes: Buffer) {
    this.path = path;
    this.stamp = stamp;
    this.#bytes = bytes;
    this.#name = Buffer.from(`${basename(path).replace(/\..*$/, "").replace(/\W/g, "_")}\0`);
  }

  /** What is in it, read on first use. @throws DatapathError */
  get contents(): ObjectContents {
    this.#contents ??= this.open((object) => readContents(object, this.path));
    return this.#contents;
  }

  /** Opens it for the duration of `use`; every libbpf pointer of it is dead afterwards. @throws DatapathError */
  open<T>(use: (object: ObjectPointer) => T): T {
    const object = this.#open() ?? this.#explainFailure();
    try {
      return use(object);
    } finally {
      bpf_object__close(object);
    }
  }

  /** As `open`, for a use that takes its time. @throws DatapathError */
  async openFor<T>(use: (object: ObjectPointer) => Promise<T>): Promise<T> {
    const object = this.#open() ?? this.#explainFailure();
    try {
      return await use(object);
    } finally {
      bpf_object__close(object);
    }
  }

  #open(): ObjectPointer | null {
    return bpf_object__open_mem(this.#bytes, this.#bytes.length, objectOpenOpts(addressOf(this.#name)));
  }

  /** Opens once more, listening: silence is what makes the usual case fast. */
  #explainFailure(): ObjectPointer {
    const { result, messages } = withMessages(() => ({ object: this.#open(), errno: errno() }));
    if (result.object !== null) return result.object;
    throw new DatapathError({
      operation: "open object",
      object: this.path,
      errno: result.errno,
      detail: messages.join("; "),
    });
  }
}

/** The file's current version. @throws DatapathError when it cannot be read */
export function objectFile(path: string): ObjectFile {
  try {
    const { mtimeNs, size } = statSync(path, { bigint: true });
    const stamp = `${mtimeNs}-${size}`;
    const known = cache.get(path);
    if (known?.stamp === stamp) return known;
    const file = new ObjectFile(path, stamp, readFileSync(path));
    // Insertion order is age: a re-read file goes to the young end.
    cache.delete(path);
    if (cache.size >= CACHED_FILES) cache.delete(cache.keys().next().value!);
    cache.set(path, file);
    return file;
  } catch (error) {
    throw DatapathError.from(error, "read object", path);
  }
}
