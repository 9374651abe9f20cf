import { join, resolve } from "node:path";
import test from "ava";
import { createFakeDatapath, type MapSpec, MapType } from "../../datapath/index.ts";
import { ct4Map, hookStatsMap, SCRATCH_MAP, tunnelMap } from "../../datapath/maps/index.ts";
import { CALL_POLICY_MAP } from "../../datapath/pipeline.ts";
import { PinnedGlobalMaps, pinLayout } from "./maps.ts";
import { CompiledTemplates } from "./templates.ts";

const pins = pinLayout("/bpf");
const source = resolve(import.meta.dirname, "../../../bpf");
const small: MapSpec = { name: "", type: MapType.percpuArray, keySize: 4, valueSize: 8, maxEntries: 1 };

/** A node that ran with other layouts of these maps, and its shared maps as an agent of today opens them. */
async function restarted(...others: readonly MapSpec[]) {
  const datapath = createFakeDatapath();
  const templates = new CompiledTemplates(datapath, source);
  await templates.compile();
  const { bpf } = datapath;
  const earlier = new PinnedGlobalMaps(datapath, templates, pins, {}, { ipv6: true });
  earlier.open();
  const id = (name: string): number | undefined => {
    const map = bpf.openPinnedMap(join(pins.globals, name));
    map?.close();
    return map?.info.id;
  };
  for (const { name } of others) bpf.unpin(join(pins.globals, name));
  for (const spec of others) bpf.ensurePinnedMap(spec, join(pins.globals, spec.name)).close();
  earlier.close();
  const maps = new PinnedGlobalMaps(datapath, templates, pins, {}, { ipv6: true });
  return { maps, id, kernel: datapath.kernel };
}

for (const [what, old] of [
  ["counters", { ...small, name: hookStatsMap.name }],
  ["what is said of the tunnel", { ...small, name: tunnelMap.name, type: MapType.array }],
] as const) {
  test(`${what}, if of another size, is made anew, and no other map`, async (t) => {
    const { maps, id } = await restarted(old);
    const before = [id(old.name), id(CALL_POLICY_MAP)];
    maps.open();
    t.not(id(old.name), before[0]);
    t.is(id(CALL_POLICY_MAP), before[1]);
    maps.close();
  });
}

test("programs with another layout of the packet's state get no calls from new ones, and keep their own", async (t) => {
  const { maps, id, kernel } = await restarted({ ...small, name: SCRATCH_MAP });
  const before = [id(SCRATCH_MAP), id(CALL_POLICY_MAP)];
  maps.open();
  t.not(id(SCRATCH_MAP), before[0]);
  t.not(id(CALL_POLICY_MAP), before[1]);
  const held = (): readonly (number | undefined)[] =>
    before.filter((one) => kernel.maps.some((map) => map.id === one));
  t.deepEqual(held(), before);
  maps.close();
  t.deepEqual(held(), []);
});

test("a map that holds what lasts is refused with another layout", async (t) => {
  const { maps } = await restarted({ ...small, name: ct4Map.name, type: MapType.lruHash });
  t.throws(() => maps.open(), { message: /cilium_ct4_global/ });
});
