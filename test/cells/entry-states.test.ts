import test, { type ExecutionContext } from "ava";
import {
  DatapathToken,
  type EntryStates,
  GlobalMapsToken,
  ReconciledMaps,
} from "../../src/cells/datapath/index.ts";
import { IpCaches, ipcacheCell } from "../../src/cells/ipcache/index.ts";
import { kvstoreCell } from "../../src/cells/kvstore/index.ts";
import { NodeNetworking, NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { Services, servicesCell, type WantedService } from "../../src/cells/services/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { mapSpecByName } from "../../src/datapath/maps/index.ts";
import { config, Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { MemoryKernel, nodeNetwork, scratchDirectory, wantedService } from "./support.ts";

const slots = "cilium_lb4_services_v2";
const backends = "cilium_lb4_backends_v2";
const reverseNat = "cilium_lb4_reverse_nat";

async function started(t: ExecutionContext) {
  const kernel = new MemoryKernel();
  const hive = new Hive({
    name: "states-test",
    logger: silentLogger,
    cells: [
      stateCell,
      config(NodeSettings, nodeFlags),
      kvstoreCell,
      supply(GlobalMapsToken, kernel.globalMaps()),
      supply(DatapathToken, kernel.datapath()),
      supply(NodeNetworking, nodeNetwork()),
      ipcacheCell,
      servicesCell,
      invoke({ services: Services, ipcache: IpCaches, reconciled: ReconciledMaps }, () => undefined),
    ],
    settings: { flags: { "state-dir": await scratchDirectory(t) } },
  });
  await hive.start();
  t.teardown(() => hive.stop());
  const look = (map: string): EntryStates => {
    const found = hive.get(ReconciledMaps).find((one) => one.map === map);
    if (found === undefined) throw new Error(`nobody says how the entries of ${map} stand`);
    return found.look();
  };
  return {
    kernel,
    services: hive.get(Services),
    ipcache: hive.get(IpCaches),
    /** What stands in the kernel's map, by the keys that the CLI prints. */
    present: (map: string): Record<string, string> => {
      const spec = mapSpecByName(map)!;
      const states = look(map);
      return Object.fromEntries(
        [...kernel.map(map).content.keys()].map((text) => {
          const key = Buffer.from(text, "latin1");
          const { state, error } = states.status(key);
          return [
            spec.formatKey(spec.key.decode(key, 0)),
            error === undefined ? state : `${state}: ${error}`,
          ];
        }),
      );
    },
    /** What is wanted and may be missing, as the CLI prints it. */
    outstanding: (map: string): string[] => {
      const spec = mapSpecByName(map)!;
      return look(map)
        .outstanding()
        .map(({ key, value, status }) =>
          [
            spec.formatKey(spec.key.decode(key, 0)),
            spec.formatValue(spec.value.decode(value, 0)),
            status.error ?? "",
          ].join(" | "),
        );
    },
  };
}

const service = (name: string, ip: string, ...addresses: string[]): WantedService =>
  wantedService(name, ip, addresses);

test("all entries of services in place are in sync, and strangers are stale", async (t) => {
  const { kernel, services, present, outstanding } = await started(t);
  await services.upsert(service("default/web", "10.96.0.1", "10.0.1.5", "10.0.1.6"));
  kernel.typed<number, unknown>(backends).update(999, {
    address: "10.9.9.9",
    port: 1,
    protocol: 6,
    flags: 0,
    clusterId: 0,
    zone: 0,
  });
  t.deepEqual(present(slots), {
    "10.96.0.1:80/TCP": "sync",
    "10.96.0.1:80/TCP (1)": "sync",
    "10.96.0.1:80/TCP (2)": "sync",
  });
  t.deepEqual(present(backends), { 1: "sync", 2: "sync", 999: "stale" });
  t.deepEqual(Object.values(present(reverseNat)), ["sync"]);
  t.deepEqual([slots, backends, reverseNat].flatMap(outstanding), []);
});

test("a service that the kernel refuses is pending with the reason, and what it shares stays in sync", async (t) => {
  const { kernel, services, present, outstanding } = await started(t);
  await services.upsert(service("default/web", "10.96.0.1", "10.0.1.5"));
  kernel.map(slots).fail = new Error("no memory");
  await t.throwsAsync(services.upsert(service("default/shop", "10.96.0.2", "10.0.1.5", "10.0.1.7")));
  t.deepEqual(present(slots), { "10.96.0.1:80/TCP": "sync", "10.96.0.1:80/TCP (1)": "sync" });
  t.is(present(backends)["1"], "sync");
  t.deepEqual(outstanding(slots), [
    "10.96.0.2:80/TCP | 0 2 (2) [0x0 0x0] | reconciler services: update: no memory",
    "10.96.0.2:80/TCP (1) | 1 0 (2) [0x0 0x0] | reconciler services: update: no memory",
    "10.96.0.2:80/TCP (2) | 2 0 (2) [0x0 0x0] | reconciler services: update: no memory",
  ]);
  t.is(present(backends)["2"], "sync", "what is pointed to comes first");
  t.deepEqual(outstanding(backends), []);
  kernel.map(slots).fail = undefined;
});

test("a prefix that the kernel refuses is pending with the reason", async (t) => {
  const { kernel, ipcache, present, outstanding } = await started(t);
  const map = "cilium_ipcache";
  const entry = { prefix: "10.1.0.0/16", identity: 300, tunnelEndpoint: "0.0.0.0", encryptKey: 0 };
  await ipcache.apiUpsert(entry);
  t.is(present(map)["10.1.0.0/16"], "sync");
  kernel.map(map).fail = new Error("no memory");
  await t.throwsAsync(ipcache.apiUpsert({ ...entry, identity: 301 }));
  t.is(present(map)["10.1.0.0/16"], "pending: reconciler ipcache: update: no memory");
  t.deepEqual(outstanding(map), [
    "10.1.0.0/16 | identity=301 encryptkey=0 tunnelendpoint=0.0.0.0 | reconciler ipcache: update: no memory",
  ]);
  kernel.map(map).fail = undefined;
});
