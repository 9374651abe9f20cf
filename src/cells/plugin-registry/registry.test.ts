import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import {
  type FakeNode,
  failEachCall,
  fakeNode,
  podSpec,
  writePlugin,
} from "../../../test/cells/fake-node.ts";
import { RefusalError } from "../errors.ts";

/** A map of the plugin's own with values of so many bytes. */
const table = (valueSize: number): string => `struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(key_size, 4);
	__uint(value_size, ${valueSize});
} table SEC(".maps");
`;

const openTable = (node: FakeNode) => node.plugins.openMaps(node.plugins.table.get("keeper")!).table!;

/** A node with a pod and the plugin `keeper`, whose map has one entry. */
async function withKeeper(t: Parameters<typeof fakeNode>[0], enable = true): Promise<FakeNode> {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  await node.plugins.register(await writePlugin(node, "keeper", { c: table(8) }), { enable });
  openTable(node).update(Buffer.alloc(4), Buffer.alloc(8, 7));
  return node;
}

/** What must be the same in the next run: all but how often it was built. */
function settings(node: FakeNode): unknown {
  const { templates, revision: _, ...rest } = node.plugins.table.get("keeper")!;
  return { ...rest, digest: templates.lxc?.digest };
}

const upgradeTo = (node: FakeNode, valueSize: number): Promise<string> =>
  writePlugin(node, "keeper", { c: table(valueSize), version: "2.0.0" });

test("an upgrade keeps what the operator set, the map, and whether it is enabled", async (t) => {
  const node = await fakeNode(t);
  const yaml = "config:\n  - name: rate\n    type: u8\n    default: 1\n  - name: old\n    type: u8\n";
  const c = "PLUGIN_CONFIG(__u8, rate, 1);\nPLUGIN_CONFIG(__u8, old, 0);\n";
  const config = { rate: "9", old: "2" };
  await node.plugins.register(await writePlugin(node, "p", { yaml, c }), {
    enable: true,
    priority: 7,
    config,
  });
  const directory = await writePlugin(node, "p", {
    version: "2.0.0",
    yaml: "config:\n  - name: rate\n    type: u8\n    default: 1\n  - name: fresh\n    type: u8\n    default: 3\n",
    c: "PLUGIN_CONFIG(__u8, rate, 1);\nPLUGIN_CONFIG(__u8, fresh, 3);\n",
  });
  const upgraded = await node.plugins.register(directory, { enable: false });
  t.true(upgraded.enabled);
  t.is(upgraded.priority, 7);
  t.deepEqual(upgraded.config, { rate: 9n, fresh: 3n });
  t.is(upgraded.manifest.version, "2.0.0");
});

test("a map of another layout is refused, or replaced when that is wanted", async (t) => {
  const node = await withKeeper(t);
  const before = node.inventory();
  const upgrade = await upgradeTo(node, 16);
  const refusal = await t.throwsAsync(node.plugins.register(upgrade, {}), { instanceOf: RefusalError });
  t.regex(refusal!.message, /table: value size 16, found 8.*replace_maps/);
  t.deepEqual(node.inventory(), before);
  t.deepEqual(openTable(node).lookup(Buffer.alloc(4)), Buffer.alloc(8, 7));

  await node.plugins.register(upgrade, { replaceMaps: true });
  t.is(openTable(node).spec.valueSize, 16);
  t.is(openTable(node).lookup(Buffer.alloc(4)), undefined);
  t.deepEqual(node.inventory().maps, before.maps, "the old map is gone");
});

