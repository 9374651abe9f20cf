import type { EntryStates, GlobalMaps, ReconciledMap } from "../../cells/datapath/index.ts";
import { failedPrecondition, notFound } from "../../cells/errors.ts";
import type { OpenPolicyMap, PolicyMaps } from "../../cells/policy-maps/types.ts";
import { mapSpecByName } from "../../datapath/maps/index.ts";
import type { MapSpec, RawMap } from "../../datapath/types.ts";
import type { DatapathServiceService } from "../../gen/waggle/v1/datapath.ts";
import { type Handlers, type PageKey, readPage, takePage } from "../runtime/index.ts";
import { type InspectedEntry, mapEntryToMessage, mapToMessage } from "../translate/datapath.ts";
import { arrayIndex, isArray, isEmptySlot, isListable } from "../translate/map-entries.ts";
import { checkCName } from "../validate/fields.ts";
import { validated } from "../validate/violations.ts";

/** Where the maps of the datapath are. */
export interface DatapathMapDeps {
  readonly maps: Pick<GlobalMaps, "raw">;
  readonly policies: Pick<PolicyMaps, "list">;
  /** Those whose entries are made from tables. */
  readonly reconciled: readonly ReconciledMap[];
}

type MapHandlers = Pick<
  Handlers<typeof DatapathServiceService>,
  "listMaps" | "listMapEntries" | "getMapEntry"
>;

/** A map, and how its entries stand where somebody says. */
interface Inspected {
  readonly raw: RawMap;
  readonly states: EntryStates | undefined;
}

/** A policy map is written as a whole, so its entries stand alike. */
function policyStates({ lagging }: OpenPolicyMap): EntryStates {
  return {
    status: () => (lagging === undefined ? { state: "sync" } : { state: "pending", error: lagging.message }),
    outstanding: () => [],
  };
}

/** The part of waggle.v1.DatapathService that looks into maps. */
export function datapathMapHandlers({ maps, policies, reconciled }: DatapathMapDeps): MapHandlers {
  const find = (name: string): Inspected | undefined => {
    const raw = Object.hasOwn(maps.raw, name) ? maps.raw[name] : undefined;
    if (raw !== undefined) {
      return { raw, states: reconciled.find(({ map }) => map === name)?.look() };
    }
    const policy = policies.list().find(({ map }) => map.spec.name === name);
    return policy && { raw: policy.map.raw, states: policyStates(policy) };
  };
  const open = (name: string): Inspected => {
    validated((violations) => checkCName("map", name, violations));
    const found = find(name);
    if (found === undefined) throw notFound("map", name);
    if (!isListable(found.raw.spec)) throw failedPrecondition(`map ${name} has no entries that can be read`);
    return found;
  };

  return {
    listMaps() {
      const all = [...Object.values(maps.raw), ...policies.list().map(({ map }) => map.raw)];
      const messages = all.map(mapToMessage);
      return { maps: messages.sort((left, right) => (left.name < right.name ? -1 : 1)) };
    },

    async listMapEntries(request) {
      const map = open(request.map);
      const page = validated((violations) => readPage(request, `map ${request.map}`, violations));
      const entries = await allEntries(map);
      const { items, nextPageToken } = takePage(entries, ({ key }) => orderOf(key, map.raw.spec), page);
      const spec = mapSpecByName(request.map);
      // Only now, and only for these: a state costs a look at its row.
      const withStatus = (entry: InspectedEntry): InspectedEntry =>
        entry.status === undefined ? { ...entry, status: map.states?.status(entry.key) } : entry;
      return {
        entries: items.map((entry) => mapEntryToMessage(withStatus(entry), map.raw.spec, spec)),
        nextPageToken,
      };
    },

    getMapEntry({ map: name, rawKey: key }) {
      const { raw, states } = open(name);
      validated((violations) => {
        if (key.length !== raw.spec.keySize) {
          violations.add("raw_key", `${key.length} bytes; keys of ${name} have ${raw.spec.keySize}`);
        }
      });
      const value = raw.lookup(key);
      if (value === undefined) throw notFound(`entry of ${name} with key`, key.toString("hex"));
      const entry = { key, value, status: states?.status(key), missing: false };
      return { entry: mapEntryToMessage(entry, raw.spec, mapSpecByName(name)) };
    },
  };
}

/** Arrays are listed by index, which is no number to somebody who compares its bytes; all others by their bytes. */
const orderOf = (key: Buffer, spec: MapSpec): PageKey =>
  isArray(spec) ? arrayIndex(key) : key.toString("hex");

/** What is in the kernel, and what is wanted there and is not. */
async function allEntries({ raw, states }: Inspected): Promise<readonly InspectedEntry[]> {
  const present = (await raw.entries())
    .filter((entry) => !isEmptySlot(entry, raw.spec))
    .map((entry) => ({ ...entry, status: undefined, missing: false }));
  const outstanding = states?.outstanding() ?? [];
  if (outstanding.length === 0) return present;
  const known = new Set(present.map(({ key }) => key.toString("latin1")));
  const missing = outstanding
    .filter(({ key }) => !known.has(key.toString("latin1")))
    .map((entry) => ({ ...entry, missing: true }));
  return [...present, ...missing];
}
