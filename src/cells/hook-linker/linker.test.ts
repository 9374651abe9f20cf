import test from "ava";
import {
  type FakeNode,
  failEachCall,
  fakeNode,
  podSpec,
  writePlugin,
} from "../../../test/cells/fake-node.ts";
import { VerifierError } from "../../datapath/index.ts";
import { idleHooksMap } from "../../datapath/maps/index.ts";
import { HOOK_POINTS, OBJECT_KINDS } from "../../datapath/pipeline.ts";
import type { ChainRecord } from "./attached.ts";

const hook = "to_container_pre_ct_v4";

const refused = new VerifierError({
  object: "plugin.o",
  program: hook,
  errno: 13,
  log: "",
  lastLines: ["invalid access to packet"],
  sourceLine: "return data[0];",
});

/** Hooks of a pod, of a device of the node and of the tunnel. */
const everywhere = { hooks: [hook, "from_netdev_v4", "from_overlay_v4"] };

/** Names of the plugins at the hook of all pods, as the linker says. */
const linked = (node: FakeNode): readonly string[] | undefined =>
  node.linker
    .chains("lxc-1")
    .find((chain) => chain.hook === hook)
    ?.links.map(({ plugin }) => plugin);

/** How many programs there are in the chains of `everywhere`, as packets meet them. */
const metEverywhere = (node: FakeNode): readonly number[] =>
  Object.entries(node.chains())
    .filter(([name]) => everywhere.hooks.some((one) => name.endsWith(` ${one}`)))
    .map(([, objects]) => objects.length);

/** How many programs each pod's chain has at the hook, as packets meet them. */
const met = (node: FakeNode): readonly number[] =>
  Object.entries(node.chains())
    .filter(([name]) => name.endsWith(` ${hook}`))
    .map(([, objects]) => objects.length);

/** Hook points that programs take to be nobody's. */
const idle = (node: FakeNode): readonly string[] => {
  const store = node.kernel.maps.find(({ spec }) => spec.name === idleHooksMap.name)!.store!;
  return store.entries().flatMap(({ key, value }) => {
    const object = OBJECT_KINDS[key.readUInt32LE()];
    const bits = value.readBigUInt64LE();
    return HOOK_POINTS.filter((at) => at.object === object && (bits >> BigInt(at.slot)) & 1n).map(
      ({ name }) => name,
    );
  });
};

const names = HOOK_POINTS.map(({ name }) => name);
const allBut = (...used: readonly string[]): readonly string[] =>
  names.filter((name) => !used.includes(name));

test("packets meet the chain that the linker tells of, at every attachment", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  t.deepEqual(met(node), [0]);
  const unused = node.kernel.maps.length;
  await node.plugins.register(await writePlugin(node, "second", { yaml: "priority: 2\n" }), { enable: true });
  await node.plugins.register(await writePlugin(node, "first", { yaml: "priority: 1\n" }), { enable: true });
  await node.endpoints.create(podSpec("db"));
  t.deepEqual(linked(node), ["first", "second"]);
  t.deepEqual(met(node), [2, 2]);
  await node.plugins.disable("first");
  t.deepEqual(linked(node), ["second"]);
  await node.plugins.unregister("first");
  await node.plugins.unregister("second");
  t.deepEqual(met(node), [0, 0]);
  await node.endpoints.delete(2);
  t.is(node.kernel.maps.length, unused, "a hook point without plugins costs no map");
});

test("a plugin that the third attachment refuses changes nothing at the first two", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  await node.plugins.register(await writePlugin(node, "old", everywhere), { enable: true });
  await node.plugins.register(await writePlugin(node, "new", everywhere), {});
  const [before, chains] = [node.inventory(), node.chains()];
  // An object is loaded once for all pods, and once for each other attachment.
  let loads = 0;
  const { faults } = node.kernel;
  const check = faults.check.bind(faults);
  faults.check = (operation, object) => {
    if (operation === "load" && ++loads === 3) throw refused;
    check(operation, object);
  };
  const error = await t.throwsAsync(node.plugins.enable("new"));
  faults.check = check;
  t.regex(
    error!.message,
    /plugin \w+: the kernel's verifier refused to_container_pre_ct_v4 \([-\w]+\); nothing was changed/,
  );
  t.regex(error!.message, /invalid access to packet\n {2}at: return data\[0\];/);
  t.deepEqual(node.chains(), chains);
  t.deepEqual(node.inventory(), before);
  t.false(node.plugins.table.get("new")!.enabled);
  await node.plugins.enable("new");
  t.deepEqual(metEverywhere(node), [2, 2, 2]);
});

