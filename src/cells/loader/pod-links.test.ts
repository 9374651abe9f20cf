import test from "ava";
import { failEachCall, fakeNode, podSpec } from "../../../test/cells/fake-node.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { DatapathError } from "../../datapath/index.ts";
import { silentLogger } from "../../hive/index.ts";
import { DatapathToken } from "../datapath/index.ts";
import { endpointAttachment } from "../hook-linker/index.ts";
import type { AttachedDevice, EntryPrograms } from "./entries.ts";
import { LinkEndings } from "./link-endings.ts";
import { PodLinks } from "./pod-links.ts";

type Node = Awaited<ReturnType<typeof fakeNode>>;

const soon = { "tcx-quiet-time": "10ms" };
const patient = (): AbortSignal => AbortSignal.timeout(20_000);
const both = ["clsact egress", "clsact ingress", "tcx ingress"];

const attachedAt = ({ kernel }: Node, ifindex: number) =>
  kernel.links.filter((link) => link.ifindex === ifindex);
const modesAt = (node: Node, ifindex: number): readonly string[] =>
  attachedAt(node, ifindex)
    .map(({ mode, direction }) => `${mode} ${direction}`)
    .sort();
const linkAt = (node: Node, ifindex: number) => attachedAt(node, ifindex).find(({ mode }) => mode === "tcx");

test("pods that stay get a link besides their filters, and leave nothing of it", async (t) => {
  const node = await fakeNode(t, soon);
  await node.endpoints.create(podSpec("db"));
  await node.loader.settled(patient());
  const before = node.inventory();
  await node.restart();
  const { id, ifindex } = await node.endpoints.create(podSpec("web"));
  t.deepEqual(modesAt(node, ifindex), both.slice(0, 2), "at first");
  const shown = () => node.loader.attachments().find(({ name }) => name === endpointAttachment(id));
  t.like(shown(), { ingress: "clsact", egress: "clsact" });
  await node.restart(soon);
  await node.loader.settled(patient());
  t.deepEqual(modesAt(node, ifindex), both);
  t.like(shown(), { ingress: "tcx", egress: "clsact" });
  node.chains();
  await node.endpoints.delete(id);
  t.deepEqual(node.inventory(), before);
});

test("another generation takes the place of the old one at filters and links, or at none", async (t) => {
  const node = await fakeNode(t, soon);
  const pods = [await node.endpoints.create(podSpec("web")), await node.endpoints.create(podSpec("db"))];
  await node.loader.settled(patient());
  const programs = () =>
    pods.map(({ ifindex }) =>
      Object.fromEntries(
        attachedAt(node, ifindex).map(({ mode, direction, program }) => [`${mode} ${direction}`, program.id]),
      ),
    );
  const before = programs();
  const inventory = node.inventory();
  t.is(before[0]!["tcx ingress"], before[0]!["clsact ingress"]);
  // All but the last of them is swung by then.
  node.kernel.failNext("attach", "EIO", { object: `egress of interface ${pods[1]!.ifindex}` });
  await t.throwsAsync(node.loader.reload(), { message: /EIO/ });
  t.deepEqual(programs(), before);
  node.chains();
  await node.loader.reload();
  for (const [index, now] of programs().entries()) {
    t.is(now["tcx ingress"], now["clsact ingress"]);
    t.not(now["tcx ingress"], before[index]!["tcx ingress"]);
  }
  t.deepEqual(node.inventory(), inventory);
  node.chains();
});

test("a restarted agent takes the links over, makes those that are missing, and keeps none of pods that went", async (t) => {
  const node = await fakeNode(t, soon);
  const early = await node.endpoints.create(podSpec("early"));
  const gone = await node.endpoints.create(podSpec("gone"));
  await node.loader.settled(patient());
  const taken = linkAt(node, early.ifindex);
  await node.restart();
  const late = await node.endpoints.create(podSpec("late"));
  t.deepEqual(modesAt(node, late.ifindex), both.slice(0, 2), "the agent ends before it has one");
  await node.stop();
  await node.onDisk((state) => state.collection("endpoints").delete(`${gone.id}`));
  await node.start(soon);
  await node.loader.settled(patient());
  t.is(linkAt(node, early.ifindex), taken, "it has been there all the time");
  t.deepEqual(modesAt(node, late.ifindex), both);
  t.deepEqual(modesAt(node, gone.ifindex), []);
  t.true(node.inventory().pins.every((pin) => !pin.includes(endpointAttachment(gone.id))));
});

