// The cells' interfaces in memory, on real tables: what the API delegates to, without a kernel.

import { type Observable, of, Subject, throwError } from "rxjs";
import type { DatapathServiceDeps, PluginServiceDeps } from "../../src/api/index.ts";
import type { EntryStates, EntryStatus, ReconciledMap, WantedEntry } from "../../src/cells/datapath/index.ts";
import type { Endpoint, EndpointManager } from "../../src/cells/endpoints/types.ts";
import { alreadyExists, notFound } from "../../src/cells/errors.ts";
import type { Chain, HookCounters } from "../../src/cells/hook-linker/types.ts";
import type { Identity } from "../../src/cells/identity/types.ts";
import type { IpCacheEntry } from "../../src/cells/ipcache/types.ts";
import type { Loader } from "../../src/cells/loader/types.ts";
import type { Metrics, Monitor, MonitorFilter, MonitorMessage } from "../../src/cells/monitor/types.ts";
import type { Node, NodeList } from "../../src/cells/nodes/types.ts";
import type { Plugin, PluginRegistry } from "../../src/cells/plugin-registry/types.ts";
import type { PluginRecordMessage, PluginRecords } from "../../src/cells/plugin-table/types.ts";
import type { OpenPolicyMap } from "../../src/cells/policy-maps/types.ts";
import type {
  BackendChanges,
  FrontendStatus,
  Service,
  ServiceManager,
  WantedService,
} from "../../src/cells/services/types.ts";
import { createTypedMap } from "../../src/datapath/index.ts";
import { lxcMap, policyMapOf } from "../../src/datapath/maps/index.ts";
import { type MapSpec, MapType, type RawMap } from "../../src/datapath/types.ts";
import { Database, type RWTable } from "../../src/table/index.ts";
import { FakeMap } from "./fake-map.ts";

export function makeEndpoint(id: number, change: Partial<Endpoint> = {}): Endpoint {
  return {
    id,
    spec: {
      name: `default/pod-${id}`,
      netns: `/var/run/netns/pod-${id}`,
      podInterface: "eth0",
      hostInterface: undefined,
      ipv4: undefined,
      ipv6: undefined,
      labels: { app: id % 2 === 0 ? "even" : "odd" },
      policy: { enforceIngress: false, enforceEgress: false, rules: [] },
    },
    state: "ready",
    stateReason: "",
    ipv4: `10.0.${id >> 8}.${id & 255}`,
    ipv6: "",
    identity: 256 + id,
    hostInterface: `lxc${id}`,
    ifindex: 100 + id,
    mac: "0a:00:00:00:00:01",
    nodeMac: "0a:00:00:00:00:02",
    generation: 1,
    createdAt: "2026-01-02T03:04:05.000Z",
    ...change,
  };
}

export class FakeEndpoints implements EndpointManager {
  readonly table: RWTable<Endpoint, number>;
  /** Holds creations back until it resolves. */
  gate: Promise<void> = Promise.resolve();
  /** Signals that calls got. */
  readonly signals: AbortSignal[] = [];
  #next = 1;

  constructor(database: Database) {
    this.table = database.createTable<Endpoint, number>({ name: "endpoints", key: ({ id }) => id });
  }

  get(id: number): Endpoint | undefined {
    return this.table.get(id);
  }

  byName(name: string): Endpoint | undefined {
    return this.table.list().find(({ spec }) => spec.name === name);
  }

  async create(spec: Endpoint["spec"], signal?: AbortSignal): Promise<Endpoint> {
    if (signal !== undefined) this.signals.push(signal);
    if (this.byName(spec.name) !== undefined) throw alreadyExists("endpoint", spec.name);
    await Promise.race([this.gate, aborted(signal)]);
    const endpoint = makeEndpoint(this.#next++, { spec });
    this.table.upsert(endpoint);
    return endpoint;
  }

  async update(id: number, change: Parameters<EndpointManager["update"]>[1]): Promise<Endpoint> {
    const endpoint = this.#must(id);
    const next = { ...endpoint, spec: { ...endpoint.spec, ...change } };
    this.table.upsert(next);
    return next;
  }

  async delete(id: number): Promise<void> {
    this.#must(id);
    this.table.delete(id);
  }

  async regenerate(id: number, reason: string): Promise<Endpoint> {
    const endpoint = this.#must(id);
    const next = { ...endpoint, generation: endpoint.generation + 1, stateReason: reason };
    this.table.upsert(next);
    return next;
  }

  #must(id: number): Endpoint {
    const endpoint = this.table.get(id);
    if (endpoint === undefined) throw notFound("endpoint", id);
    return endpoint;
  }
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

export class FakeIpCache {
  readonly table: RWTable<IpCacheEntry, string>;
  failure: Error | undefined;

