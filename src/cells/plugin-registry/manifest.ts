import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from "yaml";
import { HOOK_POINTS, hookPoint } from "../../datapath/pipeline.ts";
import { type FieldViolation, invalidArgument } from "../errors.ts";
import { largestPriority, smallestPriority } from "./config.ts";
import type {
  AttachmentPolicy,
  PluginConfigField,
  PluginHook,
  PluginManifest,
  PluginRecordField,
  PluginRecordFieldType,
  PluginRecordLayout,
} from "./types.ts";

/** Name of the manifest in a plugin's directory. */
export const manifestFile = "plugin.yaml";

/** Names of plugins: they become pin directories, so nothing else is let through. */
export const pluginName = /^[a-z0-9]([-a-z0-9]{0,29}[a-z0-9])?$/;

const supportedVersion = "waggle/v1";
const identifier = /^[a-z_][a-z0-9_]{0,47}$/;
const semanticVersion = /^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$/;
const largestDescription = 1000;
const mostFields = 32;
const cIdentifier = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const mostRecordFields = 64;
/** A field further back than this is a mistake. */
const largestRecordOffset = 65_535n;
const largestRecordBytes = 256n;

/** Largest value by type of a config field. */
const typeMaximum: Readonly<Record<PluginConfigField["type"], bigint>> = {
  bool: 1n,
  u8: 0xffn,
  u16: 0xffffn,
  u32: 0xffff_ffffn,
  u64: 0xffff_ffff_ffff_ffffn,
};

/** Bytes by type of a record's field; undefined where the manifest says. */
const recordTypeSizes: Readonly<Record<PluginRecordFieldType, number | undefined>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  be16: 2,
  be32: 4,
  ipv4: 4,
  ipv6: 16,
  bytes: undefined,
};

/**
 * Parses and validates a plugin.yaml.
 *
 * @throws RefusalError INVALID_ARGUMENT with one violation a fault, its field "plugin.yaml:LINE"
 */
export function parseManifest(text: string): PluginManifest {
  const reader = new ManifestReader(text);
  const manifest = reader.manifest();
  if (reader.violations.length > 0 || manifest === undefined) throw invalidArgument(reader.violations);
  return manifest;
}

/** Reads the YAML tree, collecting every fault with its line instead of stopping at the first. */
class ManifestReader {
  readonly violations: FieldViolation[] = [];
  readonly #lines = new LineCounter();
  readonly #root: Node | null;