test("a best-effort plugin that one attachment refuses is left out there, and said so", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  const yaml = "attachmentPolicy: BestEffort\n";
  await node.plugins.register(await writePlugin(node, "fussy", { yaml, ...everywhere }), {});
  node.kernel.failNext("load", refused);
  await node.plugins.enable("fussy");
  t.deepEqual(linked(node), []);
  t.deepEqual(metEverywhere(node).toSorted(), [0, 1, 1]);
  const [left] = node.linker.chains("lxc-1").find((chain) => chain.hook === hook)!.skipped;
  t.is(left?.plugin, "fussy");
  t.regex(left!.reason, /invalid access to packet/);
  t.regex(node.complaints().join(), /best-effort plugins left out: fussy at to_container_pre_ct_v4 of lxc/);

  await node.plugins.configure("fussy", { priority: 3 });
  t.deepEqual(metEverywhere(node), [1, 1, 1], "the next change tries again");
  t.deepEqual(node.complaints(), []);

  node.kernel.failNext("load", refused, { times: 2 });
  await node.plugins
    .register(await writePlugin(node, "fussy", { yaml, ...everywhere, version: "1.0.1" }), {})
    .catch(() => undefined);
  node.kernel.faults.clear();
  await node.plugins.unregister("fussy");
  t.deepEqual(node.complaints(), []);
});

test("whichever call into the kernel fails, a change of plugins happens everywhere or nowhere", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  await node.plugins.register(await writePlugin(node, "old", everywhere), { enable: true });
  await node.plugins.register(await writePlugin(node, "new", everywhere), {});
  const before = node.inventory();
  const calls = await failEachCall(
    node,
    () => node.plugins.enable("new"),
    async ({ call, error }) => {
      const lengths = new Set(metEverywhere(node));
      // Swings come after the decision: one that fails is told, and the next change makes up for it.
      if (lengths.size > 1) t.regex(`${error}`, /not swung everywhere/, call);
      else t.deepEqual([...lengths], [node.plugins.table.get("new")!.enabled ? 2 : 1], call);
      await node.plugins.disable("new");
      t.deepEqual(metEverywhere(node), [1, 1, 1], call);
      t.deepEqual(node.inventory(), before, call);
    },
  );
  t.true(calls > 20, `${calls} calls`);
});

test("a restarted agent keeps chains that run as recorded, down to their programs", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  await node.endpoints.create(podSpec("web"));
  const chains = node.linker.chains();
  const before = node.inventory();
  await node.restart();
  t.deepEqual(node.linker.chains(), chains);
  t.deepEqual(node.inventory(), before);
});

for (const [crash, keep] of [
  ["between the swing and its record", "chains"],
  ["between the decision and the swing", "kernel"],
] as const) {
  test(`a crash ${crash} is made good by the next start`, async (t) => {
    const node = await fakeNode(t);
    await node.endpoints.create(podSpec("web"));
    await node.plugins.register(await writePlugin(node, "first"), { enable: true });
    await node.plugins.register(await writePlugin(node, "second"), {});
    await node.stop();
    const records = new Map<string, readonly ChainRecord[]>();
    await node.onDisk(async (state) => {
      for (const { key, value } of state.collection<readonly ChainRecord[]>("chains").all())
        records.set(key, value);
    });
    await node.start();
    if (keep === "chains") await node.plugins.enable("second");
    await node.stop();
    await node.onDisk(async (state) => {
      if (keep === "chains") {
        // The kernel runs the new chain, the disk knows the old one.
        for (const [key, value] of records) await state.collection("chains").put(key, value);
      } else {
        // The disk wants the new chain, the kernel runs the old one.
        const plugins = state.collection<{ plugin: object }>("plugins");
        const stored = plugins.get("second")!;
        await plugins.put("second", { ...stored, plugin: { ...stored.plugin, enabled: true } });
      }
    });
    await node.start();
    t.deepEqual(linked(node), ["first", "second"]);
    t.deepEqual(met(node), [2]);
    const pins = node.inventory().pins.filter((pin) => /lxc\/chains\/./.test(pin));
    t.is(pins.length, 1, "nothing is left of the chains in between");
  });
}

test("a chain whose array lost its pin is built anew", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  await node.endpoints.create(podSpec("web"));
  await node.stop();
  const directory = "/fake/waggle/attachments/lxc/chains";
  for (const pin of node.kernel.pins.list(directory)) node.kernel.pins.remove(`${directory}/${pin}`, false);
  t.throws(() => node.chains(), { message: /fall out of the chain/ }, "the kernel has emptied it");
  await node.start();
  t.deepEqual(met(node), [1]);
});

