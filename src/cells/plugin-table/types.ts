import type { Observable } from "rxjs";
import type { CompileResult, MapSpec } from "../../datapath/index.ts";
import type { ObjectKind } from "../../datapath/pipeline.ts";

export type AttachmentPolicy = "Always" | "BestEffort";

/** A constant the plugin takes, declared in plugin.yaml. */
export interface PluginConfigField {
  readonly name: string;
  readonly type: "u8" | "u16" | "u32" | "u64" | "bool";
  readonly default: bigint;
  readonly min: bigint;
  readonly max: bigint;
  readonly description: string;
}

export interface PluginHook {
  /** Name of the hook point. */
  readonly point: string;
  /** Names of plugins that must come after, or before, this one. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/**
 * How a member of a record is stored. Numbers u8 to u64 are in the machine's byte order, be16 and be32 in the
 * network's; ipv4 and ipv6 are addresses as on the wire.
 */
export type PluginRecordFieldType =
  | "u8"
  | "u16"
  | "u32"
  | "u64"
  | "be16"
  | "be32"
  | "ipv4"
  | "ipv6"
  | "bytes";

/** A member of a record that the plugin writes. */
export interface PluginRecordField {
  readonly name: string;
  /** Bytes from the record's beginning. */
  readonly offset: number;
  readonly type: PluginRecordFieldType;
  /** Bytes; follows from the type except for "bytes". */
  readonly size: number;
}

/** What the records of one of the plugin's ring buffers or perf event arrays look like. */
export interface PluginRecordLayout {
  /** C name of the map. */
  readonly map: string;
  readonly fields: readonly PluginRecordField[];
}

/** A validated plugin.yaml. */
export interface PluginManifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly attachmentPolicy: AttachmentPolicy;
  /** Lower runs earlier among plugins that no constraint orders. */
  readonly priority: number;
  readonly hooks: readonly PluginHook[];
  readonly config: readonly PluginConfigField[];
  /** Declared layouts of records; at most one a map. */
  readonly records: readonly PluginRecordLayout[];
}

/** A registered plugin: desired state, and the templates compiled from it. */
export interface Plugin {
  readonly name: string;
  /** Directory it was registered from. */
  readonly directory: string;
  readonly manifest: PluginManifest;
  readonly enabled: boolean;
  /** Priority in force: the manifest's unless the operator set one. */
  readonly priority: number;
  /** Configured values by field name; every declared field is present. */
  readonly config: Readonly<Record<string, bigint>>;
  /** Templates by object kind. */
  readonly templates: Readonly<Partial<Record<ObjectKind, CompileResult>>>;
  /** Maps of the plugin's own, by C name. */
  readonly maps: readonly MapSpec[];
  /**
   * Hook points at which its program is known to leave packets as they are: on this kernel and with this config. What it
   * does at the others cannot be told, or it does write.
   */
  readonly readsOnly: readonly string[];
  /** Grows with every change that needs relinking. */
  readonly revision: number;
}

/** Something that came out of a ring buffer or perf event array of a plugin. */
export type PluginRecordMessage =
  /** The first message: the map is being read from now on. Without fields when no layout is declared. */
  | { readonly kind: "layout"; readonly at: Date; readonly layout: PluginRecordLayout }
  | {
      readonly kind: "record";
      /** When the agent took it out of the buffer. */
      readonly at: Date;
      /** As the program wrote it; the kernel pads records of perf event arrays at their end. */
      readonly data: Buffer;
      /** Where it was written; only perf event arrays know. */
      readonly cpu?: number;
    }
  /** The kernel found a perf event array's buffer full. Ring buffers leave counting to the program. */
  | { readonly kind: "lost"; readonly at: Date; readonly count: number };

/** What plugins report through maps of records. */
export interface PluginRecords {
  /**
   * Reads a map, together with everybody else who does: the first subscriber opens it, the last one closes it, and
   * what lies in a ring buffer from before goes to the first. Nothing is kept for a reader that is slow: it must bound
   * what it queues. Completes when the agent stops.
   *
   * Fails with RefusalError NOT_FOUND (plugin or map, also when the plugin goes while it is read), FAILED_PRECONDITION
   * (the map holds entries), ABORTED when an upgrade of the plugin replaces the map or declares another layout,
   * RESOURCE_EXHAUSTED when too many read it already, UNAVAILABLE before start and after stop.
   */
  records(plugin: string, map: string): Observable<PluginRecordMessage>;
}