  constructor(text: string) {
    const document = parseDocument(text, { lineCounter: this.#lines, uniqueKeys: true, intAsBigInt: true });
    for (const error of document.errors) {
      this.#fault(error.pos[0], error.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, ""));
    }
    this.#root = document.errors.length > 0 ? null : document.contents;
    if (document.errors.length === 0 && !isMap(this.#root))
      this.#fault(0, "is no mapping of fields such as name: …");
  }

  manifest(): PluginManifest | undefined {
    if (!isMap(this.#root)) return undefined;
    const root = this.#root;
    this.#knownKeys(root, [
      "apiVersion",
      "name",
      "version",
      "description",
      "attachmentPolicy",
      "priority",
      "hooks",
      "config",
      "records",
    ]);
    const apiVersion = this.#string(root, "apiVersion", "required");
    if (apiVersion !== undefined && apiVersion !== supportedVersion) {
      this.#faultAt(root, "apiVersion", `${apiVersion} is not supported; write ${supportedVersion}`);
    }
    const name = this.#string(root, "name", "required");
    if (name !== undefined && !pluginName.test(name)) {
      this.#faultAt(
        root,
        "name",
        `${JSON.stringify(name)} must be 1 to 31 of a-z, 0-9 and -, not - at either end`,
      );
    }
    const version = this.#string(root, "version", "required");
    if (version !== undefined && !semanticVersion.test(version)) {
      this.#faultAt(root, "version", `${JSON.stringify(version)} is no version such as 1.0.0`);
    }
    const description = this.#string(root, "description", "optional") ?? "";
    if (description.length > largestDescription) {
      this.#faultAt(root, "description", `is longer than ${largestDescription} characters`);
    }
    const policy = this.#string(root, "attachmentPolicy", "optional") ?? "Always";
    if (policy !== "Always" && policy !== "BestEffort") {
      this.#faultAt(root, "attachmentPolicy", `${JSON.stringify(policy)} must be Always or BestEffort`);
    }
    const priority = this.#integer(root, "priority", 100n, BigInt(smallestPriority), BigInt(largestPriority));
    return {
      name: name ?? "",
      version: version ?? "",
      description,
      attachmentPolicy: policy as AttachmentPolicy,
      priority: Number(priority),
      hooks: this.#hooks(root),
      config: this.#config(root),
      records: this.#records(root),
    };
  }

  #hooks(root: YAMLMap): readonly PluginHook[] {
    const items = this.#list(root, "hooks", "required");
    if (items !== undefined && items.length === 0) this.#faultAt(root, "hooks", "names no hook point");
    const hooks: PluginHook[] = [];
    for (const item of items ?? []) {
      if (!isMap(item)) {
        this.#faultIn(item, "each hook is a mapping such as `- point: to_container_pre_ct_v4`");
        continue;
      }
      this.#knownKeys(item, ["point", "before", "after"]);
      const point = this.#string(item, "point", "required");
      if (point === undefined) continue;
      if (hookPoint(point) === undefined) this.#faultAt(item, "point", unknownHook(point));
      if (hooks.some((hook) => hook.point === point))
        this.#faultAt(item, "point", `${point} is listed twice`);
      hooks.push({ point, before: this.#names(item, "before"), after: this.#names(item, "after") });
    }
    return hooks;
  }

  #names(hook: YAMLMap, key: string): readonly string[] {
    const names: string[] = [];
    for (const item of this.#list(hook, key, "optional") ?? []) {
      const value = isScalar(item) ? item.value : undefined;
      if (typeof value === "string" && pluginName.test(value)) names.push(value);
      else this.#faultIn(item, `${key}: ${String(item)} is no plugin name`);
    }
    return names;
  }

  #config(root: YAMLMap): readonly PluginConfigField[] {
    const items = this.#list(root, "config", "optional") ?? [];
    if (items.length > mostFields) this.#faultAt(root, "config", `has more than ${mostFields} fields`);
    const fields: PluginConfigField[] = [];
    for (const item of items) {
      if (!isMap(item)) {
        this.#faultIn(item, "each config field is a mapping with name and type");
        continue;
      }
      const field = this.#field(item);
      if (field === undefined) continue;
      if (fields.some(({ name }) => name === field.name)) {
        this.#faultAt(item, "name", `${field.name} is declared twice`);
      }
      fields.push(field);
    }
    return fields;
  }

  #field(item: YAMLMap): PluginConfigField | undefined {
    this.#knownKeys(item, ["name", "type", "default", "min", "max", "description"]);
    const name = this.#string(item, "name", "required");
    const type = this.#string(item, "type", "required");
    if (name === undefined || type === undefined) return undefined;
    if (!identifier.test(name)) {
      this.#faultAt(item, "name", `${JSON.stringify(name)} is no C identifier in lower case`);
    }
    if (!Object.hasOwn(typeMaximum, type)) {
      this.#faultAt(
        item,
        "type",
        `${JSON.stringify(type)} must be one of ${Object.keys(typeMaximum).join(", ")}`,
      );
      return undefined;
    }
    const fieldType = type as PluginConfigField["type"];
    const limit = typeMaximum[fieldType];
    const min = this.#integer(item, "min", 0n, 0n, limit);
    const max = this.#integer(item, "max", limit, min, limit);
    return {
      name,
      type: fieldType,
      min,
      max,
      default: this.#integer(item, "default", min, min, max),
      description: this.#string(item, "description", "optional") ?? "",
    };
  }

  #records(root: YAMLMap): readonly PluginRecordLayout[] {
    const layouts: PluginRecordLayout[] = [];
    for (const item of this.#list(root, "records", "optional") ?? []) {
      if (!isMap(item)) {
        this.#faultIn(item, "each layout of records is a mapping with map and fields");
        continue;
      }
      this.#knownKeys(item, ["map", "fields"]);
      const map = this.#string(item, "map", "required");
      if (map !== undefined && !cIdentifier.test(map)) {
        this.#faultAt(item, "map", `${JSON.stringify(map)} is no C identifier`);
      }
      if (layouts.some((layout) => layout.map === map)) {
        this.#faultAt(item, "map", `${map} has two layouts`);
      }
      layouts.push({ map: map ?? "", fields: this.#recordFields(item) });
    }
    return layouts;
  }

  #recordFields(layout: YAMLMap): readonly PluginRecordField[] {
    const items = this.#list(layout, "fields", "required");
    if (items !== undefined && (items.length === 0 || items.length > mostRecordFields)) {
      this.#faultAt(layout, "fields", `must be 1 to ${mostRecordFields} fields`);
    }
    const fields: PluginRecordField[] = [];
    for (const item of items ?? []) {
      if (!isMap(item)) {
        this.#faultIn(item, "each field of a record is a mapping with name, offset and type");
        continue;
      }
      const field = this.#recordField(item);
      if (field === undefined) continue;
      if (fields.some(({ name }) => name === field.name)) {
        this.#faultAt(item, "name", `${field.name} is declared twice`);
      }
      fields.push(field);
    }
    return fields;
  }