  constructor(database: Database) {
    this.table = database.createTable<IpCacheEntry, string>({
      name: "ipcache",
      key: ({ prefix }) => prefix,
      indexes: { cidr: { cidr: ({ prefix }) => prefix } },
    });
  }

  async apiUpsert(entry: Omit<IpCacheEntry, "source">): Promise<IpCacheEntry> {
    if (this.failure !== undefined) throw this.failure;
    const row = { ...entry, source: "api" } as const;
    this.table.upsert(row);
    return row;
  }

  async apiDelete(prefix: string): Promise<void> {
    if (this.table.delete(prefix) === undefined) throw notFound("IP cache entry", prefix);
  }

  lookup(address: string): IpCacheEntry | undefined {
    return this.table.longestPrefix("cidr", address);
  }
}

export class FakeIdentities {
  readonly table: RWTable<Identity, number>;

  constructor(database: Database) {
    this.table = database.createTable<Identity, number>({ name: "identities", key: ({ id }) => id });
    this.table.upsert({ id: 1, labels: {}, reserved: "host", references: 0 });
    this.table.upsert({ id: 300, labels: { app: "web" }, reserved: undefined, references: 2 });
  }
}

export class FakeNodes implements NodeList {
  readonly table: RWTable<Node, string>;
  readonly local: Node;
  readonly admitted = of(true);

  constructor(database: Database) {
    this.table = database.createTable<Node, string>({ name: "nodes", key: ({ name }) => name });
    const node = (number: number, ipv6: string | undefined, podCidrV6: string | undefined): Node => ({
      name: `node${number}`,
      ipv4: `192.0.2.${number}`,
      ipv6,
      podCidr: `10.0.${number}.0/24`,
      podCidrV6,
      routerIpv4: `10.0.${number}.1`,
      routerIpv6: podCidrV6?.replace("/64", "1"),
      local: number === 1,
      version: "1.2.3",
    });
    this.local = node(1, "fd00::1", "fd00:1::/64");
    this.table.upsert(this.local);
    this.table.upsert(node(2, undefined, undefined));
  }
}

export class FakeServices implements ServiceManager {
  readonly table: RWTable<Service, string>;
  /** The last changes that were asked for. */
  changes: BackendChanges | undefined;

  constructor(database: Database) {
    this.table = database.createTable<Service, string>({ name: "services", key: ({ name }) => name });
  }

  async upsert({ nodePort, ...service }: WantedService): Promise<Service> {
    const { ip, port } = service;
    const revNat = this.table.get(service.name)?.frontends[0]?.revNat ?? this.table.size + 1;
    const row: Service = {
      ...service,
      nodePort: nodePort === "auto" ? 30_000 : nodePort,
      frontends: [{ kind: "cluster-ip", ip, port, revNat, problem: undefined }],
      node: "node1",
      pending: false,
    };
    this.table.upsert(row);
    return row;
  }

  async upsertMany(services: readonly WantedService[]): Promise<readonly Service[]> {
    return Promise.all(services.map((service) => this.upsert(service)));
  }

  async updateBackends(name: string, changes: BackendChanges): Promise<Service> {
    const service = this.table.get(name);
    if (service === undefined) throw notFound("service", name);
    this.changes = changes;
    return service;
  }

  async delete(name: string): Promise<void> {
    if (this.table.delete(name) === undefined) throw notFound("service", name);
  }

  backendId(): number | undefined {
    return 7;
  }

