import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type BpfMap,
  type Datapath,
  MapLayoutError,
  type MapSpec,
  type RawMap,
  type TypedMapSpec,
} from "../../datapath/index.ts";
import {
  globalMapSpecs,
  hookStatsMap,
  mapSpecByName,
  preallocatedForIpv6,
  SCRATCH_MAP,
  scratchMapSpec,
  tunnelMap,
} from "../../datapath/maps/index.ts";
import { CALL_POLICY_MAP } from "../../datapath/pipeline.ts";
import { SettingConflictError } from "../../hive/index.ts";
import type { GlobalMaps, PinLayout, PodFamilies, Templates } from "./types.ts";

/** Entries of a map that programs name and nobody uses. */
const unused = 1;

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

/**
 * Maps of another layout that are made anew, each with others that must go with it: running programs keep theirs until
 * they are replaced, and nothing is lost that lasts.
 *
 * - Plugins begin to count anew.
 * - What the agent says of the tunnel is said anew.
 * - Programs of different versions have no state in common, so none may call the other.
 */
const REPLACED: Readonly<Record<string, readonly string[]>> = {
  [hookStatsMap.name]: [],
  [tunnelMap.name]: [],
  [SCRATCH_MAP]: [CALL_POLICY_MAP],
};

/** Opens, or creates and pins, every map that all programs share. */
export class PinnedGlobalMaps implements GlobalMaps {
  readonly pins: PinLayout;
  readonly raw: Record<string, RawMap> = {};
  /** What programs of an earlier version may still use. */
  readonly #replaced: RawMap[] = [];
  readonly #datapath: Datapath;
  readonly #templates: Templates;
  readonly #sizes: Readonly<Record<string, string>>;
  readonly #families: PodFamilies;
  readonly #typed = new Map<string, BpfMap<unknown, unknown>>();

  /**
   * @param sizes entries by map name, where other than usual
   * @param families those that pods have: what nobody uses takes no memory
   */
  constructor(
    datapath: Datapath,
    templates: Templates,
    pins: PinLayout,
    sizes: Readonly<Record<string, string>>,
    families: PodFamilies,
  ) {
    this.pins = pins;
    this.#datapath = datapath;
    this.#templates = templates;
    this.#sizes = sizes;
    this.#families = families;
  }

  /**
   * @throws SettingConflictError when a pinned map has another size than is wanted; MapLayoutError when it has another
   * layout than this version needs
   */
  open(): void {
    const { bpf } = this.#datapath;
    bpf.ensureBpffs(this.pins.root);
    for (const directory of [this.pins.globals, this.pins.policy]) bpf.makePinDirectory(directory);
    for (const spec of this.#specs()) {
      this.raw[spec.name] = this.#ensure(spec, join(this.pins.globals, spec.name));
    }
  }

  #ensure(spec: MapSpec, path: string): RawMap {
    const { bpf } = this.#datapath;
    try {
      return bpf.ensurePinnedMap(spec, path);
    } catch (error) {
      if (!(error instanceof MapLayoutError)) throw error;
      const [want, have] = [error.expected.maxEntries, error.actual.maxEntries];
      // IPv6 comes or goes: what runs keeps the map that it has until it is replaced, and nothing in there is missed.
      if (preallocatedForIpv6.has(spec.name) && want !== have && (want === unused || have === unused)) {
        bpf.unpin(path);
        return bpf.ensurePinnedMap(spec, path);
      }
      const others = REPLACED[spec.name];
      if (others !== undefined) {
        for (const name of [spec.name, ...others]) this.#replace(join(this.pins.globals, name));
        return bpf.ensurePinnedMap(spec, path);
      }
      const { maxEntries: _, ...expected } = error.expected;
      const { maxEntries: __, ...actual } = error.actual;
      if (!isDeepStrictEqual(expected, actual)) throw error;
      const why = `${spec.name} has ${have} entries and is to have ${want}: it is made anew after waggle cleanup only`;
      throw new SettingConflictError("map-sizes", why);
    }
  }

  /** The kernel empties an array of programs that nobody holds: whoever still runs is to find its own. */
  #replace(path: string): void {
    const { bpf } = this.#datapath;
    const map = bpf.openPinnedMap(path);
    if (map !== undefined) this.#replaced.push(map);
    bpf.unpin(path);
  }

  close(): void {
    for (const map of [...Object.values(this.raw), ...this.#replaced]) map.close();
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
    if (!this.#families.ipv6) for (const name of preallocatedForIpv6) maxEntries[name] = unused;
    const scratch = scratchMapSpec(bpf.describeObject(this.#templates.lxc.object), bpf.cpus);
    return [scratch, ...globalMapSpecs({ cpus: bpf.cpus, maxEntries })];
  }
}
