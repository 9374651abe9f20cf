import test from "ava";
import { failEachCall, fakeNode, podSpec, writePlugin } from "../../../test/cells/fake-node.ts";
import { VerifierError } from "../../datapath/index.ts";

const refused = new VerifierError({
  object: "plugin.o",
  program: "from_netdev_v4",
  errno: 13,
  log: "",
  lastLines: ["back-edge"],
  sourceLine: undefined,
});

test("a changed setting replaces the programs that read it, and nothing of the old generation stays", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  await node.endpoints.create(podSpec("web"));
  const before = node.inventory();
  const programs = new Set(node.kernel.programs.map(({ id }) => id));
  await node.restart({ "ct-tcp-timeout": "2h" });
  t.deepEqual(node.inventory(), before);
  // The overlay's programs keep no connections.
  for (const { attachment, id } of node.loader.programs()) {
    t.is(programs.has(id), attachment === "overlay-cilium_vxlan", attachment);
  }
  node.chains();
});

test("another attach mode takes the place of the first", async (t) => {
  const node = await fakeNode(t);
  await node.endpoints.create(podSpec("web"));
  const modes = () => [...new Set(node.kernel.links.map(({ mode }) => mode))].sort();
  const attachments = node.inventory().attachments;
  t.deepEqual(modes(), ["clsact", "tcx"], "pods have filters, all others links");
  for (const mode of ["clsact", "tcx", "clsact"] as const) {
    await node.restart({ "attach-mode": mode });
    t.deepEqual(modes(), [mode]);
    t.deepEqual(node.inventory().attachments, attachments);
    node.chains();
  }
});

test("whichever call into the kernel fails, the old generation or the new one runs, whole", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "first"), { enable: true });
  for (const pod of ["web", "db"]) await node.endpoints.create(podSpec(pod));
  const before = node.inventory();
  const calls = await failEachCall(
    node,
    () => node.loader.reload(),
    async ({ call, error }) => {
      // Walks every chain, and fails where a packet would be lost.
      node.chains();
      t.truthy(error, call);
      const { pins, maps, programs } = node.inventory();
      await node.loader.reload();
      t.deepEqual(node.inventory(), before, call);
      // What a failed release has left went with the next one.
      if (!/unpin|listPins|quiesce/.test(call)) {
        t.deepEqual(
          { pins, maps, programs },
          { pins: before.pins, maps: before.maps, programs: before.programs },
          call,
        );
      }
    },
  );
  t.true(calls > 25, `${calls} calls`);
});

test("a plugin that a node device refuses keeps no agent down, and is made up for when it goes", async (t) => {
  const node = await fakeNode(t);
  await node.plugins.register(await writePlugin(node, "guard", { hooks: ["from_netdev_v4"] }), {
    enable: true,
  });
  await node.endpoints.create(podSpec("web"));
  await node.stop();
  // What is recorded of the chain is lost, and what would replace it does not load.
  await node.onDisk((state) => state.collection("chains").delete("netdev-eth0"));
  node.kernel.failNext("load", refused, { times: 100 });
  await node.start();
  t.regex(
    node.complaints().join(),
    /netdev-eth0: plugin guard: the kernel's verifier refused from_netdev_v4/,
  );
  t.is(node.endpoints.byName("default/web")?.state, "ready");
  node.chains();
  node.kernel.faults.clear();
  await node.plugins.disable("guard");
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (node.complaints().length > 0) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
  t.is(Object.entries(node.chains()).find(([name]) => name.endsWith(" from_netdev_v4"))?.[1].length, 0);
});

test("a device that is configured no longer is let go of", async (t) => {
  const node = await fakeNode(t);
  t.deepEqual(
    node.loader.attachments().map(({ name }) => name),
    ["host-cilium_host", "overlay-cilium_vxlan", "netdev-eth0"],
  );
  await node.restart({ devices: [], "routing-mode": "native" });
  t.deepEqual(
    node.loader.attachments().map(({ name }) => name),
    ["host-cilium_host"],
  );
  t.false(node.inventory().devices.includes("cilium_vxlan"));
  t.is(node.kernel.links.length, 2);
  t.deepEqual(
    node.inventory().pins.filter((pin) => pin.includes("netdev") || pin.includes("overlay")),
    [],
  );
});
