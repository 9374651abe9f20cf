import { failedPrecondition, notFound } from "../../cells/errors.ts";
import type { Plugin, PluginRegistry } from "../../cells/plugin-registry/types.ts";
import { MapType, type RawMap } from "../../datapath/types.ts";
import type { PluginServiceService } from "../../gen/waggle/v1/plugin.ts";
import { type Handlers, readPage } from "../runtime/index.ts";
import {
  isListable,
  isPerCpu,
  mapEntryToMessage,
  pageOfMap,
  readMapEntry,
  readMapKey,
} from "../translate/map-entries.ts";
import { checkCName, checkCount, checkPluginName } from "../validate/fields.ts";
import { type Violations, validated } from "../validate/violations.ts";

/** Entries of one write to a plugin's map. */
const MAX_BATCH = 10_000;

type MapHandlers = Pick<
  Handlers<typeof PluginServiceService>,
  "listPluginMapEntries" | "updatePluginMapEntries" | "deletePluginMapEntries"
>;

interface MapRequest {
  readonly plugin: string;
  readonly map: string;
}

/** The part of waggle.v1.PluginService that reads and fills maps which plugins own. */
export function pluginMapHandlers(plugins: PluginRegistry, find: (name: string) => Plugin): MapHandlers {
  const open = (request: MapRequest): RawMap => {
    validated((violations) => {
      checkPluginName("plugin", request.plugin, violations);
      checkCName("map", request.map, violations);
    });
    const plugin = find(request.plugin);
    // The plugin's declaration decides, so that a crafted name reaches nothing but its own maps.
    const declared = plugin.maps.some(({ name }) => name === request.map);
    const map = declared ? plugins.openMaps(plugin)[request.map] : undefined;
    if (map === undefined) throw notFound(`map of plugin ${request.plugin},`, request.map);
    if (!isListable(map.spec)) throw failedPrecondition(`map ${request.map} has no entries to read or write`);
    return map;
  };
  const openForWriting = (request: MapRequest): RawMap => {
    const map = open(request);
    if (isPerCpu(map.spec)) {
      throw failedPrecondition(`map ${request.map} has a value for each CPU, which only BPF programs write`);
    }
    return map;
  };

  return {
    async listPluginMapEntries(request) {
      const map = open(request);
      const scope = `plugin map ${request.plugin} ${request.map}`;
      const page = validated((violations) => readPage(request, scope, violations));
      const { items, nextPageToken } = await pageOfMap(map, page);
      return { entries: items.map((entry) => mapEntryToMessage(entry, map.spec)), nextPageToken };
    },

    async updatePluginMapEntries(request) {
      const map = openForWriting(request);
      const entries = readAll("entries", request.entries, (field, entry, violations) =>
        readMapEntry(field, entry, map.spec, violations),
      );
      await map.updateBatch(
        entries.map(({ key }) => key),
        entries.map(({ value }) => value),
      );
      return { count: entries.length };
    },

    async deletePluginMapEntries(request) {
      const map = openForWriting(request);
      if (map.spec.type === MapType.array) {
        throw failedPrecondition(`map ${request.map} is an array, whose entries cannot be deleted`);
      }
      const keys = readAll("keys", request.keys, (field, key, violations) =>
        readMapKey(field, key, map.spec, violations),
      );
      return { count: await map.deleteBatch(keys) };
    },
  };
}

function readAll<Message, Item>(
  field: string,
  messages: readonly Message[],
  read: (field: string, message: Message, violations: Violations) => Item | undefined,
): Item[] {
  return validated((violations) => {
    checkCount(field, messages.length, 1, MAX_BATCH, violations);
    return messages.slice(0, MAX_BATCH).flatMap((message, index) => {
      const item = read(`${field}[${index}]`, message, violations);
      return item === undefined ? [] : [item];
    });
  });
}
