import { join } from "node:path";
import type { BpfMap, Datapath, MapSpec, RawMap, TypedMapSpec } from "../../datapath/index.ts";
import { mapSpecs } from "../../datapath/maps/index.ts";
import type { GlobalMaps, PinLayout } from "./types.ts";

/** Where an agent keeps its pins below `root`. */
export function pinLayout(root: string): PinLayout {
  return {
    root,
    globals: join(root, "globals"),
    policy: join(root, "policy"),
    attachment: (name) => join(root, "attachments", name),
    plugin: (name) => join(root, "plugins", name),
  };
}

/** Opens, or creates and pins, every map that all programs share. */
export class PinnedGlobalMaps implements GlobalMaps {
  readonly pins: PinLayout;
  readonly raw: Record<string, RawMap> = {};
  readonly #datapath: Datapath;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #typed = new Map<string, BpfMap<unknown, unknown>>();

  constructor(datapath: Datapath, pins: PinLayout, sizes: ReadonlyMap<string, number>) {
    this.pins = pins;
    this.#datapath = datapath;
    this.#sizes = sizes;
  }

  /** @throws MapLayoutError when a pinned map has another layout than this version needs */
  open(): void {
    const { bpf } = this.#datapath;
    bpf.ensureBpffs(this.pins.root);
    for (const directory of [this.pins.globals, this.pins.policy]) bpf.makePinDirectory(directory);
    for (const spec of sharedMaps()) {
      this.raw[spec.name] = bpf.ensurePinnedMap(this.#sized(spec), join(this.pins.globals, spec.name));
    }
  }

  close(): void {
    for (const map of Object.values(this.raw)) map.close();
  }

  typed<K, V>(name: string): BpfMap<K, V> {
    const known = this.#typed.get(name);
    if (known !== undefined) return known as BpfMap<K, V>;
    const raw = this.raw[name];
    const spec = mapSpecs[name];
    if (raw === undefined || spec === undefined) throw new Error(`no shared map is called ${name}`);
    const map = this.#datapath.bpf.typed(raw, spec as unknown as TypedMapSpec<K, V>);
    this.#typed.set(name, map as BpfMap<unknown, unknown>);
    return map;
  }

  #sized(spec: MapSpec): MapSpec {
    const wanted = this.#sizes.get(spec.name);
    if (wanted !== undefined) return { ...spec, maxEntries: wanted };
    // The kernel wants one slot a CPU in the array of perf buffers.
    if (spec.name === "cilium_events") return { ...spec, maxEntries: this.#datapath.bpf.cpus };
    return spec;
  }
}

/** Every map of the registry but those that belong to one endpoint. */
function sharedMaps(): readonly MapSpec[] {
  return Object.values(mapSpecs).filter((spec) => spec.name !== "cilium_policy");
}
