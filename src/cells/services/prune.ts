import type { Lb4Key } from "../../datapath/maps/index.ts";
import { type ServiceMaps, slotKey, slotText } from "./kernel-maps.ts";
import type { ServiceRow } from "./row.ts";

/**
 * Removes what belongs to none of the services, frontends first.
 *
 * @param quiesce resolves when every packet that was in a program has left it
 * @returns how many entries went
 */
export async function pruneServices(
  maps: ServiceMaps,
  keep: readonly ServiceRow[],
  quiesce: () => Promise<void>,
): Promise<number> {
  const slots = new Set<string>();
  const backends = new Set<number>();
  const reverseNat = new Set<number>();
  for (const row of keep) {
    for (let slot = 0; slot <= row.backendIds.length; slot += 1) slots.add(slotText(slotKey(row, slot)));
    for (const id of row.backendIds) backends.add(id);
    reverseNat.add(row.revNat);
  }
  const staleSlots = (await keysOf<Lb4Key>(maps.services)).filter((key) => !slots.has(slotText(key)));
  const staleNat = (await keysOf<number>(maps.reverseNat)).filter((index) => !reverseNat.has(index));
  const staleBackends = (await keysOf<number>(maps.backends)).filter((id) => !backends.has(id));
  if (staleSlots.length + staleNat.length + staleBackends.length === 0) return 0;
  let removed = await maps.services.deleteBatch(staleSlots.filter(({ slot }) => slot === 0));
  await quiesce();
  removed += await maps.services.deleteBatch(staleSlots.filter(({ slot }) => slot !== 0));
  removed += await maps.reverseNat.deleteBatch(staleNat);
  removed += await maps.backends.deleteBatch(staleBackends);
  return removed;
}

async function keysOf<K>(map: { entries(): Promise<readonly (readonly [K, unknown])[]> }): Promise<K[]> {
  return (await map.entries()).map(([key]) => key);
}