test("a link that somebody ends is made again, and one with another program gets the right one", async (t) => {
  const node = await fakeNode(t, soon);
  const web = await node.endpoints.create(podSpec("web"));
  await node.loader.settled(patient());
  const { bpf } = node.hive.get(DatapathToken);
  const pinPath = `/fake/waggle/attachments/${endpointAttachment(web.id)}/link-ingress`;
  const spec = { ifindex: web.ifindex, direction: "ingress", mode: "tcx", pinPath } as const;
  bpf.openAttachment(spec)!.detach();
  t.true(node.loader.holds(web), "the filter does");
  await node.loader.settled(patient());
  const link = linkAt(node, web.ifindex)!;
  const { id } = link.program;
  const other = node.kernel.programs.find(({ source }) => source.name === "cil_to_container")!;
  bpf.openAttachment(spec)!.update(bpf.programById(other.id)!);
  t.false(node.loader.holds(web));
  await node.loader.load(web);
  t.true(node.loader.holds(web));
  t.is(linkAt(node, web.ifindex), link);
  t.is(link.program.id, id);
});

test("a pod whose device somebody deletes gets a link at the one in its place", async (t) => {
  const node = await fakeNode(t, soon);
  const { id, ifindex, generation } = await node.endpoints.create(podSpec("web"));
  await node.loader.settled(patient());
  const inventory = node.inventory();
  await node.hive.get(DatapathToken).net.deleteLink(ifindex);
  await eventually("the pod is back", () => {
    const now = node.endpoints.get(id);
    return now?.state === "ready" && now.generation > generation;
  });
  await node.loader.settled(patient());
  t.deepEqual(modesAt(node, ifindex), both);
  t.deepEqual(node.inventory(), inventory);
});

test("whichever call into the kernel fails, the deletion of a pod with a link can be repeated", async (t) => {
  const node = await fakeNode(t, soon);
  await node.endpoints.create(podSpec("db"));
  await node.loader.settled(patient());
  const before = node.inventory();
  const create = async (): Promise<number> => {
    const { id } = await node.endpoints.create(podSpec("web"));
    await node.loader.settled(patient());
    return id;
  };
  let id = await create();
  await failEachCall(
    node,
    async () => {
      if (node.endpoints.get(id) !== undefined) await node.endpoints.delete(id);
    },
    async ({ call }) => {
      while (node.endpoints.get(id) !== undefined) await node.endpoints.delete(id);
      t.deepEqual(node.inventory(), before, call);
      id = await create();
    },
  );
});

const quietMs = 30;
const gone = new DatapathError({ operation: "attach to", object: "lxc-1", errno: 19 });

/** Links of pods, whose making and ending is the test's. */
function links({ linksPods = true } = {}) {
  const held = new Map<string, PromiseWithResolvers<void>>();
  const begun = new Map<string, PromiseWithResolvers<number>>();
  const calls: string[] = [];
  const there = new Set<string>();
  const entries = {
    linksPods,
    hasLink: ({ attachment }: AttachedDevice) => there.has(attachment),
    async link({ attachment }: AttachedDevice) {
      calls.push(`link ${attachment}`);
      begun.get(attachment)?.resolve(performance.now());
      await held.get(attachment)?.promise;
      there.add(attachment);
    },
    async unlink({ attachment }: AttachedDevice) {
      calls.push(`unlink ${attachment}`);
      there.delete(attachment);
    },
    dropPins: ({ attachment }: AttachedDevice) => void calls.push(`unpin ${attachment}`),
  };
  const pods = new PodLinks({ entries, quietMs, checkMs: 1_000, log: silentLogger });
  const programs: EntryPrograms = new Map();
  return {
    pods,
    calls,
    there,
    /** Lets the link of a pod wait once it is begun. */
    hold({ attachment }: AttachedDevice) {
      const [end, begin] = [Promise.withResolvers<void>(), Promise.withResolvers<number>()];
      held.set(attachment, end);
      begun.set(attachment, begin);
      return { ...end, begun: begin.promise };
    },
    run: (signal = patient()) => pods.run(signal, (work) => work(programs)),
  };
}