  frontendStatus(): FrontendStatus {
    return { state: "active", message: "" };
  }
}

const maps: readonly MapSpec[] = [
  { name: "denied", type: MapType.lpmTrie, keySize: 8, valueSize: 1, maxEntries: 1000, flags: 1 },
  { name: "denied6", type: MapType.lpmTrie, keySize: 20, valueSize: 1, maxEntries: 1000, flags: 1 },
  { name: "counts", type: MapType.percpuHash, keySize: 4, valueSize: 8, maxEntries: 10 },
  { name: "table", type: MapType.hash, keySize: 2, valueSize: 4, maxEntries: 10 },
  { name: "slots", type: MapType.array, keySize: 4, valueSize: 4, maxEntries: 2 },
];

export function makePlugin(name: string, change: Partial<Plugin> = {}): Plugin {
  return {
    name,
    directory: `/plugins/${name}`,
    manifest: {
      name,
      version: "1.2.0",
      description: "drops",
      attachmentPolicy: "BestEffort",
      priority: 100,
      hooks: [{ point: "to_container_pre_ct_v4", before: [], after: ["audit"] }],
      config: [
        { name: "limit", type: "u64", default: 5n, min: 0n, max: 2n ** 64n - 1n, description: "most" },
      ],
      records: [{ map: "flows", fields: [{ name: "port", offset: 2, type: "be16", size: 2 }] }],
    },
    enabled: false,
    priority: 100,
    config: { limit: 2n ** 63n },
    templates: {},
    maps,
    readsOnly: [],
    revision: 1,
    ...change,
  };
}

export class FakePlugins implements PluginRegistry {
  readonly table: RWTable<Plugin, string>;
  readonly opened: Record<string, RawMap> = Object.fromEntries(
    maps.map((spec) => [spec.name, new FakeMap(spec)]),
  );
  readonly registrations: Parameters<PluginRegistry["register"]>[] = [];

  constructor(database: Database) {
    this.table = database.createTable<Plugin, string>({ name: "plugins", key: ({ name }) => name });
  }

  async register(...call: Parameters<PluginRegistry["register"]>): Promise<Plugin> {
    this.registrations.push(call);
    const [directory, { enable = false, priority = 100 }] = call;
    return this.#put(makePlugin(directory.split("/").at(-1) ?? "", { enabled: enable, priority }));
  }

  async enable(name: string): Promise<Plugin> {
    return this.#put({ ...this.#must(name), enabled: true });
  }

  async disable(name: string): Promise<Plugin> {
    return this.#put({ ...this.#must(name), enabled: false });
  }

  async configure(name: string, change: Parameters<PluginRegistry["configure"]>[1]): Promise<Plugin> {
    const plugin = this.#must(name);
    return this.#put({ ...plugin, priority: change.priority ?? plugin.priority });
  }

  async unregister(name: string): Promise<void> {
    this.#must(name);
    this.table.delete(name);
  }

  openMaps(): Readonly<Record<string, RawMap>> {
    return this.opened;
  }

  #put(plugin: Plugin): Plugin {
    this.table.upsert(plugin);
    return plugin;
  }

  #must(name: string): Plugin {
    const plugin = this.table.get(name);
    if (plugin === undefined) throw notFound("plugin", name);
    return plugin;
  }
}

/** One map of records, "flows", which belongs to every plugin. */
export class FakePluginRecords implements PluginRecords {
  readonly messages = new Subject<PluginRecordMessage>();
  readonly read: string[] = [];

  records(plugin: string, map: string): Observable<PluginRecordMessage> {
    this.read.push(`${plugin}/${map}`);
    if (map !== "flows") return throwError(() => notFound(`map of plugin ${plugin},`, map));
    return this.messages;
  }
}

type PluginHooks = PluginServiceDeps["hooks"];

export class FakeHooks implements PluginHooks {
  chainsNow: readonly Chain[] = [];
  countersNow: readonly HookCounters[] = [];

  plan(plugins: readonly Plugin[]): ReturnType<PluginHooks["plan"]> {
    const names = [...plugins].sort((left, right) => left.priority - right.priority).map(({ name }) => name);
    return { order: new Map([["to_container_pre_ct_v4", names]]), unresolved: new Map() };
  }

