// The cells on the real kernel's maps, in a bpffs of their own.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import ava, { type ExecutionContext } from "ava";
import { DatapathToken, GlobalMapsToken, pinLayout } from "../../src/cells/datapath/index.ts";
import type { Endpoint } from "../../src/cells/endpoints/types.ts";
import { Identities, identityCell } from "../../src/cells/identity/index.ts";
import { type IpCacheEntry, IpCaches, ipcacheCell } from "../../src/cells/ipcache/index.ts";
import { kvstoreCell } from "../../src/cells/kvstore/index.ts";
import { DatapathMetrics, Monitoring, monitorCell } from "../../src/cells/monitor/index.ts";
import { NodeNetworking, NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { Policies, policyMapsCell } from "../../src/cells/policy-maps/index.ts";
import { Services, servicesCell } from "../../src/cells/services/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import {
  createKernelDatapath,
  type Datapath,
  type RawMap,
  type TypedMapSpec,
} from "../../src/datapath/index.ts";
import { globalMapSpecs, mapSpecByName, type RuntimeConfig } from "../../src/datapath/maps/index.ts";
import { config, Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { kernelTest } from "../support/world-tests.ts";
import { nodeNetwork, scratchDirectory, wantedService } from "./support.ts";

interface Kernel {
  readonly datapath: Datapath;
  readonly raw: Readonly<Record<string, RawMap>>;
  readonly root: string;
}

async function kernelMaps(t: ExecutionContext): Promise<Kernel> {
  const directory = await scratchDirectory(t);
  const datapath = createKernelDatapath({ cacheDir: join(directory, "cache") });
  const root = join(directory, "bpf");
  mkdirSync(root);
  datapath.bpf.ensureBpffs(root);
  const pins = pinLayout(root);
  for (const path of [pins.globals, pins.policy]) datapath.bpf.makePinDirectory(path);
  const maxEntries = { cilium_ct4_global: 1024, cilium_ipcache: 100_000 };
  const raw = Object.fromEntries(
    globalMapSpecs({ cpus: datapath.bpf.cpus, maxEntries }).map((spec) => [
      spec.name,
      datapath.bpf.ensurePinnedMap(spec, join(pins.globals, spec.name)),
    ]),
  );
  t.teardown(() => {
    for (const map of Object.values(raw)) map.close();
    datapath.bpf.unmountBpffs(root);
    datapath.close();
  });
  return { datapath, raw, root };
}

async function started(t: ExecutionContext, { datapath, raw, root }: Kernel, stateDir: string) {
  const hive = new Hive({
    name: "cells-on-kernel",
    logger: silentLogger,
    cells: [
      stateCell,
      config(NodeSettings, nodeFlags),
      kvstoreCell,
      supply(DatapathToken, datapath),
      supply(GlobalMapsToken, {
        pins: pinLayout(root),
        raw,
        typed: <K, V>(name: string) =>
          datapath.bpf.typed(raw[name]!, mapSpecByName(name) as unknown as TypedMapSpec<K, V>),
      }),
      supply(NodeNetworking, nodeNetwork()),
      identityCell,
      ipcacheCell,
      servicesCell,
      policyMapsCell,
      monitorCell,
      invoke(
        {
          ipcache: IpCaches,
          services: Services,
          policies: Policies,
          identities: Identities,
          monitor: Monitoring,
          metrics: DatapathMetrics,
        },
        () => undefined,
      ),
    ],
    settings: { flags: { "state-dir": stateDir } },
  });
  await hive.start();
  t.teardown(() => hive.stop());
  return {
    ipcache: hive.get(IpCaches),
    services: hive.get(Services),
    policies: hive.get(Policies),
    identities: hive.get(Identities),
    monitor: hive.get(Monitoring),
    metrics: hive.get(DatapathMetrics),
    stop: () => hive.stop(),
  };
}

async function print({ datapath, raw }: Kernel, name: string): Promise<string[]> {
  const spec = mapSpecByName(name) as unknown as TypedMapSpec<unknown, unknown>;
  const entries = await datapath.bpf.typed(raw[name]!, spec).entries();
  return entries.map(([key, value]) => `${spec.formatKey(key)} -> ${spec.formatValue(value)}`).sort();
}

const pod = (prefix: string, identity: number): IpCacheEntry => ({
  prefix,
  identity,
  tunnelEndpoint: "0.0.0.0",
  encryptKey: 0,
  source: "endpoint",
});

await kernelTest("cells on the kernel's maps", () => {
  ava.serial(
    "prefixes are in the kernel when promised, survive a restart, and leave with their source",
    async (t) => {
      const kernel = await kernelMaps(t);
      const stateDir = await scratchDirectory(t);
      const first = await started(t, kernel, stateDir);
      await first.ipcache.apiUpsert({ ...pod("10.9.0.0/16", 1000), tunnelEndpoint: "192.0.2.7" });
      const many = Array.from({ length: 50_000 }, (_, i) => pod(`10.50.${i >> 8}.${i & 255}/32`, 300));
      const began = performance.now();
      await first.ipcache.reconciler.waitReconciled(first.ipcache.upsertMany(many));
      t.log(`50,000 prefixes in ${Math.round(performance.now() - began)} ms`);
      t.is((await print(kernel, "cilium_ipcache")).length, 50_005);
      await first.stop();
      const second = await started(t, kernel, stateDir);
      await second.ipcache.reconciler.prune();
      t.deepEqual(await print(kernel, "cilium_ipcache"), [
        "0.0.0.0/0 -> identity=2 encryptkey=0 tunnelendpoint=0.0.0.0",
        "10.0.1.0/24 -> identity=3 encryptkey=0 tunnelendpoint=0.0.0.0",
        "10.0.1.1/32 -> identity=1 encryptkey=0 tunnelendpoint=0.0.0.0",
        "10.9.0.0/16 -> identity=1000 encryptkey=0 tunnelendpoint=192.0.2.7",
        "192.0.2.10/32 -> identity=1 encryptkey=0 tunnelendpoint=0.0.0.0",
      ]);
    },
  );

  ava.serial("services grow, shrink and go in the kernel's maps", async (t) => {
    const kernel = await kernelMaps(t);
    const { services } = await started(t, kernel, await scratchDirectory(t));
    const web = (backends: readonly string[]) =>
      services.upsert(wantedService("default/web", "10.96.0.1", backends));
    await web(["10.0.1.2", "10.0.1.3", "10.0.1.4"]);
    await web(["10.0.1.4"]);
    t.deepEqual(await print(kernel, "cilium_lb4_services_v2"), [
      "10.96.0.1:80/TCP (1) -> 3 0 (1) [0x0 0x0]",
      "10.96.0.1:80/TCP -> 0 1 (1) [0x0 0x0]",
    ]);
    t.deepEqual(await print(kernel, "cilium_lb4_backends_v2"), ["3 -> TCP://10.0.1.4:8080"]);
    t.deepEqual(await print(kernel, "cilium_lb4_reverse_nat"), ["1 -> 10.96.0.1:80"]);
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 10_000 }, (_, i) =>
        services.upsert(
          wantedService(`s-${i}`, `10.97.${i >> 8}.${i & 255}`, [], {
            protocol: "udp",
            backends: Array.from({ length: 4 }, (_unused, k) => ({
              ip: `10.0.${k}.${i & 255 || 1}`,
              port: 1 + (i >> 8),
              state: "active",
              node: "",
            })),
          }),
        ),
      ),
    );
    t.log(`10,000 services with 40,000 slots in ${Math.round(performance.now() - began)} ms`);
    t.is((await print(kernel, "cilium_lb4_services_v2")).length, 50_002);
    await Promise.all([...services.table.list()].map(({ name }) => services.delete(name)));
    for (const map of ["services_v2", "backends_v2", "reverse_nat"]) {
      t.deepEqual(await print(kernel, `cilium_lb4_${map}`), []);
    }
  });

  ava.serial("an endpoint's policy map is pinned, follows identities, and outlives the agent", async (t) => {
    const kernel = await kernelMaps(t);
    const stateDir = await scratchDirectory(t);
    const endpoint = {
      id: 12,
      spec: {
        policy: {
          rules: [
            {
              direction: "ingress",
              action: "allow",
              peer: { kind: "labels", labels: { app: "web" } },
              protocol: "tcp",
              port: 80,
            },
            { direction: "egress", action: "deny", peer: { kind: "any" }, protocol: "any", port: 0 },
          ],
        },
      },
    } as unknown as Endpoint;
    const first = await started(t, kernel, stateDir);
    const map = await first.policies.ensure(endpoint);
    const { id } = await first.identities.acquire({ app: "web" });
    const lines = async (): Promise<string[]> =>
      (await map.entries())
        .map(([key, value]) => `${map.spec.formatKey(key)} ${value.deny ? "deny" : "allow"}`)
        .sort();
    t.deepEqual(await lines(), ["Egress: 0 0/ANY deny", `Ingress: ${id} 80/TCP allow`]);
    const mapId = map.info.id;
    await first.stop();
    t.deepEqual(kernel.datapath.bpf.listPins(join(kernel.root, "policy")), ["cilium_policy_00012"]);
    const second = await started(t, kernel, stateDir);
    t.is((await second.policies.ensure(endpoint)).info.id, mapId);
    second.policies.remove(12);
    t.deepEqual(kernel.datapath.bpf.listPins(join(kernel.root, "policy")), []);
  });

  ava.serial("the monitor opens and closes the kernel's perf buffers and sets the switches", async (t) => {
    const kernel = await kernelMaps(t);
    const { monitor, metrics } = await started(t, kernel, await scratchDirectory(t));
    const runtime = kernel.datapath.bpf.typed(
      kernel.raw.waggle_runtime!,
      mapSpecByName("waggle_runtime") as unknown as TypedMapSpec<number, RuntimeConfig>,
    );
    const reading = monitor.events({ drops: true, traces: true, verdicts: false }).subscribe();
    t.deepEqual(runtime.lookup(0), { trace: true, verdicts: false });
    reading.unsubscribe();
    t.deepEqual(runtime.lookup(0), { trace: false, verdicts: false });
    t.deepEqual(await metrics.read(), []);
  });
});
