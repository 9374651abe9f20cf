import type { CompileResult, MapSpec } from "../../datapath/index.ts";

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
  readonly templates: { readonly lxc?: CompileResult; readonly host?: CompileResult };
  /** Maps of the plugin's own, by C name. */
  readonly maps: readonly MapSpec[];
  /** Grows with every change that needs relinking. */
  readonly revision: number;
}
