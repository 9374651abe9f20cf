import { mapSpecs } from "../../datapath/maps/index.ts";

const largest = 16 * 1024 * 1024;

/**
 * Reads `--map-sizes`: entries by map name.
 * @throws Error naming the entry that is wrong
 */
export function parseSizes(sizes: Readonly<Record<string, string>>): ReadonlyMap<string, number> {
  const parsed = new Map<string, number>();
  for (const [name, text] of Object.entries(sizes)) {
    if (mapSpecs[name] === undefined) {
      throw new Error(`map-sizes: no map is called ${name}; known: ${Object.keys(mapSpecs).sort().join(", ")}`);
    }
    const entries = Number(text);
    if (!Number.isInteger(entries) || entries < 1 || entries > largest) {
      throw new Error(`map-sizes: ${name}=${text} is no number of entries from 1 to ${largest}`);
    }
    parsed.set(name, entries);
  }
  return parsed;
}
