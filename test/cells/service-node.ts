import type { ExecutionContext } from "ava";
import { Subject } from "rxjs";
import { DatapathToken, GlobalMapsToken } from "../../src/cells/datapath/index.ts";
import { RefusalError } from "../../src/cells/errors.ts";
import {
  kvstoreCell,
  type SharedCollection,
  type SharedCollections,
  type SharedRow,
  SharedState,
} from "../../src/cells/kvstore/index.ts";
import { type NodeConfig, NodeNetworking, NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { type ServiceManager, Services, servicesCell } from "../../src/cells/services/index.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { type Cell, config, Hive, invoke, silentLogger, supply } from "../../src/hive/index.ts";
import { Database, type RWTable } from "../../src/table/index.ts";
import { letDowns } from "./let-downs.ts";
import { MemoryKernel, nodeConfig, nodeNetwork, scratchDirectory } from "./support.ts";

/** The kernel's maps of services, by what is behind `cilium_lb` in their names. */
export const lbMaps = {
  services4: "cilium_lb4_services_v2",
  backends4: "cilium_lb4_backends_v2",
  reverseNat4: "cilium_lb4_reverse_nat",
  services6: "cilium_lb6_services_v2",
  backends6: "cilium_lb6_backends_v3",
  reverseNat6: "cilium_lb6_reverse_nat",
  affinity: "cilium_lb_affinity_match",
  maglev: "waggle_lb_maglev",
} as const;

/** A shared collection of a cluster without a store: what one node writes, all see at once. */
export class ClusterCollection {
  readonly #table: RWTable<SharedRow<unknown>, string> = new Database().createTable({
    name: "shared",
    key: ({ key }: SharedRow<unknown>) => key,
  });

  /** What node `name` opens. */
  of(name: string): SharedCollections {
    const table = this.#table;
    return {
      open: <T>() =>
        ({
          table,
          put: async (key: string, value: T) => {
            table.upsert({ key, value, node: name, own: true, pending: false });
          },
          delete: async (key: string) => {
            table.delete(key);
          },
        }) as unknown as SharedCollection<T>,
    };
  }

  /** Writes several rows at once, as other nodes had written them while nobody saw the others' writes. */
  write(node: string, rows: Readonly<Record<string, unknown>>): void {
    this.#table.upsertMany(
      Object.entries(rows).map(([key, value]) => ({ key, value, node, own: false, pending: false })),
    );
  }

  value(key: string): unknown {
    return this.#table.get(key)?.value;
  }
}

interface NodeOptions {
  readonly kernel?: MemoryKernel;
  readonly stateDir?: string;
  readonly config?: Partial<NodeConfig>;
  /** The cluster it belongs to; alone otherwise. */
  readonly cluster?: ClusterCollection;
}

/** A node with nothing but services, on maps in memory. */
export class ServiceNode {
  readonly kernel: MemoryKernel;
  readonly hive: Hive;
  readonly #network: { config: NodeConfig; readonly changes: Subject<NodeConfig> };

  private constructor(kernel: MemoryKernel, hive: Hive, network: ServiceNode["network"]) {
    this.kernel = kernel;
    this.hive = hive;
    this.#network = network;
  }

  private get network(): { config: NodeConfig; readonly changes: Subject<NodeConfig> } {
    return this.#network;
  }

  /** Not started. */
  static make(options: NodeOptions & { readonly stateDir: string }): ServiceNode {
    const kernel = options.kernel ?? new MemoryKernel();
    const name = options.config?.nodeName ?? nodeConfig.nodeName;
    const network = { ...nodeNetwork(options.config), changes: new Subject<NodeConfig>() };
    const shared: Cell =
      options.cluster === undefined ? kvstoreCell : supply(SharedState, options.cluster.of(name));
    const hive = new Hive({
      name: "services-test",
      logger: silentLogger,
      cells: [
        config(NodeSettings, nodeFlags),
        stateCell,
        shared,
        supply(GlobalMapsToken, kernel.globalMaps()),
        supply(DatapathToken, kernel.datapath()),
        supply(NodeNetworking, network),
        servicesCell,
        invoke({ services: Services }, () => undefined),
      ],
      settings: { flags: { "state-dir": options.stateDir, "node-name": name } },
    });
    return new ServiceNode(kernel, hive, network);
  }

  static async start(t: ExecutionContext, options: NodeOptions = {}): Promise<ServiceNode> {
    const stateDir = options.stateDir ?? (await scratchDirectory(t));
    const node = ServiceNode.make({ ...options, stateDir });
    await node.hive.start();
    t.teardown(() => node.hive.stop());
    return node;
  }

  get services(): ServiceManager {
    return this.hive.get(Services);
  }

  /** Lets the node have other addresses from now on. */
  become(change: Partial<NodeConfig>): void {
    this.#network.config = { ...this.#network.config, ...change };
    this.#network.changes.next(this.#network.config);
  }

  /** Lines of a map, sorted. */
  async lines(map: keyof typeof lbMaps): Promise<string[]> {
    return (await this.kernel.print(lbMaps[map])).sort();
  }

  size(map: keyof typeof lbMaps): number {
    return this.kernel.map(lbMaps[map]).content.size;
  }

  /** Entries of all maps of services. */
  get entries(): number {
    return (Object.keys(lbMaps) as (keyof typeof lbMaps)[]).reduce((sum, map) => sum + this.size(map), 0);
  }

  /** Index of a service's cluster IP. */
  revNat(name: string): number | undefined {
    return this.services.table.get(name)?.frontends[0]?.revNat;
  }

  /** Asserts that no packet can have been let down by what was written so far. */
  noLetDown(t: ExecutionContext): void {
    t.deepEqual([...letDowns(this.kernel.journal)].slice(0, 5), []);
  }

  stop(): Promise<void> {
    return this.hive.stop();
  }
}

/** The refusal that a promise ends with. */
export async function refusal(promise: Promise<unknown>): Promise<RefusalError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof RefusalError) return error;
    throw error;
  }
  throw new Error("not refused");
}
