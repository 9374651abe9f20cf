import type { ExecutionContext } from "ava";
import { DatapathToken, datapathResourcesCell } from "../../src/cells/datapath/index.ts";
import type { Endpoint } from "../../src/cells/endpoints/index.ts";
import { Endpoints, endpointsCell } from "../../src/cells/endpoints/index.ts";
import { hookLinkerCell } from "../../src/cells/hook-linker/index.ts";
import { Identities, identityCell } from "../../src/cells/identity/index.ts";
import { ipSyncCell } from "../../src/cells/ip-sync/index.ts";
import { ipamCell } from "../../src/cells/ipam/index.ts";
import { IpCaches, ipcacheCell } from "../../src/cells/ipcache/index.ts";
import { kvstoreCell } from "../../src/cells/kvstore/index.ts";
import { loaderCell } from "../../src/cells/loader/index.ts";
import { nodeConfigCell } from "../../src/cells/node-config/index.ts";
import { Nodes, nodesCell } from "../../src/cells/nodes/index.ts";
import { pluginRegistryCell } from "../../src/cells/plugin-registry/index.ts";
import { pluginTableCell } from "../../src/cells/plugin-table/index.ts";
import { policyMapsCell } from "../../src/cells/policy-maps/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { createFakeDatapath, FakeKernel } from "../../src/datapath/fake/index.ts";
import { HealthTree, Hive, invoke, module, provide, silentLogger } from "../../src/hive/index.ts";
import { complaintsOf, temporary } from "./shared-nodes.ts";

/** A node of a cluster on a fake datapath: everything that shares state, and endpoints. */
export class ClusterNode {
  readonly hive: Hive;
  readonly stateDir: string;
  readonly kernel: FakeKernel;

  private constructor(hive: Hive, stateDir: string, kernel: FakeKernel) {
    this.hive = hive;
    this.stateDir = stateDir;
    this.kernel = kernel;
  }

  /** Starts node number `index`, with pods in 10.0.index.0/24 and the address 172.18.0.(10 + index). */
  static async start(
    t: ExecutionContext,
    index: number,
    endpoint: string,
    options: {
      readonly flags?: Record<string, unknown>;
      readonly again?: ClusterNode;
    } = {},
  ): Promise<ClusterNode> {
    const stateDir = options.again?.stateDir ?? (await temporary(t, `cluster-${index}`));
    const kernel = options.again?.kernel ?? new FakeKernel();
    const hive = new Hive({
      name: `node${index}`,
      logger: silentLogger,
      cells: [
        stateCell,
        kvstoreCell,
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
        nodesCell,
        policyMapsCell,
        pluginTableCell,
        hookLinkerCell,
        pluginRegistryCell,
        loaderCell,
        endpointsCell,
        ipSyncCell,
        invoke({ endpoints: Endpoints, nodes: Nodes }, () => undefined),
      ],
      settings: {
        flags: {
          "state-dir": stateDir,
          datapath: "fake",
          "bpf-root": "/fake/waggle",
          "node-name": `node${index}`,
          "node-ip": `172.18.0.${10 + index}`,
          "pod-cidr": `10.0.${index}.0/24`,
          "pod-cidr-v6": `fd00:10:0:${index}::/64`,
          devices: ["eth0"],
          kvstore: "etcd",
          "etcd-endpoints": endpoint,
          ...options.flags,
        },
      },
    });
    await hive.start();
    t.teardown(() => hive.stop());
    return new ClusterNode(hive, stateDir, kernel);
  }

  stop(): Promise<void> {
    return this.hive.stop();
  }

  addPod(name: string, labels: Record<string, string>): Promise<Endpoint> {
    return this.hive.get(Endpoints).create({
      name,
      netns: `/run/netns/${name.replaceAll("/", "-")}`,
      podInterface: "eth0",
      hostInterface: undefined,
      ipv4: undefined,
      ipv6: undefined,
      labels,
      policy: { enforceIngress: false, enforceEgress: false, rules: [] },
    });
  }

  /** Identity and tunnel endpoint of an address in the IP cache: "256 via 172.18.0.11". */
  reach(address: string): string | undefined {
    const entry = this.hive.get(IpCaches).table.get(`${address}/${address.includes(":") ? 128 : 32}`);
    return entry === undefined ? undefined : `${entry.identity} via ${entry.tunnelEndpoint}`;
  }

  get nodes(): readonly string[] {
    return this.hive
      .get(Nodes)
      .table.list()
      .map(({ name }) => name)
      .sort();
  }

  get identities() {
    return this.hive.get(Identities);
  }

  complaints(): string {
    return complaintsOf(this.hive.get(HealthTree).snapshot());
  }
}
