import { randomBytes } from "node:crypto";
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Dependency, hashFiles } from "./digest.ts";

/** What is known of the last compilation of an input: enough to tell whether it would give the same again. */
export interface Manifest {
  readonly digest: string;
  readonly dependencies: readonly Dependency[];
  /** Files that did not exist, and would be included in place of a dependency if they did. */
  readonly absent: readonly string[];
  readonly warnings: string;
}

/**
 * The cache on disk: `objects/<digest>.o` and `manifests/<input>.json`. Files appear by renaming, so that
 * several agents can share a cache and a crash leaves nothing half written in place.
 */
export class CompileCache {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async prepare(): Promise<void> {
    for (const name of ["objects", "manifests"]) await mkdir(join(this.#root, name), { recursive: true });
  }

  objectPath(digest: string): string {
    return join(this.#root, "objects", `${digest}.o`);
  }

  async hasObject(digest: string): Promise<boolean> {
    return exists(this.objectPath(digest));
  }

  /** A name next to the object, on the same file system, that no other compilation uses. */
  temporaryPath(digest: string): string {
    return `${this.objectPath(digest)}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`;
  }

  /** Puts a finished object into its place. */
  async publish(temporary: string, digest: string): Promise<void> {
    await rename(temporary, this.objectPath(digest));
  }

  async discard(temporary: string): Promise<void> {
    await rm(temporary, { force: true });
  }

  /** The manifest of an input, when its object is there and all that went into it is still the same. */
  async lookup(inputKey: string): Promise<Manifest | undefined> {
    const manifest = await this.#readManifest(inputKey);
    if (manifest === undefined || !(await this.hasObject(manifest.digest))) return undefined;
    return (await isCurrent(manifest)) ? manifest : undefined;
  }

  async store(inputKey: string, manifest: Manifest): Promise<void> {
    const path = this.#manifestPath(inputKey);
    const temporary = `${path}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`;
    await writeFile(temporary, JSON.stringify(manifest));
    await rename(temporary, path);
  }

  #manifestPath(inputKey: string): string {
    return join(this.#root, "manifests", `${inputKey}.json`);
  }

  /** An absent or damaged manifest costs a compilation, nothing more. */
  async #readManifest(inputKey: string): Promise<Manifest | undefined> {
    try {
      const manifest: unknown = JSON.parse(await readFile(this.#manifestPath(inputKey), "utf8"));
      return isManifest(manifest) ? manifest : undefined;
    } catch {
      return undefined;
    }
  }
}

async function isCurrent(manifest: Manifest): Promise<boolean> {
  try {
    const now = await hashFiles(manifest.dependencies.map((dependency) => dependency.path));
    if (now.some(({ hash }, i) => hash !== manifest.dependencies[i]?.hash)) return false;
  } catch {
    // A file that can no longer be read is a change; the compiler will say which.
    return false;
  }
  const appeared = await Promise.all(manifest.absent.map(exists));
  return !appeared.includes(true);
}

function isManifest(value: unknown): value is Manifest {
  const candidate = value as Partial<Manifest> | null;
  return (
    typeof candidate === "object" &&
    candidate !== null &&
    /^[0-9a-f]{64}$/.test(candidate.digest ?? "") &&
    Array.isArray(candidate.dependencies) &&
    Array.isArray(candidate.absent) &&
    typeof candidate.warnings === "string"
  );
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