  chains(attachment?: string): readonly Chain[] {
    return this.chainsNow.filter((chain) => attachment === undefined || chain.attachment === attachment);
  }

  async counters(filter: { plugin?: string; attachment?: string } = {}): Promise<readonly HookCounters[]> {
    return this.countersNow.filter(
      (one) =>
        (filter.plugin ?? one.plugin) === one.plugin &&
        (filter.attachment ?? one.attachment) === one.attachment,
    );
  }
}

export class FakeMonitor implements Monitor {
  readonly messages = new Subject<MonitorMessage>();
  readonly filters: MonitorFilter[] = [];

  events(filter: MonitorFilter): Subject<MonitorMessage> {
    this.filters.push(filter);
    return this.messages;
  }
}

export class FakeLoader implements Pick<Loader, "programs" | "attachments" | "settled"> {
  /** What `settled` waits for. */
  readonly settling = Promise.withResolvers<void>();

  programs(): ReturnType<Loader["programs"]> {
    const one = { tag: "0123456789abcdef", verifiedInsns: 10, jitedBytes: 20 };
    return [
      { attachment: "lxc-2", name: "cil_to_container", id: 12, ...one },
      { attachment: "lxc-1", name: "cil_from_container", id: 11, ...one },
    ];
  }

  attachments(): ReturnType<Loader["attachments"]> {
    return [{ name: "lxc-1", ifindex: 9, device: "lxc1", ingress: "tcx", egress: "clsact" }];
  }

  settled(): Promise<void> {
    return this.settling.promise;
  }
}

/** The policy map of endpoint 7. */
export class FakePolicies {
  lagging: Error | undefined;
  readonly map = createTypedMap(new FakeMap(policyMapOf(7)), policyMapOf(7), 1);

  list(): readonly OpenPolicyMap[] {
    const { map, lagging } = this;
    return [{ endpointId: 7, map, ...(lagging === undefined ? {} : { lagging }) }];
  }
}

/** States of cilium_lxc by the key's bytes in hexadecimal; others are stale. */
export class FakeLxcStates implements ReconciledMap {
  readonly map = "cilium_lxc";
  readonly known = new Map<string, EntryStatus>();
  wanted: readonly WantedEntry[] = [];

  look(): EntryStates {
    return {
      status: (key) => this.known.get(key.toString("hex")) ?? { state: "stale" },
      outstanding: () => this.wanted,
    };
  }
}

/** One kernel map with its real codecs, and one program array. */
export function fakeGlobalMaps(): DatapathServiceDeps["maps"] {
  const lxc = new FakeMap(lxcMap);
  const calls = new FakeMap({
    name: "waggle_call_policy",
    type: MapType.progArray,
    keySize: 4,
    valueSize: 4,
    maxEntries: 8,
  });
  const scratch = new FakeMap({
    name: "waggle_scratch",
    type: MapType.percpuArray,
    keySize: 4,
    valueSize: 8,
    maxEntries: 400,
  });
  return {
    raw: { cilium_lxc: lxc, waggle_call_policy: calls, waggle_scratch: scratch },
  };
}

export const fakeMetrics: Metrics = {
  async read() {
    return [
      { reason: 133, reasonName: "Policy denied", direction: "ingress", packets: 3n, bytes: 300n },
      { reason: 0, reasonName: "Forwarded", direction: "egress", packets: 2n ** 60n, bytes: 1n },
    ];
  },
};

/** A whole agent's worth of fakes over one database. */
export function fakeCells() {
  const database = new Database();
  return {
    endpoints: new FakeEndpoints(database),
    ipCache: new FakeIpCache(database),
    identities: new FakeIdentities(database),
    nodes: new FakeNodes(database),
    services: new FakeServices(database),
    plugins: new FakePlugins(database),
    hooks: new FakeHooks(),
    records: new FakePluginRecords(),
    monitor: new FakeMonitor(),
    metrics: fakeMetrics,
    loader: new FakeLoader(),
    maps: fakeGlobalMaps(),
    policies: new FakePolicies(),
    reconciled: [new FakeLxcStates()],
  };
}