  #recordField(item: YAMLMap): PluginRecordField | undefined {
    this.#knownKeys(item, ["name", "offset", "type", "size"]);
    const name = this.#string(item, "name", "required");
    const type = this.#string(item, "type", "required");
    if (this.#pair(item, "offset") === undefined) this.#faultIn(item, "offset is missing");
    const offset = Number(this.#integer(item, "offset", 0n, 0n, largestRecordOffset));
    if (name !== undefined && !identifier.test(name)) {
      this.#faultAt(item, "name", `${JSON.stringify(name)} is no C identifier in lower case`);
    }
    if (type !== undefined && !Object.hasOwn(recordTypeSizes, type)) {
      const known = Object.keys(recordTypeSizes).join(", ");
      this.#faultAt(item, "type", `${JSON.stringify(type)} must be one of ${known}`);
      return undefined;
    }
    if (name === undefined || type === undefined) return undefined;
    const fieldType = type as PluginRecordFieldType;
    return { name, offset, type: fieldType, size: this.#recordFieldSize(item, fieldType) };
  }

  #recordFieldSize(item: YAMLMap, type: PluginRecordFieldType): number {
    const own = recordTypeSizes[type];
    const given = this.#pair(item, "size") !== undefined;
    if (own === undefined && !given) this.#faultIn(item, "size is missing: how many bytes");
    const most = own === undefined ? largestRecordBytes : BigInt(own);
    return Number(this.#integer(item, "size", BigInt(own ?? 1), BigInt(own ?? 1), most));
  }

  #pair(map: YAMLMap, key: string): Pair | undefined {
    return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
  }

  #string(map: YAMLMap, key: string, need: "required" | "optional"): string | undefined {
    const pair = this.#pair(map, key);
    if (pair === undefined) {
      if (need === "required") this.#faultIn(map, `${key} is missing`);
      return undefined;
    }
    const value = isScalar(pair.value) ? pair.value.value : undefined;
    if (typeof value === "string") return value;
    this.#faultAt(map, key, isScalar(pair.value) ? "must be text: write it in quotes" : "must be text");
    return undefined;
  }

  #integer(map: YAMLMap, key: string, fallback: bigint, min: bigint, max: bigint): bigint {
    const pair = this.#pair(map, key);
    if (pair === undefined) return fallback;
    const raw = isScalar(pair.value) ? pair.value.value : undefined;
    const value = typeof raw === "boolean" ? BigInt(raw) : raw;
    if (typeof value === "bigint" && value >= min && value <= max) return value;
    this.#faultAt(map, key, `must be a whole number from ${min} to ${max}`);
    return fallback;
  }

  #list(map: YAMLMap, key: string, need: "required" | "optional"): readonly unknown[] | undefined {
    const pair = this.#pair(map, key);
    if (pair === undefined) {
      if (need === "required") this.#faultIn(map, `${key} is missing`);
      return undefined;
    }
    if (isSeq(pair.value)) return pair.value.items;
    this.#faultAt(map, key, "must be a list");
    return undefined;
  }

  #knownKeys(map: YAMLMap, known: readonly string[]): void {
    for (const { key } of map.items) {
      const name = isScalar(key) ? String(key.value) : String(key);
      if (!known.includes(name)) this.#faultIn(key, `${name} is no field; known: ${known.join(", ")}`);
    }
  }

  #faultAt(map: YAMLMap, key: string, description: string): void {
    const pair = this.#pair(map, key);
    this.#faultIn(pair?.value ?? pair?.key ?? map, `${key}: ${description}`);
  }

  #faultIn(node: unknown, description: string): void {
    const range = (node as Partial<Node> | null)?.range;
    this.#fault(range?.[0] ?? 0, description);
  }

  #fault(offset: number, description: string): void {
    const { line } = this.#lines.linePos(offset);
    this.violations.push({ field: `${manifestFile}:${Math.max(line, 1)}`, description });
  }
}

/** All hook points do not fit into the description of a violation: the one that was most likely meant does. */
function unknownHook(point: string): string {
  const written = point.slice(0, 40);
  const nearest = HOOK_POINTS.map(({ name }) => ({ name, steps: editDistance(name, written) })).reduce(
    (best, one) => (one.steps < best.steps ? one : best),
  );
  return `${JSON.stringify(written)} is no hook point; the nearest is ${nearest.name}; waggle hook list has all`;
}

/** Levenshtein's: characters to insert, delete or replace to make one word of the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
