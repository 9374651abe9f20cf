import type { RawMap } from "../../datapath/index.ts";
import type { Table } from "../../table/index.ts";
import type { Plugin } from "../plugin-table/index.ts";

export type * from "../plugin-table/types.ts";

/** Registers, enables and configures plugins. */
export interface PluginRegistry {
  readonly table: Table<Plugin, string>;
  /**
   * Reads, validates and compiles the directory; a registered name is upgraded in place and stays enabled if it
   * was. A new one is not enabled unless `enable`. Resolves when stored and, if enabled, linked everywhere. @throws RefusalError with line numbers,
   * clang's or the verifier's words
   */
  register(
    directory: string,
    options: {
      readonly enable?: boolean;
      readonly priority?: number;
      readonly config?: Readonly<Record<string, string>>;
      /** Keep (default) or drop the old map when its layout changed. */
      readonly replaceMaps?: boolean;
    },
    signal?: AbortSignal,
  ): Promise<Plugin>;
  enable(name: string, signal?: AbortSignal): Promise<Plugin>;
  disable(name: string, signal?: AbortSignal): Promise<Plugin>;
  /** Changes priority or config values of a registered plugin; relinks when it is enabled. */
  configure(
    name: string,
    change: { readonly priority?: number; readonly config?: Readonly<Record<string, string>> },
    signal?: AbortSignal,
  ): Promise<Plugin>;
  unregister(name: string, signal?: AbortSignal): Promise<void>;
  /** The plugin's own maps, opened (created and pinned when absent), by C name. */
  openMaps(plugin: Plugin): Readonly<Record<string, RawMap>>;
}