test("counters keep their places over relinking and restarts, and give them back when their owner goes", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  await node.endpoints.create(podSpec("web"));
  const slot = (plugin: string): number | undefined =>
    node.linker
      .chains("lxc-1")
      .flatMap(({ links }) => links)
      .find((link) => link.plugin === plugin)?.rank;
  const first = slot("first");
  await node.plugins.register(await writePlugin(node, "second", { yaml: "priority: 1\n" }), { enable: true });
  t.is(slot("first"), first);
  t.not(slot("second"), first);
  await node.plugins.disable("first");
  await node.restart();
  await node.plugins.enable("first");
  t.is(slot("first"), first);

  t.is((await node.linker.counters({ plugin: "first" })).length, 1);
  await node.endpoints.delete(1);
  t.deepEqual(await node.linker.counters(), []);
  await node.endpoints.create(podSpec("web"));
  await node.plugins.unregister("first");
  t.deepEqual(
    (await node.linker.counters()).map(({ plugin }) => plugin),
    ["second"],
  );
});

test("counters of plugins that nobody knows any more are given back at the start", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  await node.endpoints.create(podSpec("web"));
  await node.stop();
  await node.onDisk((state) => state.collection("plugins").delete("first"));
  await node.start();
  t.deepEqual(await node.linker.counters(), []);
  t.deepEqual(met(node), [0]);
});

test("a plan that does not fit the kernel's tail calls is refused with its sum", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  const names = Array.from({ length: 26 }, (_, index) => `p${String(index).padStart(2, "0")}`);
  for (const name of names.slice(0, 25)) {
    await node.plugins.register(await writePlugin(node, name), { enable: true });
  }
  t.deepEqual(met(node), [25]);
  await t.throwsAsync(node.plugins.register(await writePlugin(node, "p25"), { enable: true }), {
    message: /8 stages \+ 26 at to_container_pre_ct_v4 = 34, the kernel allows 33; disable 1 of these/,
  });
  t.deepEqual(met(node), [25]);
});

test("hooks of the overlay and of both families are linked where their programs are", async (t) => {
  const node = await fakeNode(t);
  const hooks = ["from_overlay_v4", "to_overlay_v6", "to_netdev_v4", "to_container_pre_ct_v6"];
  await node.plugins.register(await writePlugin(node, "wide", { hooks }), { enable: true });
  await node.endpoints.create(podSpec("web"));
  const places = () =>
    node.linker
      .chains()
      .filter(({ links }) => links.length > 0)
      .map((chain) => `${chain.attachment} ${chain.hook}`);
  const linkedAt = [
    "lxc to_container_pre_ct_v6",
    "netdev-eth0 to_netdev_v4",
    "overlay-cilium_vxlan from_overlay_v4",
    "overlay-cilium_vxlan to_overlay_v6",
  ];
  t.deepEqual(places(), linkedAt);
  t.is(Object.values(node.chains()).flat().length, linkedAt.length, "packets meet them");
});

test("hook points are idle when no enabled plugin stands there at any attachment", async (t) => {
  const node = await fakeNode(t);
  t.deepEqual(idle(node), allBut());
  await node.plugins.register(await writePlugin(node, "one", everywhere), { enable: true });
  t.deepEqual(idle(node), allBut(...everywhere.hooks));
  await node.plugins.register(await writePlugin(node, "two"), { enable: true });
  await node.plugins.disable("one");
  t.deepEqual(idle(node), allBut(hook));
  await node.restart();
  t.deepEqual(idle(node), allBut(hook));
  await node.plugins.unregister("two");
  t.deepEqual(idle(node), allBut());
});

/** Looks before every call into the kernel whether a plugin is linked at a hook point that is idle. */
function watchIdle(node: FakeNode): { readonly wrong: readonly string[]; looks(): number; end(): void } {
  const { faults } = node.kernel;
  const check = faults.check;
  const wrong: string[] = [];
  let looks = 0;
  faults.check = (operation, object) => {
    looks++;
    const unused = idle(node);
    for (const [name, objects] of Object.entries(node.chains())) {
      if (objects.length > 0 && unused.includes(name.split(" ")[1]!)) wrong.push(`${name}, ${operation}`);
    }
    return check.call(faults, operation, object);
  };
  return {
    wrong,
    looks: () => looks,
    end: () => {
      faults.check = check;
    },
  };
}

test("no plugin is linked at a hook point that is idle, not even for a moment or after a crash", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  await node.plugins.register(await writePlugin(node, "one", everywhere), { enable: false });
  const watched = watchIdle(node);
  try {
    await node.plugins.enable("one");
    await node.plugins.disable("one");
    await node.plugins.enable("one");
    await node.stop();
    await node.onDisk(async (state) => {
      // As if it had been disabled, and the agent had died before it was out.
      const stored = state.collection<{ readonly plugin: { readonly enabled: boolean } }>("plugins");
      const one = stored.get("one")!;
      await stored.put("one", { ...one, plugin: { ...one.plugin, enabled: false } });
    });
    await node.start();
  } finally {
    watched.end();
  }
  t.deepEqual(watched.wrong, []);
  t.true(watched.looks() > 50, `${watched.looks()} looks`);
  t.deepEqual(metEverywhere(node), [0, 0, 0]);
  t.deepEqual(idle(node), allBut());
});
