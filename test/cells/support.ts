// What the tests of cells share: maps in memory that keep a journal, a node, and hives of a few cells.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { NEVER } from "rxjs";
import { type GlobalMaps, pinLayout } from "../../src/cells/datapath/index.ts";
import type { NodeConfig, NodeNetwork } from "../../src/cells/node-config/index.ts";
import type { WantedService } from "../../src/cells/services/index.ts";
import {
  type BpfMap,
  type BpfOps,
  createTypedMap,
  type Datapath,
  type MapSpec,
  type RawMap,
  type TypedMapSpec,
  type UpdateMode,
} from "../../src/datapath/index.ts";
import { globalMapSpecs, mapSpecByName } from "../../src/datapath/maps/index.ts";

/** One thing that was done to a map, or a grace period. */
export interface Entry {
  readonly map: string;
  readonly what: "update" | "delete" | "quiesce";
  readonly key: Buffer;
  readonly value?: Buffer;
}

/** A map in memory. Each entry's write is noted in a journal, in order; `fail` lets operations fail. */
export class MemoryMap implements RawMap {
  readonly spec: MapSpec;
  readonly content = new Map<string, Buffer>();
  readonly #journal: Entry[];
  /** Set to make every write throw it. */
  fail: Error | undefined;
  closed = false;
  batches = 0;

  constructor(spec: MapSpec, journal: Entry[]) {
    this.spec = spec;
    this.#journal = journal;
  }

  get info() {
    const { name, type, keySize, valueSize, maxEntries, flags = 0 } = this.spec;
    return { id: 1, name, type, keySize, valueSize, maxEntries, flags };
  }

  update(key: Buffer, value: Buffer, _mode?: UpdateMode): void {
    this.#check();
    const text = key.toString("latin1");
    if (!this.content.has(text) && this.content.size >= this.spec.maxEntries) {
      throw new Error(`update ${this.spec.name}: E2BIG`);
    }
    this.content.set(text, Buffer.from(value));
    this.#journal.push({
      map: this.spec.name,
      what: "update",
      key: Buffer.from(key),
      value: Buffer.from(value),
    });
  }

  lookup(key: Buffer): Buffer | undefined {
    return this.content.get(key.toString("latin1"));
  }

  delete(key: Buffer): boolean {
    this.#check();
    this.#journal.push({ map: this.spec.name, what: "delete", key: Buffer.from(key) });
    return this.content.delete(key.toString("latin1"));
  }

  async updateBatch(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void> {
    this.batches += 1;
    await Promise.resolve();
    keys.forEach((key, index) => {
      this.update(key, values[index]!);
    });
  }

  updatePacked(keys: Buffer, values: Buffer): Promise<void> {
    const { keySize, valueSize } = this.spec;
    const rows = Array.from({ length: keys.length / keySize }, (_, i) => i);
    return this.updateBatch(
      rows.map((i) => keys.subarray(i * keySize, (i + 1) * keySize)),
      rows.map((i) => values.subarray(i * valueSize, (i + 1) * valueSize)),
    );
  }

  async deleteBatch(keys: readonly Buffer[]): Promise<number> {
    this.batches += 1;
    await Promise.resolve();
    return keys.filter((key) => this.delete(key)).length;
  }

  async keys(): Promise<readonly Buffer[]> {
    return [...this.content.keys()].map((key) => Buffer.from(key, "latin1"));
  }

  async entries(): Promise<readonly { key: Buffer; value: Buffer }[]> {
    return [...this.content].map(([key, value]) => ({ key: Buffer.from(key, "latin1"), value }));
  }

  pin(): void {}

  close(): void {
    this.closed = true;
  }

  #check(): void {
    if (this.closed) throw new Error(`${this.spec.name} is closed`);
    if (this.fail !== undefined) throw this.fail;
  }
}

/** A kernel of maps alone; it lives on while agents come and go. */
export class MemoryKernel {
  readonly journal: Entry[] = [];
  readonly maps = new Map<string, MemoryMap>();
  readonly pinned = new Map<string, MemoryMap>();
  readonly pins = pinLayout("/memory");
  /** Called by programs that send notifications; set while somebody reads them. */
  emit: ((data: Buffer, cpu: number) => void) | undefined;
  lose: ((count: number) => void) | undefined;
  opened = 0;

