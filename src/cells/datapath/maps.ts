import { join } from "node:path";
import type { BpfMap, Datapath, MapSpec, RawMap, TypedMapSpec } from "../../datapath/index.ts";
import { globalMapSpecs, mapSpecByName, scratchMapSpec } from "../../datapath/maps/index.ts";
import type { GlobalMaps, PinLayout, Templates } from "./types.ts";

/** Where an agent keeps its pins below `root`. */
export function pinLayout(root: string): PinLayout {
  return {
    root,
    globals: join(root, "globals"),
    policy: join(root, "policy"),
    attachments: join(root, "attachments"),
    attachment: (name) => join(root, "attachments", name),
    sockets: join(root, "sockets"),
    plugins: join(root, "plugins"),
    plugin: (name) => join(root, "plugins", name),
  };
}

/** Opens, or creates and pins, every map that all programs share. */
export class PinnedGlobalMaps implements GlobalMaps {
  readonly pins: PinLayout;
  readonly raw: Record<string, RawMap> = {};
  readonly #datapath: Datapath;
  readonly #templates: Templates;
  readonly #sizes: Readonly<Record<string, string>>;
  readonly #typed = new Map<string, BpfMap<unknown, unknown>>();

  /** @param sizes entries by map name, where other than usual */
  constructor(
    datapath: Datapath,
    templates: Templates,
    pins: PinLayout,
    sizes: Readonly<Record<string, string>>,
  ) {
    this.pins = pins;
    this.#datapath = datapath;
    this.#templates = templates;
    this.#sizes = sizes;
  }

  /** @throws MapLayoutError when a pinned map has another layout than this version needs */
  open(): void {
    const { bpf } = this.#datapath;
    bpf.ensureBpffs(this.pins.root);
    for (const directory of [this.pins.globals, this.pins.policy]) bpf.makePinDirectory(directory);
    for (const spec of this.#specs()) {
      this.raw[spec.name] = bpf.ensurePinnedMap(spec, join(this.pins.globals, spec.name));
    }
  }

  close(): void {
    for (const map of Object.values(this.raw)) map.close();
  }

  typed<K, V>(name: string): BpfMap<K, V> {
    const known = this.#typed.get(name);
    if (known !== undefined) return known as BpfMap<K, V>;
    const raw = this.raw[name];
    const spec = mapSpecByName(name);
    if (raw === undefined || spec === undefined) throw new Error(`no shared map is called ${name}`);
    const map = this.#datapath.bpf.typed(raw, spec as TypedMapSpec<K, V>);
    this.#typed.set(name, map as BpfMap<unknown, unknown>);
    return map;
  }

  #specs(): readonly MapSpec[] {
    const { bpf } = this.#datapath;
    const maxEntries = Object.fromEntries(
      Object.entries(this.#sizes).map(([name, entries]) => [name, Number(entries)]),
    );
    const scratch = scratchMapSpec(bpf.describeObject(this.#templates.lxc.object));
    return [...globalMapSpecs({ cpus: bpf.cpus, maxEntries }), scratch];
  }
}
