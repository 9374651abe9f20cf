import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access, readdir, readFile, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize, relative } from "node:path";
import {
  type CompileResult,
  type Datapath,
  DatapathError,
  layoutDifference,
  type MapSpec,
  MapType,
  type ObjectDescription,
} from "../../datapath/index.ts";
import {
  CHAIN_MAP_PREFIX,
  hookPoint,
  OBJECT_KINDS,
  type ObjectKind,
  PIPELINE,
  PLUGIN_CONFIG_PREFIX,
  RESERVED_MAP_PREFIXES,
} from "../../datapath/pipeline.ts";
import { failedPrecondition, invalidArgument } from "../errors.ts";
import { holdsRecords, isPluginMap } from "../plugin-table/index.ts";
import { manifestFile, parseManifest } from "./manifest.ts";
import type { Plugin, PluginManifest } from "./types.ts";

const largestManifest = 64 * 1024;

/** Maps that <waggle/plugin.h> declares, beside the chains of HOOK(). */
const headerMaps: ReadonlySet<string> = new Set([
  "cilium_events",
  "cilium_ipcache",
  "cilium_ipv4_frag_datagrams",
  "cilium_ipv6_frag_datagrams",
  "cilium_metrics",
  "waggle_endpoints",
  "waggle_hook_stats",
  "waggle_ratelimit",
  "waggle_scratch",
]);

/** What a plugin's directory amounts to: a valid manifest and compiled templates. */
export type BuiltPlugin = Pick<Plugin, "manifest" | "templates" | "maps" | "directory">;

/** Reads, validates and compiles plugin directories. */
export class PluginBuilder {
  readonly #datapath: Datapath;
  readonly #include: string;

  /** @param include directory that holds waggle/plugin.h */
  constructor(datapath: Datapath, include: string) {
    this.#datapath = datapath;
    this.#include = include;
  }

  /** @throws RefusalError INVALID_ARGUMENT or FAILED_PRECONDITION, with files and lines */
  async build(directory: string): Promise<BuiltPlugin> {
    const manifest = parseManifest(await readManifest(directory));
    const templates: Partial<Record<ObjectKind, CompileResult>> = {};
    const maps = new Map<string, MapSpec>();
    for (const kind of OBJECT_KINDS) {
      const hooks = manifest.hooks.filter(({ point }) => hookPoint(point)?.object === kind);
      const source = join(directory, PIPELINE[kind].pluginSource);
      const exists = await isReadable(source);
      if (hooks.length === 0 && !exists) continue;
      if (!exists) {
        throw invalidArgument([
          {
            field: manifestFile,
            description: `${hooks[0]!.point} needs ${PIPELINE[kind].pluginSource}, which ${directory} does not have`,
          },
        ]);
      }
      const template = await this.#compile(source);
      const description = this.#datapath.bpf.describeObject(template.object);
      checkPrograms(manifest, kind, description);
      checkData(kind, description);
      checkMapNames(kind, description);
      checkConfig(manifest, kind, description);
      collectMaps(description, kind, maps);
      templates[kind] = template;
    }
    checkRecords(manifest, maps);
    const { cpus } = this.#datapath.bpf;
    return {
      directory,
      manifest,
      templates,
      maps: Array.from(maps.values(), (spec) => withPlaceForCpus(spec, cpus)),
    };
  }

  /**
   * SHA-256 in hex of <waggle/plugin.h> and of what it includes of ours: names and contents. Objects compiled with
   * others may know maps and the packet's state as they were in another version.
   * @throws Error of node:fs
   */
  async headers(): Promise<string> {
    const directory = join(this.#include, "waggle");
    const found = await readdir(directory, { recursive: true, withFileTypes: true });
    const paths = found
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
    const hash = createHash("sha256");
    for (const path of paths.toSorted()) {
      const content = await readFile(path);
      hash.update(`${relative(directory, path)}\0${content.length}\0`).update(content);
    }
    return hash.digest("hex");
  }

  async #compile(source: string): Promise<CompileResult> {
    try {
      return await this.#datapath.compiler.compile({
        source,
        includes: [this.#include, dirname(source)],
        defines: {},
      });
    } catch (error) {
      if (error instanceof DatapathError) throw failedPrecondition(error.message, error);
      throw error;
    }
  }
}

