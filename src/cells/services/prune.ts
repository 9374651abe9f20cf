import type { Codec, RawMap } from "../../datapath/index.ts";
import { lbAffinityMatchMap } from "../../datapath/maps/index.ts";
import { affinityBackends, hasMaglevTable, inSlots, type ServiceMaps, slotKey } from "./kernel-maps.ts";
import type { Family } from "./keys.ts";
import { Pace } from "./pace.ts";
import type { FrontendRow } from "./rows.ts";

/** Keys of the kernel's entries that stay, as bytes in text. */
interface Kept {
  readonly services: Set<string>;
  readonly backends: Set<string>;
  readonly reverseNat: Set<string>;
}

const none = (): Kept => ({ services: new Set(), backends: new Set(), reverseNat: new Set() });

/**
 * Removes what belongs to none of the frontends, slots 0 first. At full size the maps hold some hundred thousand
 * entries, so keys are compared as they are in the kernel, and the event loop gets its turns.
 *
 * @param quiesce resolves when every packet that was in a program has left it
 * @returns how many entries went
 */
export async function pruneServices(
  maps: ServiceMaps,
  keep: readonly FrontendRow[],
  quiesce: () => Promise<void>,
): Promise<number> {
  const pace = new Pace();
  const bytes = keyBytes();
  const kept: Record<Family, Kept> = { 4: none(), 6: none() };
  const [matches, tables] = [new Set<string>(), new Set<string>()];
  for (const row of keep) {
    const { services, backends, reverseNat } = kept[row.family];
    const of = maps[row.family];
    for (let slot = 0; slot <= inSlots(row).length; slot += 1)
      services.add(bytes(of.services.spec.key, slotKey(row, slot)));
    for (const { id } of row.backends) backends.add(bytes(of.backends.spec.key, id));
    reverseNat.add(bytes(of.reverseNat.spec.key, row.revNat));
    for (const { id } of affinityBackends(row))
      matches.add(bytes(lbAffinityMatchMap.key, { backendId: id, revNatIndex: row.revNat }));
    if (hasMaglevTable(row)) tables.add(bytes(maps.maglev.spec.key, row.revNat));
    if (pace.due) await pace.turn();
  }
  const doomed: Doomed[] = [];
  const frontends: Doomed[] = [];
  for (const family of [4, 6] as const) {
    const { services, reverseNat, backends } = maps[family];
    const slots = await strangers(services.raw, kept[family].services, pace);
    const isFrontend = (key: Buffer): boolean => services.spec.key.decode(key, 0).slot === 0;
    frontends.push({ map: services.raw, keys: slots.filter(isFrontend) });
    doomed.push({ map: services.raw, keys: slots.filter((key) => !isFrontend(key)) });
    doomed.push({
      map: reverseNat.raw,
      keys: await strangers(reverseNat.raw, kept[family].reverseNat, pace),
    });
    doomed.push({ map: backends.raw, keys: await strangers(backends.raw, kept[family].backends, pace) });
  }
  const { affinityMatch, maglev } = maps;
  doomed.push({ map: affinityMatch.raw, keys: await strangers(affinityMatch.raw, matches, pace) });
  doomed.push({ map: maglev.raw, keys: await strangers(maglev.raw, tables, pace) });
  if ([...frontends, ...doomed].every(({ keys }) => keys.length === 0)) return 0;
  const gone = await removeAll(frontends);
  await quiesce();
  return gone + (await removeAll(doomed));
}

interface Doomed {
  readonly map: RawMap;
  readonly keys: readonly Buffer[];
}

async function removeAll(all: readonly Doomed[]): Promise<number> {
  let removed = 0;
  for (const { map, keys } of all) if (keys.length > 0) removed += await map.deleteBatch(keys);
  return removed;
}

async function strangers(map: RawMap, kept: ReadonlySet<string>, pace: Pace): Promise<readonly Buffer[]> {
  const found: Buffer[] = [];
  for (const { key } of await map.entries()) {
    if (!kept.has(key.toString("latin1"))) found.push(key);
    if (pace.due) await pace.turn();
  }
  return found;
}

/** Encodes keys as the kernel has them, in text; one buffer serves them all. */
function keyBytes(): <K>(codec: Codec<K>, key: K) => string {
  const buffer = Buffer.alloc(64);
  return (codec, key) => {
    buffer.fill(0, 0, codec.size);
    codec.encode(key, buffer, 0);
    return buffer.toString("latin1", 0, codec.size);
  };
}
