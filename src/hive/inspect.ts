// The shapes in which a hive shows itself; describe.ts and dot.ts fill them.

/** Where a setting's value came from, strongest first. */
export type SettingSource = "override" | "flag" | "env" | "file" | "default";

/** A token a module provides or contributes to. */
export interface TokenInfo {
  readonly name: string;
  readonly kind: "provide" | "supply" | "contribute" | "config" | "decorate";
  readonly private: boolean;
  /** Names of the tokens its constructor takes. */
  readonly needs: readonly string[];
  /** Whether the constructor has run. */
  readonly constructed: boolean;
}

/** One flag with its value. */
export interface ConfigInfo {
  readonly flag: string;
  readonly value: unknown;
  readonly source: SettingSource;
  /** The exact place: `--log-level`, `WAGGLE_LOG_LEVEL`, a file's path … */
  readonly origin: string;
}

export interface HookInfo {
  readonly name: string;
  readonly start: boolean;
  readonly stop: boolean;
  readonly stopFirst: boolean;
  readonly state: "pending" | "starting" | "started" | "stopping" | "stopped" | "failed";
  /** How long start took. */
  readonly startMs?: number;
  readonly stopMs?: number;
}

/** One module of the tree; the root is the hive itself. */
export interface ModuleNode {
  readonly id: string;
  /** Dotted path of ids; the root's is empty. */
  readonly fullId: string;
  readonly title: string;
  readonly provides: readonly TokenInfo[];
  /** One entry an invoke: the tokens it takes. */
  readonly invokes: readonly (readonly string[])[];
  readonly config: readonly ConfigInfo[];
  /** In start order. */
  readonly hooks: readonly HookInfo[];
  readonly modules: readonly ModuleNode[];
}

/** Shows a hive from inside. */
export interface HiveInspector {
  describe(): ModuleNode;
  /** The dependency graph in the language of graphviz. */
  dot(): string;
}