  constructor(maxEntries: Readonly<Record<string, number>> = {}) {
    for (const spec of globalMapSpecs({ cpus: 2, maxEntries })) {
      this.maps.set(spec.name, new MemoryMap(spec, this.journal));
    }
  }

  map(name: string): MemoryMap {
    const map = this.maps.get(name);
    if (map === undefined) throw new Error(`no map ${name}`);
    return map;
  }

  typed<K, V>(name: string): BpfMap<K, V> {
    return createTypedMap(this.map(name), mapSpecByName(name) as unknown as TypedMapSpec<K, V>, 2);
  }

  /** Keys and values as the CLI would print them. */
  async print(name: string): Promise<string[]> {
    const map = this.typed<unknown, unknown>(name);
    return (await map.entries()).map(
      ([key, value]) => `${map.spec.formatKey(key)} -> ${map.spec.formatValue(value)}`,
    );
  }

  globalMaps(): GlobalMaps {
    return {
      pins: this.pins,
      raw: Object.fromEntries(this.maps),
      typed: <K, V>(name: string) => this.typed<K, V>(name),
    };
  }

  datapath(): Datapath {
    const bpf: Partial<BpfOps> = {
      cpus: 2,
      ensurePinnedMap: (spec, path) => {
        const known = this.pinned.get(path);
        if (known !== undefined) known.closed = false;
        const map = known ?? new MemoryMap(spec, this.journal);
        this.pinned.set(path, map);
        return map;
      },
      typed: (raw, spec) => createTypedMap(raw, spec, 2),
      unpin: (path) => {
        this.pinned.delete(path);
      },
      quiesce: async () => {
        this.journal.push({ map: "", what: "quiesce", key: Buffer.alloc(0) });
      },
      readPerfEvents: (_array, onEvent, onLost) => {
        this.opened += 1;
        this.emit = onEvent;
        this.lose = onLost;
        return {
          close: () => {
            this.emit = undefined;
            this.lose = undefined;
          },
        };
      },
    };
    return { kind: "fake", bpf } as unknown as Datapath;
  }
}

export const nodeConfig: NodeConfig = {
  nodeName: "test-node",
  clusterName: "default",
  podCidr: "10.0.1.0/24",
  podCidrV6: undefined,
  serviceCidrs: [],
  routerIpv4: "10.0.1.1",
  routerIpv6: undefined,
  nodeIpv4: "192.0.2.10",
  nodeIpv6: undefined,
  routingMode: "native",
  tunnelPort: 8472,
  devices: [
    { name: "eth1", ifindex: 3, mac: "02:00:00:00:00:03", mtu: 1500, ipv4: ["192.0.2.10"], ipv6: [] },
  ],
  host: {
    name: "cilium_host",
    ifindex: 4,
    mac: "02:00:00:00:00:04",
    mtu: 1500,
    ipv4: ["10.0.1.1"],
    ipv6: [],
  },
  overlay: undefined,
  mtu: 1500,
  routeMtu: 1500,
  masquerade: { ipv4: true, ipv6: true },
};

/** A node whose network never changes. */
export const nodeNetwork = (config: Partial<NodeConfig> = {}): NodeNetwork => ({
  config: { ...nodeConfig, ...config },
  checkIntervalMs: 3_600_000,
  changes: NEVER,
  setPeers: () => undefined,
});

/** A TCP service at port 80 whose backends are active ones at port 8080. */
export function wantedService(
  name: string,
  ip: string,
  backends: readonly string[] = [],
  change: Partial<WantedService> = {},
): WantedService {
  return {
    name,
    ip,
    port: 80,
    protocol: "tcp",
    backends: backends.map((backend) => ({ ip: backend, port: 8080, state: "active", node: "" })),
    algorithm: "random",
    affinityTimeoutS: 0,
    nodePort: 0,
    externalIps: [],
    externalTrafficPolicy: "cluster",
    internalTrafficPolicy: "cluster",
    ...change,
  };
}

/** A directory that is gone after the test. */
export async function scratchDirectory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "waggle-cells-"));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}