test("whichever call into the kernel fails, an upgrade that replaces a map is whole or undone", async (t) => {
  const node = await withKeeper(t);
  const before = node.inventory();
  const upgrade = await upgradeTo(node, 16);
  const calls = await failEachCall(
    node,
    () => node.plugins.register(upgrade, { replaceMaps: true }),
    async ({ call, error }) => {
      node.chains();
      const { version } = node.plugins.table.get("keeper")!.manifest;
      if (version === "1.0.0") {
        t.truthy(error, call);
        t.deepEqual(node.inventory(), before, call);
        t.deepEqual(openTable(node).lookup(Buffer.alloc(4)), Buffer.alloc(8, 7), call);
        return;
      }
      // Decided and stored: what could not be swung or cleaned up is with the next change, back to the beginning.
      await node.plugins.register(await writePlugin(node, "keeper", { c: table(8) }), { replaceMaps: true });
      t.deepEqual(node.inventory(), before, call);
      openTable(node).update(Buffer.alloc(4), Buffer.alloc(8, 7));
      await upgradeTo(node, 16);
    },
  );
  t.true(calls > 15, `${calls} calls`);
  t.is(node.plugins.table.get("keeper")?.manifest.version, "2.0.0");
});

test("whichever call into the kernel fails, a plugin can be unregistered in the end", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  const before = node.inventory();
  const directory = await writePlugin(node, "keeper", { c: table(8) });
  const register = () => node.plugins.register(directory, { enable: true });
  await register();
  await failEachCall(
    node,
    () => node.plugins.unregister("keeper"),
    async ({ call }) => {
      node.chains();
      if (node.plugins.table.get("keeper") !== undefined) await node.plugins.unregister("keeper");
      else await node.restart();
      t.deepEqual(node.inventory(), before, call);
      await register();
    },
  );
  t.deepEqual(node.inventory(), before);
});

test("plugins, their settings and maps are there again after a restart", async (t) => {
  const node = await withKeeper(t);
  await node.plugins.configure("keeper", { priority: -3 });
  const before = settings(node);
  await node.restart();
  t.deepEqual(settings(node), before);
  t.deepEqual(openTable(node).lookup(Buffer.alloc(4)), Buffer.alloc(8, 7));
});

test("a plugin whose source no longer builds stays linked where it is, and keeps no agent down", async (t) => {
  const node = await withKeeper(t);
  await node.stop();
  const file = join(node.directory, "plugins/keeper/plugin.yaml");
  await writeFile(file, "broken: [");
  await node.start();
  t.regex(node.complaints().join(), /cannot be rebuilt from their directories: keeper/);
  t.true(node.plugins.table.get("keeper")!.enabled);
  t.deepEqual(
    node.linker.chains("lxc-1").flatMap(({ links }) => links.map(({ plugin }) => plugin)),
    ["keeper"],
  );
  await node.plugins.unregister("keeper");
  t.deepEqual(node.complaints(), []);
});

test("maps of a plugin that nobody knows any more are removed at the start", async (t) => {
  const node = await withKeeper(t);
  await node.stop();
  await node.onDisk((state) => state.collection("plugins").delete("keeper"));
  await node.start();
  t.deepEqual(
    node.inventory().pins.filter((pin) => pin.includes("/plugins/")),
    [],
  );
  t.false(node.inventory().maps.includes("table"));
});

test("a name belongs to the directory that it was registered from", async (t) => {
  const node = await withKeeper(t);
  const impostor = await writePlugin(node, "impostor");
  await writeFile(
    join(impostor, "plugin.yaml"),
    "apiVersion: waggle/v1\nname: keeper\nversion: 1.0.0\nhooks:\n  - point: to_container_pre_ct_v4\n",
  );
  const error = await t.throwsAsync(node.plugins.register(impostor, {}), { instanceOf: RefusalError });
  t.is((error as RefusalError).kind, "ALREADY_EXISTS");
});

test("names of plugins that do not exist are refused by every call", async (t) => {
  const node = await fakeNode(t);
  for (const call of [
    () => node.plugins.enable("nobody"),
    () => node.plugins.disable("nobody"),
    () => node.plugins.configure("nobody", { priority: 1 }),
    () => node.plugins.unregister("nobody"),
  ]) {
    const error = await t.throwsAsync(call, { instanceOf: RefusalError });
    t.is((error as RefusalError).kind, "NOT_FOUND");
  }
});

test("a disabled plugin whose directory is gone can still be unregistered", async (t) => {
  const node = await withKeeper(t, false);
  await rm(join(node.directory, "plugins"), { recursive: true });
  await node.plugins.unregister("keeper");
  t.is(node.plugins.table.size, 0);
});
