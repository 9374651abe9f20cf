import test from "ava";
import { MAGLEV_TABLE_SIZE } from "../../datapath/maps/index.ts";
import { NumberedBackend } from "./backend.ts";
import { maglevTable } from "./maglev.ts";

const backend = (number: number, id = number + 1): NumberedBackend =>
  new NumberedBackend(id, { ip: `10.0.${number >> 8}.${number & 255}`, port: 8080 }, "tcp");
const backends = (count: number): NumberedBackend[] => Array.from({ length: count }, (_, at) => backend(at));

function shares(table: Uint32Array): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const id of table) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

for (const count of [1, 2, 3, 7, 100, 1000]) {
  test(`${count} backends have equal shares, to one place`, (t) => {
    const table = maglevTable(backends(count));
    t.is(table.length, MAGLEV_TABLE_SIZE);
    const counts = shares(table);
    t.is(counts.size, count);
    const values = [...counts.values()];
    t.true(
      Math.max(...values) - Math.min(...values) <= 1,
      `${Math.min(...values)} to ${Math.max(...values)}`,
    );
  });
}

test("with more backends than places, as many as there are places have one", (t) => {
  const counts = shares(maglevTable(backends(5000)));
  t.is(counts.size, MAGLEV_TABLE_SIZE);
});

test("the table follows from addresses alone: neither order nor ids matter, so all nodes agree", (t) => {
  const here = backends(20);
  const there = Array.from({ length: 20 }, (_, at) => backend(19 - at, 1000 + at));
  const addressOf = (all: readonly NumberedBackend[], id: number): string | undefined =>
    all.find((one) => one.id === id)?.key;
  const [ours, theirs] = [maglevTable(here), maglevTable(there)];
  for (let place = 0; place < MAGLEV_TABLE_SIZE; place += 1)
    t.is(addressOf(here, ours[place]!), addressOf(there, theirs[place]!));
});

for (const count of [3, 10, 100]) {
  test(`when one of ${count} backends goes, few places of the others change hands`, (t) => {
    const all = backends(count);
    const before = maglevTable(all);
    const gone = all[1]!;
    const after = maglevTable(all.filter((one) => one !== gone));
    const moved = before.filter((id, place) => id !== gone.id && after[place] !== id).length;
    t.log(`${moved} of ${MAGLEV_TABLE_SIZE} places moved without need`);
    t.true(moved < MAGLEV_TABLE_SIZE * 0.05, `${moved}`);
    t.false(after.includes(gone.id));
  });
}
