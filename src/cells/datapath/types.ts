import type { BpfMap, CompileResult, RawMap } from "../../datapath/index.ts";

/** Paths of everything on the agent's bpffs. */
export interface PinLayout {
  readonly root: string;
  /** Shared maps: `<root>/globals/<map>`. */
  readonly globals: string;
  /** `<root>/policy/<map>`. */
  readonly policy: string;
  /** `<root>/attachments`. */
  readonly attachments: string;
  /** `<root>/attachments/<attachment>/…`, e.g. `lxc-12`, `netdev-eth0`, `host-cilium_host`. */
  attachment(name: string): string;
  /** `<root>/sockets/<type>`: links of the programs of a control group. */
  readonly sockets: string;
  /** `<root>/plugins`. */
  readonly plugins: string;
  /** `<root>/plugins/<plugin>/<map>`. */
  plugin(name: string): string;
}

/** The maps shared by all programs, open for the life of the agent. */
export interface GlobalMaps {
  readonly pins: PinLayout;
  /** By C name, for `CollectionSpec.maps`. */
  readonly raw: Readonly<Record<string, RawMap>>;
  /** @throws when no such map exists */
  typed<K, V>(name: string): BpfMap<K, V>;
}

/** The IP families of pods, besides IPv4. */
export interface PodFamilies {
  readonly ipv6: boolean;
}

/** Compiled templates of the core's objects. */
export interface Templates {
  /** Ready after start. */
  readonly lxc: CompileResult;
  readonly host: CompileResult;
  readonly overlay: CompileResult;
  /**
   * Compiles one more object of the core's, by its file in `bpf/`.
   * @throws CompileError; LayoutDriftError when C and TypeScript disagree about a struct
   */
  object(file: string): Promise<CompileResult>;
}