const device = (id: number): AttachedDevice => ({
  attachment: endpointAttachment(id),
  kind: "lxc",
  ifindex: id + 10,
});

test("where pods are to have no links, nobody asks for one", async (t) => {
  const { pods, calls, run } = links({ linksPods: false });
  pods.add(device(1));
  await Promise.all([run(), pods.settled(patient())]);
  await pods.end(device(1));
  t.deepEqual(calls, []);
});

test("a pod that goes while its link is being made waits for that, and takes it along", async (t) => {
  const { pods, calls, hold, run } = links();
  const held = hold(device(1));
  pods.add(device(1));
  const running = run();
  await held.begun;
  const ended = pods.end(device(1));
  t.deepEqual(calls, ["link lxc-1"]);
  held.resolve();
  await Promise.all([ended, running]);
  t.deepEqual(calls, ["link lxc-1", "unlink lxc-1", "unpin lxc-1"]);
});

test("a device that is deleted meanwhile is no error; another error keeps no pod from its link", async (t) => {
  const { pods, there, hold, run } = links();
  for (const id of [1, 2, 3]) pods.add(device(id));
  hold(device(1)).reject(gone);
  hold(device(2)).reject(new Error("no room"));
  await t.throwsAsync(run(), { instanceOf: AggregateError, message: /1 pods have no link: Error: no room/ });
  t.deepEqual([...there], ["lxc-3"]);
});

test("nobody waits for the link of a pod whose device is gone, until it has one again", async (t) => {
  const { pods, there, hold, run } = links();
  for (const id of [1, 2]) pods.add(device(id));
  hold(device(1)).reject(gone);
  await Promise.all([pods.settled(patient()), run()]);
  t.deepEqual([...there], ["lxc-2"]);
  pods.add(device(1));
  hold(device(1)).resolve();
  await Promise.all([pods.settled(patient()), run()]);
  t.deepEqual([...there], ["lxc-2", "lxc-1"]);
});

test("links wait for pods that come meanwhile, and an agent that stops for the one that is being made", async (t) => {
  const { pods, there, hold, run } = links();
  for (const id of [1, 2, 3]) pods.add(device(id));
  const [one, two] = [hold(device(1)), hold(device(2))];
  const stop = new AbortController();
  const running = run(stop.signal);
  await one.begun;
  pods.add(device(4));
  const cameAt = performance.now();
  one.resolve();
  t.true((await two.begun) - cameAt >= quietMs);
  const waiting = pods.settled(stop.signal);
  stop.abort();
  await t.throwsAsync(waiting, { name: "AbortError" });
  t.is(await Promise.race([running, new Promise((resolve) => setImmediate(resolve, "waits"))]), "waits");
  two.resolve();
  await running;
  t.deepEqual([...there], ["lxc-1", "lxc-2"]);
  await Promise.all([pods.settled(patient()), run()]);
  t.is(there.size, 4);
});

test("links of many pods are ended one after the other, and those asked for meanwhile together", async (t) => {
  const log: string[] = [];
  const endings = new LinkEndings(async ({ attachment }) => {
    log.push(`end ${attachment}`);
    await new Promise((resolve) => setImmediate(resolve));
    if (attachment === "lxc-2") throw new Error("busy");
  });
  const settled = [1, 2, 3].map((id) =>
    endings.add(device(id)).then(
      () => log.push(`ended lxc-${id}`),
      (error: Error) => log.push(`lxc-${id}: ${error.message}`),
    ),
  );
  await Promise.all(settled);
  t.deepEqual(log, ["end lxc-1", "end lxc-2", "ended lxc-1", "end lxc-3", "lxc-2: busy", "ended lxc-3"]);
});