/** @throws RefusalError INVALID_ARGUMENT */
async function readManifest(directory: string): Promise<string> {
  const refuse = (description: string, cause?: unknown): never => {
    const refusal = invalidArgument([{ field: "directory", description }]);
    refusal.cause = cause;
    throw refusal;
  };
  if (!isAbsolute(directory) || normalize(directory) !== directory.replace(/(?<=.)\/$/, "")) {
    refuse(`${JSON.stringify(directory)} is no absolute path without "." and ".."`);
  }
  const path = join(directory, manifestFile);
  try {
    const { size, isFile } = await about(path);
    // A device or a pipe would be read for ever.
    if (!isFile) refuse(`${path} is no file`);
    if (size > largestManifest) refuse(`${path} is larger than ${largestManifest} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error) {
      if (error.code === "ENOTDIR") refuse(`${directory} is no directory`, error);
      refuse(
        `cannot read ${path}: ${error.code === "ENOENT" ? "there is no such file" : error.message}`,
        error,
      );
    }
    throw error;
  }
}

async function about(path: string): Promise<{ readonly size: number; readonly isFile: boolean }> {
  const found = await stat(path);
  return { size: found.size, isFile: found.isFile() };
}

async function isReadable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** The manifest and the object must name the same hook points. */
function checkPrograms(manifest: PluginManifest, kind: ObjectKind, description: ObjectDescription): void {
  const declared = new Set(
    manifest.hooks.map(({ point }) => point).filter((point) => hookPoint(point)?.object === kind),
  );
  const source = PIPELINE[kind].pluginSource;
  const present = new Set(description.programs.map(({ name }) => name));
  const violations = [
    ...[...declared]
      .filter((point) => !present.has(point))
      .map((point) => `${point} is listed under hooks, but ${source} has no HOOK(${point})`),
    ...[...present]
      .filter((name) => !declared.has(name))
      .map((name) =>
        hookPoint(name) === undefined
          ? `${source} has the program ${name}, which is no HOOK(…) of a hook point`
          : hookPoint(name)?.object === kind
            ? `${source} has HOOK(${name}), which is not listed under hooks`
            : `${source} has HOOK(${name}), which belongs into ${PIPELINE[hookPoint(name)!.object].pluginSource}`,
      ),
  ];
  if (violations.length > 0) {
    throw invalidArgument(violations.map((description) => ({ field: manifestFile, description })));
  }
}

/** Global variables would be one copy an instance, gone with every relink. */
function checkData(kind: ObjectKind, description: ObjectDescription): void {
  const writable = description.dataSections.filter(
    (name) => name.startsWith(".bss") || name.startsWith(".data"),
  );
  if (writable.length === 0) return;
  throw failedPrecondition(
    `${PIPELINE[kind].pluginSource} has global variables (${writable.join(", ")}): their values would be lost with ` +
      "every relink; keep state in a map, and constants in const variables or PLUGIN_CONFIG",
  );
}

/** Every PLUGIN_CONFIG of the source must be declared in the manifest, where its limits are. */
function checkConfig(manifest: PluginManifest, kind: ObjectKind, description: ObjectDescription): void {
  const fields = new Map(manifest.config.map((field) => [field.name, field]));
  const sizes = { bool: 1, u8: 1, u16: 2, u32: 4, u64: 8 };
  const violations: string[] = [];
  for (const { name, size } of description.constants) {
    if (!name.startsWith(PLUGIN_CONFIG_PREFIX)) continue;
    const field = fields.get(name.slice(PLUGIN_CONFIG_PREFIX.length));
    const source = PIPELINE[kind].pluginSource;
    if (field === undefined) {
      violations.push(
        `${source} has PLUGIN_CONFIG ${name.slice(PLUGIN_CONFIG_PREFIX.length)}, not listed under config`,
      );
    } else if (sizes[field.type] !== size) {
      violations.push(
        `${field.name} is ${field.type} (${sizes[field.type]} bytes), but ${size} bytes in ${source}`,
      );
    }
  }
  if (violations.length > 0) {
    throw invalidArgument(violations.map((description) => ({ field: manifestFile, description })));
  }
}

/**
 * A map under a reserved name would be one that nobody keeps or, under the name of one of the core's, the core's.
 * Allowed are those that <waggle/plugin.h> itself declares.
 */
function checkMapNames(kind: ObjectKind, description: ObjectDescription): void {
  const foreign = description.maps.filter((spec) => !isPluginMap(spec) && !isHeaderMap(spec.name));
  if (foreign.length === 0) return;
  throw failedPrecondition(
    `${PIPELINE[kind].pluginSource} declares ${foreign.map(({ name }) => name).join(", ")}: names of maps that begin ` +
      `with ${RESERVED_MAP_PREFIXES.join(", ")} are reserved; rename them`,
  );
}

function isHeaderMap(name: string): boolean {
  if (headerMaps.has(name)) return true;
  return name.startsWith(CHAIN_MAP_PREFIX) && hookPoint(name.slice(CHAIN_MAP_PREFIX.length)) !== undefined;
}

/** Layouts of records are those of maps that the sources declare, and that records are read from. */
function checkRecords(manifest: PluginManifest, maps: ReadonlyMap<string, MapSpec>): void {
  const violations = manifest.records.flatMap(({ map }) => {
    const spec = maps.get(map);
    if (spec === undefined) return [`${map} is listed under records, but no source declares such a map`];
    return holdsRecords(spec)
      ? []
      : [
          `${map} is listed under records, but it is no BPF_MAP_TYPE_RINGBUF or BPF_MAP_TYPE_PERF_EVENT_ARRAY`,
        ];
  });
  if (violations.length > 0) {
    throw invalidArgument(violations.map((description) => ({ field: manifestFile, description })));
  }
}

/** As libbpf does: a perf event array that is declared without max_entries has a place for each possible CPU. */
function withPlaceForCpus(spec: MapSpec, cpus: number): MapSpec {
  const unset = spec.type === MapType.perfEventArray && spec.maxEntries === 0;
  return unset ? { ...spec, maxEntries: cpus } : spec;
}

/** Maps of one name are one map, in whichever source they stand. */
function collectMaps(description: ObjectDescription, kind: ObjectKind, into: Map<string, MapSpec>): void {
  for (const spec of description.maps.filter(isPluginMap)) {
    const other = into.get(spec.name);
    if (other !== undefined) {
      const difference = layoutDifference(
        { ...other, flags: other.flags ?? 0 },
        { ...spec, flags: spec.flags ?? 0 },
      );
      if (difference !== "") {
        throw failedPrecondition(
          `map ${spec.name} differs between the sources, ${PIPELINE[kind].pluginSource}: ${difference}`,
        );
      }
    }
    into.set(spec.name, spec);
  }
}
