// Plugins that are wrong in every way: each is refused with words that help, and nothing that runs notices.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { CallError, everything } from "../../src/client/index.ts";
import type { World } from "../../src/playground/index.ts";
import { startTcpServer } from "../../src/playground/traffic.ts";
import { droppedPackets } from "../support/events.ts";
import { connects, echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";
import {
  allChains,
  chainAt,
  countersAt,
  type Files,
  fixture,
  mapValues,
  nothing,
  shipped,
  variant,
  writePlugin,
} from "./fixtures/plugins/index.ts";

const hook = "to_container_pre_ct_v4";
const manifest = (more = ""): string =>
  `apiVersion: waggle/v1\nname: hostile\nversion: 1.0.0\nhooks:\n  - point: ${hook}\n${more}`;
const source = (body: string, above = ""): string =>
  `#include <waggle/plugin.h>\n${above}\nHOOK(${hook})\n{\n${body}\n}\n`;
const plugin = (body: string, above = ""): Files => ({
  "plugin.yaml": manifest(),
  "hooks/lxc.c": source(body, above),
});

/** All that a refused plugin must leave as it is. */
async function stateOf(world: World): Promise<unknown> {
  const { client } = world;
  const [chains, endpoints, plugins, programs] = await Promise.all([
    allChains(world),
    everything(
      (page) => client.endpoints.listEndpoints({ ...page, labels: {} }),
      (page) => page.endpoints,
    ),
    everything(
      (page) => client.plugins.listPlugins(page),
      (page) => page.plugins,
    ),
    everything(
      (page) => client.datapath.listPrograms({ ...page, attachment: "" }),
      (page) => page.programs,
    ),
  ]);
  return { chains, endpoints, plugins, programs };
}

/** Expects a refusal, its words, and that chains, endpoints and traffic are as they were. */
async function refused(
  t: ExecutionContext,
  world: World,
  call: () => Promise<unknown>,
  status: string,
  ...words: readonly RegExp[]
): Promise<void> {
  const before = await stateOf(world);
  const dropsBefore = await droppedPackets(world);
  const counted = (await countersAt(world, "packet-counter", "pod2", hook)).packets;
  const error = await t.throwsAsync(call, { instanceOf: CallError });
  t.is((error as CallError).status, status, error?.message);
  for (const word of words) t.regex(error!.message, word);
  t.deepEqual(await stateOf(world), before);
  t.is((await echo(world, "pod1", world.pod("pod2").ipv4, 3)).received, 3);
  t.is((await countersAt(world, "packet-counter", "pod2", hook)).packets, counted + 3n);
  t.is(await droppedPackets(world), dropsBefore);
}

const register = (world: World, directory: string) => () =>
  world.client.plugins.registerPlugin({ directory, enable: true, config: {}, replaceMaps: false });

const refusals: readonly (readonly [what: string, files: Files, status: string, ...words: RegExp[]])[] = [
  [
    "a loop without end",
    plugin("\tvolatile __u32 turns = 0;\n\n\tfor (;;)\n\t\tturns++;\n\treturn HOOK_NEXT;"),
    "FAILED_PRECONDITION",
    /plugin hostile: the kernel's verifier refused to_container_pre_ct_v4/,
    /infinite loop|too large|back-edge|unreachable|last insn/,
  ],
  [
    "a read behind the packet's end",
    plugin(
      "\tconst volatile __u8 *data = (const void *)(long)ctx->data;\n\n\treturn data[40] ? HOOK_NEXT : HOOK_DROP;",
    ),
    "FAILED_PRECONDITION",
    /invalid access to packet, off=40 size=1/,
    /at: .*(lxc\.c|data\[40\])/,
  ],
  [
    "a store to the datapath's own word of the packet's control block",
    plugin("\tif (ctx->len > 100)\n\t\tctx->cb[4] = ctx->len;\n\treturn HOOK_NEXT;"),
    "FAILED_PRECONDITION",
    /HOOK\(to_container_pre_ct_v4\) in hooks\/lxc\.c stores to ctx->cb\[4\], which is the datapath's/,
    /Keep to ctx->cb\[0\] to \[2\], or use a map/,
  ],
  [
    "a hook point that does not exist, in C",
    {
      "plugin.yaml": manifest(),
      "hooks/lxc.c": "#include <waggle/plugin.h>\n\nHOOK(before_everything)\n{\n\treturn HOOK_NEXT;\n}\n",
    },
    "FAILED_PRECONDITION",
    /hooks\/lxc\.c:3/,
    /HOOK\(before_everything\): no such hook point/,
    /to_container_pre_\{ct,policy,deliver\}_\{v4,v6\}/,
  ],
  [
    "a hook point that does not exist, in plugin.yaml",
    { ...plugin("\treturn HOOK_NEXT;"), "plugin.yaml": manifest().replace(hook, "before_everything") },
    "INVALID_ARGUMENT",
    /plugin\.yaml:5: point: "before_everything" is no hook point; the nearest is [a-z_]+_v4; waggle hook list/,
  ],
  [
    "an error of syntax",
    plugin("\treturn HOOK_NEXT"),
    "FAILED_PRECONDITION",
    /hooks\/lxc\.c:5:\d+: error: expected ';' after return statement/,
  ],
  [
    "a warning of the compiler",
    plugin("\tint unused = 1;\n\n\treturn HOOK_NEXT;"),
    "FAILED_PRECONDITION",
    /hooks\/lxc\.c:5:\d+: error: unused variable 'unused'/,
  ],
  [
    "a global variable",
    plugin("\tseen++;\n\treturn HOOK_NEXT;", "__u64 seen;"),
    "FAILED_PRECONDITION",
    /hooks\/lxc\.c has global variables \(\.bss\)/,
    /keep state in a map/,
  ],
  [
    "a map with one of the core's names",
    plugin(
      "\t__u32 key = 0;\n\n\treturn bpf_map_lookup_elem(&cilium_lxc, &key) ? HOOK_NEXT : HOOK_DROP;",
      'struct {\n\t__uint(type, BPF_MAP_TYPE_ARRAY);\n\t__uint(max_entries, 1);\n\t__type(key, __u32);\n\t__type(value, __u64);\n} cilium_lxc SEC(".maps");',
    ),
    "FAILED_PRECONDITION",
    /declares cilium_lxc: names of maps that begin with wg_, cilium_, waggle_ are reserved; rename/,
  ],
  [
    "a missing source file",
    { "plugin.yaml": manifest() },
    "INVALID_ARGUMENT",
    /to_container_pre_ct_v4 needs hooks\/lxc\.c, which .* does not have/,
  ],
  [
    "a hook of another object",
    {
      "plugin.yaml": manifest().replace(hook, "from_netdev_v4"),
      "hooks/host.c": "#include <waggle/plugin.h>\n\nHOOK(from_netdev_v4)\n{\n\treturn HOOK_NEXT;\n}\n",
      "hooks/lxc.c": source("\treturn HOOK_NEXT;"),
    },
    "INVALID_ARGUMENT",
    /hooks\/lxc\.c has HOOK\(to_container_pre_ct_v4\), which is not listed under hooks/,
  ],
  [
    "a hook that the source does not have",
    { ...plugin("\treturn HOOK_NEXT;"), "plugin.yaml": manifest("  - point: to_container_pre_policy_v4\n") },
    "INVALID_ARGUMENT",
    /to_container_pre_policy_v4 is listed under hooks, but hooks\/lxc\.c has no HOOK\(to_container_pre_policy_v4\)/,
  ],
  [
    "a configured value that the manifest does not know",
    plugin("\treturn PLUGIN_CONFIG_GET(secret) ? HOOK_NEXT : HOOK_DROP;", "PLUGIN_CONFIG(__u8, secret, 1);"),
    "INVALID_ARGUMENT",
    /hooks\/lxc\.c has PLUGIN_CONFIG secret, not listed under config/,
  ],
  [
    "broken YAML",
    {
      ...plugin("\treturn HOOK_NEXT;"),
      "plugin.yaml": "apiVersion: waggle/v1\nname: [hostile\nversion: 1.0.0\n",
    },
    "INVALID_ARGUMENT",
    /plugin\.yaml:\d/,
  ],
  [
    "YAML that is no manifest",
    { ...plugin("\treturn HOOK_NEXT;"), "plugin.yaml": manifest("colour: blue\npriority: soon\n") },
    "INVALID_ARGUMENT",
    /plugin\.yaml:6: colour is no field; known: apiVersion, name/,
    /plugin\.yaml:7: priority: must be a whole number/,
  ],
  [
    "a name that cannot be a directory",
    { ...plugin("\treturn HOOK_NEXT;"), "plugin.yaml": manifest().replace("hostile", "../hostile") },
    "INVALID_ARGUMENT",
    /plugin\.yaml:2: name: .* must be 1 to 31 of a-z, 0-9 and -/,
  ],
];

await worldTests(
  "hostile plugins",
  { pods: 2, plugins: [{ directory: shipped("packet-counter") }] },
  (test) => {
    for (const [what, files, status, ...words] of refusals) {
      test(`${what} is refused`, async (t, world) => {
        const directory = await writePlugin(world, what.replaceAll(/[^a-z]+/gi, "-"), files);
        await refused(t, world, register(world, directory), status, ...words);
      });
    }

    test("a directory that cannot be read is refused", async (t, world) => {
      const root = await writePlugin(world, "odd", plugin("\treturn HOOK_NEXT;"));
      const nowhere = join(root, "nowhere");
      await refused(
        t,
        world,
        register(world, nowhere),
        "INVALID_ARGUMENT",
        /nowhere\/plugin\.yaml: there is no such file/,
      );
      await refused(
        t,
        world,
        register(world, "plugins/odd"),
        "INVALID_ARGUMENT",
        /directory: .*absolute path/,
      );
      await refused(t, world, register(world, `${root}/../odd`), "INVALID_ARGUMENT", /directory: .*"\.\."/);
      await refused(t, world, register(world, ""), "INVALID_ARGUMENT", /directory/);
      await refused(
        t,
        world,
        register(world, join(root, "plugin.yaml")),
        "INVALID_ARGUMENT",
        /is no directory/,
      );
      await mkdir(join(root, "nested/plugin.yaml"), { recursive: true });
      await refused(t, world, register(world, join(root, "nested")), "INVALID_ARGUMENT", /is no file/);
      await writeFile(join(root, "plugin.yaml"), "#".repeat(100_000));
      await refused(t, world, register(world, root), "INVALID_ARGUMENT", /larger than 65536 bytes/);
    });

    test("a name that is taken by another directory is refused", async (t, world) => {
      const directory = await writePlugin(world, "impostor", nothing("packet-counter"));
      const words =
        /plugin packet-counter is registered from .*bpf\/plugins\/packet-counter; unregister it first, or rename/;
      await refused(t, world, register(world, directory), "ALREADY_EXISTS", words);
    });

    test("an upgrade that does not load leaves the old version running", async (t, world) => {
      const directory = await writePlugin(world, "upgrade", nothing("upgrade"));
      await register(world, directory)();
      await writePlugin(world, "upgrade", { "hooks/lxc.c": source("\treturn *(volatile int *)0;") });
      await refused(t, world, register(world, directory), "FAILED_PRECONDITION", /verifier refused/);
      t.deepEqual(await chainAt(world, "pod2", hook), ["packet-counter", "upgrade"]);
      await world.client.plugins.unregisterPlugin({ name: "upgrade" });
    });

    test("plugins that want to run before each other are refused with the cycle", async (t, world) => {
      const early = await writePlugin(world, "early", nothing("early", hook, "    before: [late]\n"));
      const late = await writePlugin(world, "late", nothing("late", hook, "    before: [middle]\n"));
      const middle = await writePlugin(world, "middle", nothing("middle", hook, "    before: [early]\n"));
      await register(world, early)();
      await register(world, late)();
      const path =
        /to_container_pre_ct_v4: ordering constraints form a cycle: early BEFORE late BEFORE middle BEFORE early/;
      await refused(
        t,
        world,
        register(world, middle),
        "FAILED_PRECONDITION",
        path,
        /remove one of these constraints/,
      );
      for (const name of ["early", "late"]) await world.client.plugins.unregisterPlugin({ name });
    });

    test("a chain longer than the kernel's tail calls is refused with the sum", async (t, world) => {
      const { plugins } = world.client;
      // Eight calls are the core's own, one is packet-counter's here and one where the pod sends.
      const room = 33 - 8 - 2;
      const names = Array.from({ length: 40 }, (_, index) => `link-${String(index).padStart(2, "0")}`);
      for (const [index, name] of names.entries()) {
        const directory = await writePlugin(world, name, nothing(name));
        await plugins.registerPlugin({ directory, enable: index < room, config: {}, replaceMaps: false });
      }
      t.deepEqual(
        await chainAt(world, "pod2", hook),
        ["packet-counter", ...names.slice(0, room)].sort((a, b) => (a < b ? -1 : 1)),
      );
      t.is((await echo(world, "pod1", world.pod("pod2").ipv4, 5)).received, 5, "the longest chain works");
      t.is((await countersAt(world, names[room - 1]!, "pod2", hook)).next, 5n);

      const one = () => plugins.enablePlugin({ name: names[room]! });
      const sum =
        /tail-call budget exceeded on the path network to pod: 8 stages \+ 1 at from_netdev_v4 \+ 25 at to_container_pre_ct_v4 = 34, the kernel allows 33; disable 1 of these/;
      await refused(t, world, one, "FAILED_PRECONDITION", sum);
      const all = () => plugins.planChains({ enable: names, disable: [], priorities: {} });
      await refused(
        t,
        world,
        all,
        "FAILED_PRECONDITION",
        /\+ 41 at to_container_pre_ct_v4 = 50, the kernel allows 33; disable 17/,
      );
      for (const name of names) await plugins.unregisterPlugin({ name });
    });

    test("a plugin that a newcomer wrote from plugin.h alone works within a minute", async (t, world) => {
      const begun = performance.now();
      const directory = await variant(world, fixture("newcomer"), "newcomer", {});
      await register(world, directory)();
      t.true(performance.now() - begun < 60_000);
      const target = world.pod("pod2").ipv4;
      await echo(world, "pod1", target, 5);
      // Each request and each answer passes two pods.
      t.is((await mapValues(world, "newcomer", "by_protocol"))[1], 20);
      await startTcpServer(world, "pod2", 23);
      t.false(await connects(world, "pod1", target, 23, 400));
      await world.client.plugins.configurePlugin({ name: "newcomer", config: { port: "24" } });
      t.true(await connects(world, "pod1", target, 23));
      await world.client.plugins.unregisterPlugin({ name: "newcomer" });
    });
  },
);
