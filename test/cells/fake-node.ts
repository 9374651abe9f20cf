// A whole node on the fake datapath, without API: everything that decides what the kernel holds, and a kernel that
// can be looked into, made to fail at any call, and handed to the next agent.

import { mkdir, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { DatapathToken, datapathResourcesCell } from "../../src/cells/datapath/index.ts";
import { Endpoints, endpointsCell } from "../../src/cells/endpoints/index.ts";
import type { EndpointManager, EndpointSpec } from "../../src/cells/endpoints/types.ts";
import { HookLinking, hookLinkerCell } from "../../src/cells/hook-linker/index.ts";
import type { HookLinker } from "../../src/cells/hook-linker/types.ts";
import { Identities, identityCell } from "../../src/cells/identity/index.ts";
import { ipamCell, NodeIpam } from "../../src/cells/ipam/index.ts";
import { ipcacheCell } from "../../src/cells/ipcache/index.ts";
import { Loading, loaderCell } from "../../src/cells/loader/index.ts";
import type { Loader } from "../../src/cells/loader/types.ts";
import { nodeConfigCell } from "../../src/cells/node-config/index.ts";
import { Plugins, pluginRegistryCell } from "../../src/cells/plugin-registry/index.ts";
import type { PluginRegistry } from "../../src/cells/plugin-registry/types.ts";
import { pluginTableCell } from "../../src/cells/plugin-table/index.ts";
import { policyMapsCell } from "../../src/cells/policy-maps/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { LmdbStateStore } from "../../src/cells/state/store.ts";
import type { StateStore } from "../../src/cells/state/types.ts";
import { createFakeDatapath, FakeKernel } from "../../src/datapath/fake/index.ts";
import { DatapathError } from "../../src/datapath/index.ts";
import { endpointsMap, policiesMap } from "../../src/datapath/maps/index.ts";
import {
  CALLS_MAP,
  CHAIN_MAP_PREFIX,
  CHAIN_POSITION_PREFIX,
  hookPoint,
  hooksOf,
  OBJECT_KINDS,
  objectOf,
  PIPELINE,
} from "../../src/datapath/pipeline.ts";
import {
  type HealthNode,
  HealthTree,
  Hive,
  invoke,
  module,
  provide,
  silentLogger,
} from "../../src/hive/index.ts";
import { scratchDirectory } from "./support.ts";

/** Where each entry program hangs. */
const entryKinds = new Map(
  OBJECT_KINDS.flatMap((kind) => PIPELINE[kind].entries).map(({ program, attachment }) => [
    program,
    attachment,
  ]),
);

type Program = FakeKernel["programs"][number];

const bpfRoot = "/fake/waggle";

/** What there is of a node outside the agent's memory. */
export type Inventory = Readonly<
  Record<
    | "pins"
    | "programs"
    | "maps"
    | "attachments"
    | "devices"
    | "identities"
    | "endpoints"
    | "lxc"
    | "ipcache"
    | "pods",
    readonly string[]
  >
> & { readonly addresses: readonly number[]; readonly policies: readonly number[] };

/** One run of the agent, and what stays of it. */
export class FakeNode {
  readonly kernel: FakeKernel;
  readonly directory: string;
  #hive: Hive | undefined;

  constructor(kernel: FakeKernel, directory: string) {
    this.kernel = kernel;
    this.directory = directory;
  }

  get hive(): Hive {
    if (this.#hive === undefined) throw new Error("the fake node's agent does not run");
    return this.#hive;
  }
  get endpoints(): EndpointManager {
    return this.hive.get(Endpoints);
  }
  get plugins(): PluginRegistry {
    return this.hive.get(Plugins);
  }
  get linker(): HookLinker {
    return this.hive.get(HookLinking);
  }
  get loader(): Loader {
    return this.hive.get(Loading);
  }

  async start(flags: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const kernel = this.kernel;
    const hive = new Hive({
      name: "fake-node",
      logger: silentLogger,
      cells: [
        stateCell,
        module(
          "datapath",
          "A fake",
          provide(DatapathToken, {}, () => createFakeDatapath({ kernel })),
          datapathResourcesCell,
        ),
        nodeConfigCell,
        ipamCell,
        identityCell,
        ipcacheCell,
        policyMapsCell,
        pluginTableCell,
        hookLinkerCell,
        pluginRegistryCell,
        loaderCell,
        endpointsCell,
        invoke({ endpoints: Endpoints, plugins: Plugins }, () => undefined),
      ],
      settings: {
        flags: {
          "state-dir": this.directory,
          datapath: "fake",
          "bpf-root": bpfRoot,
          devices: ["eth0"],
          "pod-cidr-v6": "fd00:10:0:1::/64",
          // Only what the kernel reports, so that nothing happens beside what a test does.
          "check-interval": "1h",
          "tcx-quiet-time": "1h",
          ...flags,
        },
      },
    });
    await hive.start();
    this.#hive = hive;
  }

  /** Ends the agent; its kernel and its disk stay. */
  async stop(): Promise<void> {
    const hive = this.#hive;
    this.#hive = undefined;
    if (hive === undefined) return;
    const datapath = hive.get(DatapathToken);
    await hive.stop();
    // A process that ends lets go of everything it has open.
    datapath.close();
  }

  async restart(flags: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.stop();
    await this.start(flags);
  }

  /** Changes what is on disk while no agent runs. */
  async onDisk(change: (state: StateStore) => Promise<void>): Promise<void> {
    const store = new LmdbStateStore(this.directory);
    await store.open();
    try {
      await change(store);
    } finally {
      await store.close();
    }
  }

  /** Everything there is of the node outside the agent's memory, to be compared. */
  inventory(): Inventory {
    const { kernel } = this;
    const ids = this.hive.get(Identities).table.list();
    return {
      pins: [...pinsBelow(kernel, bpfRoot)].sort(),
      programs: kernel.programs.map(({ source }) => source.name).sort(),
      maps: kernel.maps.map(({ spec }) => spec.name).sort(),
      attachments: kernel.links.map(({ ifindex, direction }) => `${ifindex} ${direction}`).sort(),
      devices: [...kernel.network.root.links.values()].map(({ name }) => name).sort(),
      identities: ids.map(({ id, references }) => `${id} ×${references}`),
      addresses: this.hive.get(NodeIpam).pools.map(({ used }) => used),
      endpoints: this.endpoints.table.list().map(({ id, spec, state }) => `${id} ${spec.name} ${state}`),
      lxc: entriesOf(kernel, "cilium_lxc"),
      ipcache: entriesOf(kernel, "cilium_ipcache"),
      pods: [...entriesOf(kernel, "waggle_devices"), ...podRows(kernel)],
      policies: [...(kernel.maps.find(({ spec }) => spec.name === policiesMap.name)?.inner.keys() ?? [])],
    };
  }

  /** Why the health tree is not well; empty when it is. */
  complaints(): readonly string[] {
    const complaintsOf = ({ own, path, message, children }: HealthNode): readonly string[] => [
      ...(own === "degraded" ? [`${path}: ${message}`] : []),
      ...children.flatMap(complaintsOf),
    ];
    return complaintsOf(this.hive.get(HealthTree).snapshot());
  }

  /**
   * Walks the way of packets through every attachment and returns, by "ifindex hook", the objects of the plugin
   * programs in order. @throws Error when a tail call would be missed
   */
  chains(): Readonly<Record<string, readonly string[]>> {
    const found: Record<string, readonly string[]> = {};
    for (const { ifindex, program } of this.kernel.links) {
      const calls = program.source.maps.get(CALLS_MAP)!;
      const kind = entryKinds.get(program.source.name)!;
      for (const { slot, program: stage } of objectOf(kind).stages) {
        if (calls.slots.get(slot)?.source.name !== stage)
          throw new Error(`${ifindex}: slot ${slot} does not hold ${stage}`);
      }
      for (const hook of hooksOf(kind)) {
        found[`${ifindex} ${hook.name}`] = walk(calls.slots.get(hook.slot), hook.name, hook.target);
      }
    }
    return found;
  }
}

function walk(first: Program | undefined, hook: string, target: string): readonly string[] {
  const objects: string[] = [];
  for (let at = first; ; ) {
    if (at === undefined)
      throw new Error(`${hook}: a packet would fall out of the chain after ${objects.length}`);
    if (at.source.name === target) return objects;
    objects.push(at.source.object);
    const next = at.source.constants.get(CHAIN_POSITION_PREFIX + hook)?.readUInt32LE() ?? 0;
    at = at.source.maps.get(CHAIN_MAP_PREFIX + hook)?.slots.get(next);
  }
}

function pinsBelow(kernel: FakeKernel, directory: string): readonly string[] {
  return kernel.pins.list(directory).flatMap((name) => {
    const path = `${directory}/${name}`;
    // Arrays have random ends.
    return kernel.pins.get(path) === undefined
      ? pinsBelow(kernel, path)
      : [path.replace(/-[0-9a-f]{8}$/, "-*")];
  });
}

const entriesOf = (kernel: FakeKernel, map: string): readonly string[] => {
  const store = kernel.maps.find(({ spec }) => spec.name === map)?.store;
  return (store?.entries() ?? []).map(({ key }) => key.toString("hex")).sort();
};

/** The rows of waggle_endpoints that are in use: all others are zeros. */
const podRows = (kernel: FakeKernel): readonly string[] => {
  const store = kernel.maps.find(({ spec }) => spec.name === endpointsMap.name)?.store;
  return (store?.entries() ?? [])
    .filter(({ value }) => value.some((byte) => byte !== 0))
    .map(({ key }) => `endpoint ${key.readUInt32LE()}`);
};

/** A started node with a kernel of its own. */
export async function fakeNode(
  t: ExecutionContext,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<FakeNode> {
  const node = new FakeNode(new FakeKernel(), await scratchDirectory(t));
  t.teardown(() => node.stop());
  await node.start(flags);
  return node;
}

/** Writes a plugin to the node's disk, below its state, and returns its directory. */
export async function writePlugin(
  node: FakeNode,
  name: string,
  { version = "1.0.0", hooks = ["to_container_pre_ct_v4"], yaml = "", c = "" } = {},
): Promise<string> {
  const directory = join(node.directory, "plugins", name);
  await mkdir(join(directory, "hooks"), { recursive: true });
  const points = hooks.map((hook) => `  - point: ${hook}\n`).join("");
  const manifest = `apiVersion: waggle/v1\nname: ${name}\nversion: ${version}\nhooks:\n${points}${yaml}`;
  await writeFile(join(directory, "plugin.yaml"), manifest);
  for (const file of OBJECT_KINDS) {
    const own = hooks.filter((hook) => hookPoint(hook)?.object === file);
    const programs = own.map((hook) => `HOOK(${hook})\n{\n\treturn HOOK_NEXT;\n}\n`).join("\n");
    const source = `/* ${name} ${version} */\n#include <waggle/plugin.h>\n${c}\n${programs}`;
    if (own.length > 0) await writeFile(join(directory, "hooks", `${file}.c`), source);
  }
  return directory;
}

/** What an endpoint is asked for with. */
export const podSpec = (name: string, more: Partial<EndpointSpec> = {}): EndpointSpec => ({
  name: `default/${name}`,
  netns: `/run/netns/${name}`,
  podInterface: "eth0",
  hostInterface: undefined,
  ipv4: undefined,
  ipv6: undefined,
  labels: { app: name },
  policy: { enforceIngress: false, enforceEgress: false, rules: [] },
  ...more,
});

/**
 * Runs `work` again and again, and lets its first, second, third … call into the datapath fail, until a run gets
 * through without meeting the failure. `between` is told of each run that met it.
 *
 * @returns how many calls there were to fail
 */
export async function failEachCall(
  { kernel }: FakeNode,
  work: () => Promise<unknown>,
  between: (met: { readonly call: string; readonly error: unknown }) => Promise<void>,
): Promise<number> {
  const { faults } = kernel;
  const check = faults.check.bind(faults);
  try {
    for (let failing = 1; ; failing++) {
      let calls = 0;
      let met: string | undefined;
      faults.check = (operation, object) => {
        if (++calls !== failing) return check(operation, object);
        met = `${operation} ${object}`;
        throw new DatapathError({ operation, object, errno: constants.errno.EIO });
      };
      let error: unknown;
      try {
        await work();
      } catch (caught) {
        error = caught;
      }
      faults.check = check;
      if (met === undefined) {
        if (error !== undefined) throw error;
        return failing - 1;
      }
      await between({ call: `call ${failing}, ${met}`, error });
    }
  } finally {
    faults.check = check;
  }
}
