/** Maps in the slots of a map: programs meet the old one or the new one, and nobody waits but who asked for the change. */
import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { type MapSpec, MapType } from "../../../src/datapath/types.ts";
import { TemporaryBpffs } from "./fixtures/bpffs.ts";

const bpf = createBpfOps();
const bpffs = new TemporaryBpffs(bpf);
test.after.always(() => bpffs.remove());

const inner: MapSpec = { name: "wg_inner", type: MapType.hash, keySize: 4, valueSize: 4, maxEntries: 4 };
const outer: MapSpec = { ...inner, name: "wg_outer", type: MapType.arrayOfMaps, inner };
const slot = Buffer.from([1, 0, 0, 0]);

test("a slot keeps its map when both are closed meanwhile, and names it by id", async (t) => {
  const path = bpffs.at("outer");
  const array = bpf.ensurePinnedMap(outer, path);
  const map = bpf.createMap(inner);
  const { id } = map.info;
  const done = bpf.setInnerMap(array, 1, map);
  map.close();
  array.close();
  await done;
  const again = bpf.ensurePinnedMap(outer, path);
  t.is(again.lookup(slot)?.readUInt32LE(0), id);
  await bpf.clearInnerMap(again, 1);
  t.is(again.lookup(slot), undefined);
  again.close();
});

test("changes wait for running programs off the event loop, many at once", async (t) => {
  const array = bpf.createMap(outer);
  const maps = Array.from({ length: 4 }, () => bpf.createMap(inner));
  let turns = 0;
  const counter = setInterval(() => turns++, 1);
  await Promise.all(maps.map((map, i) => bpf.setInnerMap(array, i, map)));
  clearInterval(counter);
  t.deepEqual(
    (await array.entries()).map(({ value }) => value.readUInt32LE(0)),
    maps.map(({ info }) => info.id),
  );
  t.log(`${turns} turns of the event loop meanwhile`);
  for (const map of [array, ...maps]) map.close();
});
