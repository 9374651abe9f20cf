// Reads a settings file: YAML, a flat mapping of flag names to values.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { SettingsFileError } from "./errors.ts";

const require = createRequire(import.meta.url);

export interface SettingsFile {
  readonly values: ReadonlyMap<string, unknown>;
  readonly problems: readonly Error[];
}

/**
 * Reads the file; without a path there is nothing to read. Scalars stay the text they were written as (YAML's
 * "failsafe" schema), so that `1.10` and `on` reach the flag's own parser unchanged.
 */
export function readSettingsFile(path: string | undefined): SettingsFile {
  if (path === undefined) return { values: new Map(), problems: [] };
  try {
    // Most agents have no such file, and the parser has seventy modules.
    const { parseDocument } = require("yaml") as typeof import("yaml");
    const document = parseDocument(readFileSync(path, "utf8"), { schema: "failsafe" });
    if (document.errors.length > 0) throw document.errors[0];
    const content: unknown = document.toJS();
    if (content === null || content === "") return { values: new Map(), problems: [] };
    if (typeof content !== "object" || Array.isArray(content)) throw new TypeError("it is not a mapping");
    return { values: new Map(Object.entries(content)), problems: [] };
  } catch (cause) {
    return { values: new Map(), problems: [new SettingsFileError(path, cause)] };
  }
}
