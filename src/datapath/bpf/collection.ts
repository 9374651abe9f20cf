import type { Collection } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { bpf_map__fd, type ObjectMapPointer } from "./ffi/object.ts";
import { bpf_program__fd, type ProgramPointer } from "./ffi/program.ts";
import { KernelMap } from "./map.ts";
import { KernelProgram } from "./program.ts";

interface Loaded {
  readonly programs: readonly { readonly name: string; readonly pointer: ProgramPointer }[];
  readonly created: readonly { readonly name: string; readonly pointer: ObjectMapPointer }[];
}

/** What one load brought into the kernel, independent of the libbpf object it came from. */
export class KernelCollection implements Collection {
  readonly programs: ReadonlyMap<string, KernelProgram>;
  readonly maps: ReadonlyMap<string, KernelMap>;
  readonly stats: Collection["stats"];

  private constructor(
    programs: ReadonlyMap<string, KernelProgram>,
    maps: ReadonlyMap<string, KernelMap>,
    stats: Collection["stats"],
  ) {
    this.programs = programs;
    this.maps = maps;
    this.stats = stats;
  }

  /** Duplicates the descriptors of a loaded object, which may be closed afterwards. @throws DatapathError */
  static take(loaded: Loaded, stats: Collection["stats"]): KernelCollection {
    const programs = new Map<string, KernelProgram>();
    const maps = new Map<string, KernelMap>();
    const collection = new KernelCollection(programs, maps, stats);
    try {
      for (const { name, pointer } of loaded.programs) {
        const object = `program ${name}`;
        const fd = OwnedFd.duplicate(checked(bpf_program__fd(pointer), "take", object), object);
        programs.set(name, new KernelProgram(fd, name));
      }
      for (const { name, pointer } of loaded.created) {
        const object = `map ${name}`;
        const fd = OwnedFd.duplicate(checked(bpf_map__fd(pointer), "take", object), object);
        maps.set(name, new KernelMap(fd, name));
      }
      return collection;
    } catch (error) {
      collection.close();
      throw error;
    }
  }

  close(): void {
    for (const program of this.programs.values()) program.close();
    for (const map of this.maps.values()) map.close();
  }
}
