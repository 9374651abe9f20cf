/** Kernel objects: they live as long as somebody refers to them. Handles, pins and other objects do. */
import { createHash } from "node:crypto";
import {
  type CgroupAttachType,
  type Direction,
  type MapInfo,
  type MapSpec,
  MapType,
  type ProgramInfo,
} from "../types.ts";
import { createStore, type MapStore } from "./stores.ts";

/** The kernel keeps 15 bytes of a name. */
const KERNEL_NAME_BYTES = 15;

abstract class Counted {
  #references = 0;

  hold(): void {
    this.#references++;
  }

  release(): void {
    this.#references--;
    if (this.#references === 0) this.freed();
  }

  /** Nobody refers to it any more. */
  protected abstract freed(): void;
}

/** A map. Handles and pins are its users; programs only keep it alive. */
export class MapObject extends Counted {
  readonly id: number;
  readonly spec: MapSpec;
  readonly info: MapInfo;
  /** Undefined for PROG_ARRAY, ARRAY_OF_MAPS, PERF_EVENT_ARRAY and RINGBUF. */
  readonly store: MapStore | undefined;
  /** Programs in the slots of a PROG_ARRAY. */
  readonly slots = new Map<number, ProgramObject>();
  /** Maps in the slots of an array of maps. */
  readonly inner = new Map<number, MapObject>();
  readonly #freed: (map: MapObject) => void;
  #users = 0;

  constructor(id: number, spec: MapSpec, valueSize: number, freed: (map: MapObject) => void) {
    super();
    const { type, keySize, maxEntries } = spec;
    this.id = id;
    this.spec = { ...spec, flags: spec.flags ?? 0 };
    const name = spec.name.slice(0, KERNEL_NAME_BYTES);
    this.info = { id, name, type, keySize, valueSize: spec.valueSize, maxEntries, flags: spec.flags ?? 0 };
    this.store = createStore(spec, valueSize);
    this.#freed = freed;
  }

  /** For handles and pins. */
  use(): void {
    this.#users++;
    this.hold();
  }

  /** The kernel empties a PROG_ARRAY that has no user left, or its programs and it would keep each other for ever. */
  unuse(): void {
    this.#users--;
    if (this.#users === 0 && this.spec.type === MapType.progArray) this.clearSlots();
    this.release();
  }

  setSlot(slot: number, program: ProgramObject): void {
    program.hold();
    this.slots.get(slot)?.release();
    this.slots.set(slot, program);
  }

  clearSlot(slot: number): boolean {
    const program = this.slots.get(slot);
    this.slots.delete(slot);
    program?.release();
    return program !== undefined;
  }

  clearSlots(): void {
    for (const slot of [...this.slots.keys()]) this.clearSlot(slot);
  }

  setInner(slot: number, map: MapObject): void {
    map.hold();
    this.inner.get(slot)?.release();
    this.inner.set(slot, map);
  }

  clearInner(slot: number): boolean {
    const map = this.inner.get(slot);
    this.inner.delete(slot);
    map?.release();
    return map !== undefined;
  }

  protected override freed(): void {
    for (const slot of [...this.inner.keys()]) this.clearInner(slot);
    this.#freed(this);
  }
}

/** What a program was loaded from. */
export interface ProgramSource {
  readonly name: string;
  /** Path of the object. */
  readonly object: string;
  readonly section: string;
  readonly insns: number;
  /** Values of the object's constants, by name; those not set are absent. */
  readonly constants: ReadonlyMap<string, Buffer>;
  /** The object's maps by C name. */
  readonly maps: ReadonlyMap<string, MapObject>;
}

/** A loaded program: a record that never runs. */
export class ProgramObject extends Counted {
  readonly id: number;
  readonly source: ProgramSource;
  readonly #freed: (program: ProgramObject) => void;

  constructor(id: number, source: ProgramSource, freed: (program: ProgramObject) => void) {
    super();
    this.id = id;
    this.source = source;
    this.#freed = freed;
    for (const map of source.maps.values()) map.hold();
  }

  info(): ProgramInfo {
    const { name, section, insns, maps } = this.source;
    return {
      id: this.id,
      name: name.slice(0, KERNEL_NAME_BYTES),
      type: programType(section),
      tag: this.#tag(),
      xlatedBytes: insns * 8,
      jitedBytes: insns * 6,
      verifiedInsns: insns,
      mapIds: [...new Set([...maps.values()].map((map) => map.id))],
      runTimeNs: 0n,
      runCount: 0n,
    };
  }

  protected override freed(): void {
    for (const map of this.source.maps.values()) map.release();
    this.#freed(this);
  }

  /** Of the code and the constants in it, as in the kernel. */
  #tag(): string {
    const hash = createHash("sha1").update(this.source.object).update(this.source.name);
    for (const [name, value] of this.source.constants) hash.update(name).update(value);
    return hash.digest("hex").slice(0, 16);
  }
}

/** BPF_PROG_TYPE_SCHED_CLS, _CGROUP_SOCK and _CGROUP_SOCK_ADDR, as libbpf derives them from the section. */
function programType(section: string): number {
  if (!section.startsWith("cgroup/")) return 3;
  return section === "cgroup/sock_release" || section.startsWith("cgroup/post_bind") ? 9 : 18;
}

/** A program in its place, held by it. */
export abstract class LinkObject extends Counted {
  #program: ProgramObject;

  constructor(program: ProgramObject) {
    super();
    this.#program = program;
    program.hold();
  }

  get program(): ProgramObject {
    return this.#program;
  }

  replace(program: ProgramObject): void {
    program.hold();
    this.#program.release();
    this.#program = program;
  }

  protected override freed(): void {
    this.#program.release();
  }
}

/** A program on one side of an interface, as a TCX link or a clsact filter. */
export class InterfaceLink extends LinkObject {
  readonly mode: "tcx" | "clsact";
  readonly direction: Direction;
  /** 0 once the interface is gone. */
  ifindex: number;
  readonly #freed: (link: InterfaceLink) => void;

  constructor(
    place: { readonly mode: "tcx" | "clsact"; readonly ifindex: number; readonly direction: Direction },
    program: ProgramObject,
    freed: (link: InterfaceLink) => void,
  ) {
    super(program);
    this.mode = place.mode;
    this.direction = place.direction;
    this.ifindex = place.ifindex;
    this.#freed = freed;
  }

  protected override freed(): void {
    super.freed();
    this.#freed(this);
  }
}

/** A program of a control group. */
export class CgroupLink extends LinkObject {
  readonly cgroup: string;
  readonly type: CgroupAttachType;
  readonly #freed: (link: CgroupLink) => void;

  constructor(
    place: { readonly cgroup: string; readonly type: CgroupAttachType },
    program: ProgramObject,
    freed: (link: CgroupLink) => void,
  ) {
    super(program);
    this.cgroup = place.cgroup;
    this.type = place.type;
    this.#freed = freed;
  }

  protected override freed(): void {
    super.freed();
    this.#freed(this);
  }
}
