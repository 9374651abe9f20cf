import { dirname, isAbsolute, normalize } from "node:path";
import type { ErrnoName } from "./errno.ts";
import { failure } from "./errno.ts";
import { type LinkObject, MapObject, type ProgramObject } from "./objects.ts";

export type Pinned =
  | { readonly kind: "map"; readonly object: MapObject }
  | { readonly kind: "program"; readonly object: ProgramObject }
  | { readonly kind: "link"; readonly object: LinkObject };

/** The BPF file systems of a fake kernel: mounts, directories and pins. Outlives agents. */
export class PinTree {
  readonly #mounts = new Set<string>();
  readonly #directories = new Set<string>();
  readonly #pins = new Map<string, Pinned>();

  /** True when this call mounted. */
  mount(path: string): boolean {
    this.makeDirectory(path);
    if (this.#isMounted(path)) return false;
    this.#mounts.add(clean(path));
    return true;
  }

  /** Ends all pins below. */
  unmount(path: string): void {
    if (!this.#mounts.delete(clean(path))) return;
    this.remove(path, true);
    this.#directories.add(clean(path));
  }

  makeDirectory(path: string): void {
    for (let at = clean(path); at !== "/"; at = dirname(at)) {
      if (this.#pins.has(at)) throw failure("create directory", path, "EEXIST");
      this.#directories.add(at);
    }
  }

  get(path: string): Pinned | undefined {
    return this.#pins.get(clean(path));
  }

  /** @throws DatapathError as the kernel does: EPERM off a bpffs, ENOENT without the directory, EEXIST */
  add(path: string, pinned: Pinned): void {
    const at = clean(path);
    const errno = this.#refusal(at);
    if (errno !== undefined) throw failure(`pin ${pinned.kind} at`, path, errno);
    hold(pinned);
    this.#pins.set(at, pinned);
  }

  /** A pin, an empty directory, or all of a directory; absent is no error. */
  remove(path: string, recursive: boolean): void {
    const at = clean(path);
    const pinned = this.#pins.get(at);
    if (pinned !== undefined) {
      this.#pins.delete(at);
      drop(pinned);
      return;
    }
    const inside = this.#below(at);
    if (inside.length > 0 && !recursive) throw failure("remove pin", path, "ENOTEMPTY");
    for (const name of inside) {
      const content = this.#pins.get(name);
      this.#pins.delete(name);
      this.#directories.delete(name);
      if (content !== undefined) drop(content);
    }
    this.#directories.delete(at);
  }

  /** Names directly in a directory, sorted. */
  list(directory: string): readonly string[] {
    const prefix = `${clean(directory)}/`;
    const names = this.#below(clean(directory)).map((path) => path.slice(prefix.length));
    return names.filter((name) => !name.includes("/")).sort();
  }

  #refusal(path: string): ErrnoName | undefined {
    if (!this.#directories.has(dirname(path))) return "ENOENT";
    if (this.#pins.has(path) || this.#directories.has(path)) return "EEXIST";
    return this.#isMounted(path) ? undefined : "EPERM";
  }

  #isMounted(path: string): boolean {
    const at = clean(path);
    return [...this.#mounts].some((mount) => at === mount || at.startsWith(`${mount}/`));
  }

  #below(path: string): readonly string[] {
    return [...this.#directories, ...this.#pins.keys()].filter((name) => name.startsWith(`${path}/`));
  }
}

function hold(pinned: Pinned): void {
  if (pinned.object instanceof MapObject) pinned.object.use();
  else pinned.object.hold();
}

function drop(pinned: Pinned): void {
  if (pinned.object instanceof MapObject) pinned.object.unuse();
  else pinned.object.release();
}

function clean(path: string): string {
  if (!isAbsolute(path)) throw failure("use pin path", path, "EINVAL", "want an absolute path");
  return normalize(path).replace(/(?<=.)\/$/, "");
}
