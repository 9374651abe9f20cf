import type { CgroupAttachType, Closeable, Direction, MapSpec } from "../types.ts";
import type { Declarations } from "./c/declarations.ts";
import { failure } from "./errno.ts";
import { Faults } from "./faults.ts";
import { type FakeDevice, FakeNetwork } from "./net/network.ts";
import { CgroupLink, InterfaceLink, MapObject, ProgramObject, type ProgramSource } from "./objects.ts";
import { PinTree } from "./pins.ts";

export interface FakeKernelOptions {
  /** Possible CPUs; 4 unless told. */
  readonly cpus?: number;
  /** Devices of the agent's own namespace; an eth0 in 192.0.2.0/24 unless told. */
  readonly devices?: readonly FakeDevice[];
  /** True: only namespaces made with `network.addNamespace` can be opened. False: opening makes them. */
  readonly strictNamespaces?: boolean;
  /** Where the cgroup2 hierarchy is mounted from the beginning; /sys/fs/cgroup unless told, null for nowhere. */
  readonly cgroup2?: string | null;
}

const DEFAULT_DEVICES: readonly FakeDevice[] = [
  { name: "eth0", cidr: "192.0.2.10/24", gateway: "192.0.2.1" },
];

type EventListener = (data: Buffer, cpu: number) => void;

interface Reader {
  readonly onEvent: EventListener;
  readonly onLost: (count: number) => void;
}

/**
 * What stays when an agent goes: maps, programs, pins, attachments, interfaces. Give the same one to another
 * fake datapath to play a restart.
 */
export class FakeKernel {
  readonly cpus: number;
  readonly faults = new Faults();
  readonly pins = new PinTree();
  readonly network: FakeNetwork;
  /** Mount points of the cgroup2 hierarchy. */
  readonly cgroupMounts = new Set<string>();
  /** Compiled objects by path. */
  readonly objects = new Map<string, Declarations>();
  readonly #maps = new Map<number, MapObject>();
  readonly #programs = new Map<number, ProgramObject>();
  readonly #links = new Set<InterfaceLink>();
  readonly #cgroupLinks = new Set<CgroupLink>();
  readonly #readers = new Map<MapObject, Set<Reader>>();
  #lastId = 0;

  constructor(options: FakeKernelOptions = {}) {
    this.cpus = options.cpus ?? 4;
    const cgroup2 = options.cgroup2 === undefined ? "/sys/fs/cgroup" : options.cgroup2;
    if (cgroup2 !== null) this.cgroupMounts.add(cgroup2);
    this.network = new FakeNetwork({
      devices: options.devices ?? DEFAULT_DEVICES,
      strict: options.strictNamespaces ?? false,
      faults: this.faults,
      onLinkDeleted: (ifindex) => this.#interfaceGone(ifindex),
    });
  }

  /** Makes the next calls of an operation fail; see Faults.failNext. */
  readonly failNext: Faults["failNext"] = (...args) => {
    this.faults.failNext(...args);
  };

  /** Maps that are alive. */
  get maps(): readonly MapObject[] {
    return [...this.#maps.values()];
  }

  /** Programs that are alive. */
  get programs(): readonly ProgramObject[] {
    return [...this.#programs.values()];
  }

  /** Attachments that are alive, on interfaces that are there. */
  get links(): readonly InterfaceLink[] {
    return [...this.#links].filter((link) => link.ifindex !== 0);
  }

  /** Attachments of control groups that are alive. */
  get cgroupLinks(): readonly CgroupLink[] {
    return [...this.#cgroupLinks];
  }

  program(id: number): ProgramObject | undefined {
    return this.#programs.get(id);
  }

  /** @param valueSize bytes of a value as user space sees it */
  createMap(spec: MapSpec, valueSize: number): MapObject {
    const map = new MapObject(this.#nextId(), spec, valueSize, (freed) => {
      this.#maps.delete(freed.id);
      this.#readers.delete(freed);
    });
    this.#maps.set(map.id, map);
    return map;
  }

  createProgram(source: ProgramSource): ProgramObject {
    const program = new ProgramObject(this.#nextId(), source, (freed) => this.#programs.delete(freed.id));
    this.#programs.set(program.id, program);
    return program;
  }

  /** @throws DatapathError ENODEV without the interface */
  createLink(
    place: { readonly mode: "tcx" | "clsact"; readonly ifindex: number; readonly direction: Direction },
    program: ProgramObject,
  ): InterfaceLink {
    if (!this.network.root.hasLink(place.ifindex)) {
      const object = `${place.direction} of interface ${place.ifindex}`;
      throw failure(`attach program ${program.source.name} to`, object, "ENODEV");
    }
    const link = new InterfaceLink(place, program, (freed) => this.#links.delete(freed));
    this.#links.add(link);
    return link;
  }

  /** @throws DatapathError EINVAL for a program of another type */
  createCgroupLink(
    place: { readonly cgroup: string; readonly type: CgroupAttachType },
    program: ProgramObject,
  ): CgroupLink {
    if (program.source.section !== `cgroup/${place.type}`) {
      const object = `${place.type} of control group ${place.cgroup}`;
      throw failure(`attach program ${program.source.name} to`, object, "EINVAL");
    }
    const link = new CgroupLink(place, program, (freed) => this.#cgroupLinks.delete(freed));
    this.#cgroupLinks.add(link);
    return link;
  }

  /** The clsact filter on one side of an interface. */
  filterAt(ifindex: number, direction: Direction): InterfaceLink | undefined {
    return [...this.#links].find(
      (link) => link.mode === "clsact" && link.ifindex === ifindex && link.direction === direction,
    );
  }

  /** A reader of a perf event array or ring buffer. */
  addReader(map: MapObject, reader: Reader): Closeable {
    const readers = this.#readers.get(map) ?? new Set();
    this.#readers.set(map, readers.add(reader));
    return { close: () => readers.delete(reader) };
  }

  /** Sends a notification as a program would, into every map of this name: "cilium_events". */
  sendEvent(mapName: string, data: Buffer, cpu = 0): void {
    for (const reader of this.#readersOf(mapName)) reader.onEvent(data, cpu);
  }

  /** Reports notifications as lost. */
  loseEvents(mapName: string, count: number): void {
    for (const reader of this.#readersOf(mapName)) reader.onLost(count);
  }

  #readersOf(mapName: string): readonly Reader[] {
    return [...this.#readers]
      .filter(([map]) => map.spec.name === mapName)
      .flatMap(([, readers]) => [...readers]);
  }

  /** Links outlive their interface as empty shells; filters go with it. */
  #interfaceGone(ifindex: number): void {
    for (const link of [...this.#links]) {
      if (link.ifindex !== ifindex) continue;
      link.ifindex = 0;
      if (link.mode === "clsact") link.release();
    }
  }

  #nextId(): number {
    this.#lastId++;
    return this.#lastId;
  }
}
