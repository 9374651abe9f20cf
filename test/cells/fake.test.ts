// All of these cells together, on the fake datapath and its shared maps: no privileges needed.

import test, { type ExecutionContext } from "ava";
import { DatapathToken, datapathCell, GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import type { Endpoint } from "../../src/cells/endpoints/types.ts";
import { Identities, identityCell } from "../../src/cells/identity/index.ts";
import { ipamCell, NodeIpam } from "../../src/cells/ipam/index.ts";
import { IpCaches, ipcacheCell } from "../../src/cells/ipcache/index.ts";
import { kvstoreCell } from "../../src/cells/kvstore/index.ts";
import { DatapathMetrics, Monitoring, monitorCell } from "../../src/cells/monitor/index.ts";
import { NodeNetworking, NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { Policies, policyMapsCell } from "../../src/cells/policy-maps/index.ts";
import { Services, servicesCell } from "../../src/cells/services/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import type { LbKey, LbService } from "../../src/datapath/maps/index.ts";
import { config, Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { nodeNetwork, scratchDirectory, wantedService } from "./support.ts";

async function started(t: ExecutionContext): Promise<Hive> {
  const directory = await scratchDirectory(t);
  const hive = new Hive({
    name: "fake-test",
    logger: silentLogger,
    cells: [
      stateCell,
      config(NodeSettings, nodeFlags),
      kvstoreCell,
      datapathCell,
      supply(NodeNetworking, nodeNetwork()),
      ipamCell,
      identityCell,
      ipcacheCell,
      servicesCell,
      policyMapsCell,
      monitorCell,
      invoke(
        {
          ipam: NodeIpam,
          ipcache: IpCaches,
          services: Services,
          policies: Policies,
          monitor: Monitoring,
          metrics: DatapathMetrics,
        },
        () => undefined,
      ),
    ],
    settings: { flags: { "state-dir": directory, datapath: "fake", "bpf-root": "/fake/waggle" } },
  });
  await hive.start();
  t.teardown(() => hive.stop());
  return hive;
}

test("an agent's worth of cells works on the fake datapath", async (t) => {
  const hive = await started(t);
  const address = hive.get(NodeIpam).allocate("default/web").ipv4;
  const { id } = await hive.get(Identities).acquire({ app: "web" });
  await hive.get(IpCaches).apiUpsert({
    prefix: "10.9.0.0/16",
    identity: 1000,
    tunnelEndpoint: "0.0.0.0",
    encryptKey: 0,
  });
  await hive.get(Services).upsert(wantedService("default/web", "10.96.0.1", [address]));
  const slots = await hive.get(GlobalMapsToken).typed<LbKey, LbService>("cilium_lb4_services_v2").entries();
  t.is(slots.length, 2);
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
        ],
      },
    },
  } as unknown as Endpoint;
  const map = await hive.get(Policies).ensure(endpoint);
  t.is(map.lookup({ identity: id, direction: "ingress", protocol: 6, port: 80 })?.deny, false);
  const policies = hive.get(DatapathToken).bpf.listPins("/fake/waggle/policy");
  t.deepEqual(policies, ["cilium_policy_00012"]);
  t.deepEqual(hive.get(Policies).prune(new Set([13])).length, 1);
  hive.get(Monitoring).events({ drops: true, traces: true, verdicts: true }).subscribe().unsubscribe();
  t.deepEqual(await hive.get(DatapathMetrics).read(), []);
});
