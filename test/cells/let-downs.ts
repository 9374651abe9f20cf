import {
  type LbKey,
  type LbService,
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb4ServicesMap,
  lb6BackendsMap,
  lb6ReverseNatMap,
  lb6ServicesMap,
  lbMaglevMap,
  unpackFrontend,
} from "../../src/datapath/maps/index.ts";
import type { Entry } from "./support.ts";

/** What packets under way may have read, and will look for. */
interface Seen {
  readonly slots: Set<string>;
  readonly backends: Set<number>;
  readonly revNats: Set<number>;
  readonly tables: Set<number>;
}

const nothing = (): Seen => ({
  slots: new Set(),
  backends: new Set(),
  revNats: new Set(),
  tables: new Set(),
});
const maglev = 2;
const servicesMaps = [lb4ServicesMap, lb6ServicesMap];
const backendsMaps = [lb4BackendsMap.name, lb6BackendsMap.name];
const reverseNatMaps = [lb4ReverseNatMap.name, lb6ReverseNatMap.name];

const frontendText = ({ address, port, protocol }: LbKey): string => `${address} ${port} ${protocol}`;

/**
 * Replays a journal of the maps of services and says at which entry a packet could have been let down. A packet may be
 * at any point of a program, so whatever slot 0, slot, table or backend it has seen since the last grace period must
 * still lead on.
 */
export function* letDowns(journal: readonly Entry[]): Generator<string> {
  /** Slots of each frontend. */
  const frontends = new Map<string, Map<number, LbService>>();
  const present = nothing();
  const tables = new Map<number, readonly number[]>();
  let seen = nothing();
  const look = (frontend: string): void => {
    const slots = frontends.get(frontend);
    const first = slots?.get(0);
    if (slots === undefined || first === undefined) return;
    seen.revNats.add(first.revNatIndex);
    if (unpackFrontend(first.backendId).algorithm === maglev && first.count > 0)
      seen.tables.add(first.revNatIndex);
    for (let slot = 1; slot <= first.count + first.qcount; slot += 1) {
      seen.slots.add(`${frontend}#${slot}`);
      const id = slots.get(slot)?.backendId;
      if (id !== undefined) seen.backends.add(id);
    }
  };
  for (const [at, { map, what, key, value }] of journal.entries()) {
    const services = servicesMaps.find(({ name }) => name === map);
    const note = (set: Set<number>, number: number): void => {
      if (what === "update") set.add(number);
      else set.delete(number);
    };
    if (what === "quiesce") {
      seen = nothing();
      for (const frontend of frontends.keys()) look(frontend);
    } else if (backendsMaps.includes(map)) note(present.backends, key.readUInt32LE());
    else if (reverseNatMaps.includes(map)) note(present.revNats, key.readUInt16LE());
    else if (map === lbMaglevMap.name) {
      const index = key.readUInt16LE();
      note(present.tables, index);
      const ids = value === undefined ? [] : new Set(lbMaglevMap.value.decode(value, 0).backends);
      tables.set(index, [...ids]);
      for (const id of ids) seen.backends.add(id);
    } else if (services !== undefined) {
      const decoded = services.key.decode(key, 0);
      const frontend = frontendText(decoded);
      const slots = frontends.get(frontend) ?? new Map<number, LbService>();
      frontends.set(frontend, slots);
      if (value === undefined) slots.delete(decoded.slot);
      else slots.set(decoded.slot, services.value.decode(value, 0));
      const name = `${frontend}#${decoded.slot}`;
      if (value === undefined) present.slots.delete(name);
      else present.slots.add(name);
      look(frontend);
    } else continue;
    for (const index of seen.tables) for (const id of tables.get(index) ?? []) seen.backends.add(id);
    for (const slot of seen.slots) if (!present.slots.has(slot)) yield `entry ${at}: no slot ${slot}`;
    for (const id of seen.backends) if (!present.backends.has(id)) yield `entry ${at}: no backend ${id}`;
    for (const index of seen.revNats)
      if (!present.revNats.has(index)) yield `entry ${at}: no reverse NAT ${index}`;
    for (const index of seen.tables) if (!present.tables.has(index)) yield `entry ${at}: no table ${index}`;
  }
}
