import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test from "ava";
import { pinLayout } from "../../../src/cells/datapath/index.ts";
import { SocketAttacher, type SocketRecord, StaleFlows } from "../../../src/cells/socket-lb/index.ts";
import type { StateCollection } from "../../../src/cells/state/index.ts";
import { ipv4Constant, ipv6Bytes } from "../../../src/datapath/address.ts";
import { type BpfMap, createKernelDatapath, type RawMap } from "../../../src/datapath/index.ts";
import {
  globalMapSpecs,
  ipcacheMap,
  LbAlgorithm,
  type LbBackend,
  LbBackendState,
  type LbKey,
  type LbReverseNat,
  type LbService,
  LbServiceFlag,
  MAGLEV_TABLE_SIZE,
  type MaglevTable,
  mapSpecByName,
  packFrontend,
  type RemoteEndpointInfo,
} from "../../../src/datapath/maps/index.ts";
import { TemporaryBpffs } from "./fixtures/bpffs.ts";
import { SocketWorld } from "./fixtures/socket-world.ts";

const BPF = resolve(import.meta.dirname, "../../../bpf");
const TCP = 6;
const UDP = 17;

const directory = mkdtempSync(join(tmpdir(), "waggle-socket-lb-"));
const datapath = createKernelDatapath({ cacheDir: directory });
const { bpf } = datapath;
const bpffs = new TemporaryBpffs(bpf);

const servers = [
  { name: "a4", host: "10.77.0.1", port: 8001 },
  { name: "b4", host: "10.77.0.2", port: 8002 },
  { name: "c4", host: "10.77.0.3", port: 8003 },
  { name: "a6", host: "fd77::1", port: 8001 },
  { name: "b6", host: "fd77::2", port: 8002 },
];
const world = await SocketWorld.create(bpf, servers);
const namespace = datapath.openNamespace(`/run/netns/${world.namespace}`);

const raw: Record<string, RawMap> = {};
for (const spec of globalMapSpecs({ cpus: bpf.cpus })) {
  if (/lb|sk|ipcache/.test(spec.name)) raw[spec.name] = bpf.createMap(spec);
}
const typed = <K, V>(name: string): BpfMap<K, V> => bpf.typed(raw[name]!, mapSpecByName(name)! as never);
const services = {
  4: typed<LbKey, LbService>("cilium_lb4_services_v2"),
  6: typed<LbKey, LbService>("cilium_lb6_services_v2"),
};
const backends = {
  4: typed<number, LbBackend>("cilium_lb4_backends_v2"),
  6: typed<number, LbBackend>("cilium_lb6_backends_v3"),
};
const reverseNat = {
  4: typed<number, LbReverseNat>("cilium_lb4_reverse_nat"),
  6: typed<number, LbReverseNat>("cilium_lb6_reverse_nat"),
};
const affinityMatch = typed<{ backendId: number; revNatIndex: number }, number>("cilium_lb_affinity_match");

const records: SocketRecord[] = [];
const globals = { pins: pinLayout(bpffs.path), raw, typed };
const attacher = new SocketAttacher({
  datapath,
  globals,
  records: {
    all: () => [],
    get: () => records[0],
    put: async (_key, value) => {
      records[0] = value;
    },
    delete: async () => void records.pop(),
  } satisfies StateCollection<SocketRecord>,
});
const template = await datapath.compiler.compile({
  source: join(BPF, "bpf_sock.c"),
  includes: [join(BPF, "include"), join(BPF, "lib"), BPF],
  defines: {},
});
const plan = {
  cgroup: world.cgroup,
  template,
  constants: {
    cfg_netns_cookie: await namespace.net.netnsCookie(),
    cfg_node_ipv4: ipv4Constant("10.77.0.1"),
    cfg_node_ipv6: ipv6Bytes("fd77::1"),
  },
};
await attacher.apply(plan);

test.after.always(async () => {
  await attacher.remove();
  await world.remove();
  namespace.close();
  for (const map of Object.values(raw)) map.close();
  bpffs.remove();
  datapath.close();
  rmSync(directory, { recursive: true, force: true });
});

const idOf = (name: string): number => 1 + servers.findIndex((server) => server.name === name);
const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);
for (const { name, host, port } of servers) {
  backends[familyOf(host)].update(idOf(name), {
    address: host,
    port,
    protocol: 0,
    flags: LbBackendState.active,
    clusterId: 0,
    zone: 0,
  });
}

interface Frontend {
  readonly address: string;
  readonly port: number;
  readonly names: readonly string[];
  readonly revNat: number;
  readonly affinityTimeoutS?: number;
  readonly algorithm?: number;
}

/** A service of TCP and one of UDP under the same address and port. */
function serve({ address, port, names, revNat, affinityTimeoutS = 0, algorithm = 0 }: Frontend): void {
  const map = services[familyOf(address)];
  reverseNat[familyOf(address)].update(revNat, { address, port });
  for (const protocol of [TCP, UDP]) {
    const key = { address, port, protocol, scope: 0 };
    const common = { revNatIndex: revNat, flags2: 0, qcount: 0 };
    names.forEach((name, i) => {
      map.update({ ...key, slot: i + 1 }, { ...common, backendId: idOf(name), count: 0, flags: 0 });
    });
    map.update(
      { ...key, slot: 0 },
      {
        ...common,
        backendId: packFrontend({ affinityTimeoutS, algorithm }),
        count: names.length,
        flags: affinityTimeoutS > 0 ? LbServiceFlag.sessionAffinity : 0,
      },
    );
  }
}

const distinct = (names: readonly (string | undefined)[]): readonly (string | undefined)[] =>
  [...new Set(names)].sort();

test("a socket that asks for a service talks to a backend, and sees the service", async (t) => {
  serve({ address: "10.96.7.1", port: 80, names: ["a4"], revNat: 1 });
  serve({ address: "fd96:7::1", port: 80, names: ["a6"], revNat: 2 });
  for (const [host, answer] of [
    ["10.96.7.1", "a4"],
    ["fd96:7::1", "a6"],
    ["::ffff:10.96.7.1", "a4"],
  ] as const) {
    const expected = { answers: [answer], peer: `${host} 80` };
    t.deepEqual(
      await world.run([
        { do: "tcp", host, port: 80 },
        { do: "connect", host, port: 80 },
        { do: "sendto", host, port: 80, times: 1 },
      ]),
      [expected, expected, expected],
    );
  }
});

test("a socket of another namespace is left alone, whatever its group", async (t) => {
  serve({ address: "127.0.7.2", port: 80, names: ["a4"], revNat: 3 });
  const tcp = { do: "tcp", host: "127.0.7.2", port: 80 } as const;
  t.deepEqual(await world.run([tcp], world.elsewhere), [{ error: "ECONNREFUSED" }]);
  t.deepEqual((await world.run([tcp]))[0]?.answers, ["a4"]);
});

test("a service without backends refuses at once", async (t) => {
  serve({ address: "10.96.7.3", port: 80, names: [], revNat: 4 });
  serve({ address: "fd96:7::3", port: 80, names: [], revNat: 5 });
  const refused = { error: "ECONNREFUSED" };
  for (const host of ["10.96.7.3", "fd96:7::3"]) {
    t.deepEqual(
      await world.run([
        { do: "tcp", host, port: 80 },
        { do: "connect", host, port: 80 },
        { do: "sendto", host, port: 80, times: 1 },
      ]),
      [refused, refused, refused],
    );
  }
});

test("connections spread over all backends; the datagrams of one socket do not", async (t) => {
  serve({ address: "10.96.7.4", port: 80, names: ["a4", "b4", "c4"], revNat: 6 });
  const tcp = Array.from({ length: 40 }, () => ({ do: "tcp", host: "10.96.7.4", port: 80 }) as const);
  t.deepEqual(distinct((await world.run(tcp)).map(({ answers }) => answers?.[0])), ["a4", "b4", "c4"]);
  const sendto = Array.from(
    { length: 20 },
    () => ({ do: "sendto", host: "10.96.7.4", port: 80, times: 4 }) as const,
  );
  const answers = (await world.run(sendto)).map(({ answers }) => distinct(answers ?? []));
  t.true(answers.every((names) => names.length === 1));
  t.true(distinct(answers.flat()).length > 1);
});

test("a socket whose backend went asks another one with its next datagram", async (t) => {
  serve({ address: "10.96.7.5", port: 80, names: ["a4"], revNat: 7 });
  const process = world.start([
    { do: "sendto", host: "10.96.7.5", port: 80, times: 1 },
    { do: "pause" },
    { do: "again" },
  ]);
  t.deepEqual((await process.reports())[0]?.answers, ["a4"]);
  serve({ address: "10.96.7.5", port: 80, names: ["b4"], revNat: 7 });
  process.resume();
  const reports = await process.reports();
  t.deepEqual(reports.at(-1), { answers: ["b4"], peer: "10.96.7.5 80" });
});

test("affinity keeps the node's sockets at one backend, until it serves no more", async (t) => {
  const frontend = { address: "10.96.7.6", port: 80, revNat: 8, affinityTimeoutS: 600 };
  serve({ ...frontend, names: ["a4", "b4", "c4"] });
  for (const name of ["a4", "b4", "c4"]) affinityMatch.update({ backendId: idOf(name), revNatIndex: 8 }, 1);
  const tcp = Array.from({ length: 12 }, () => ({ do: "tcp", host: "10.96.7.6", port: 80 }) as const);
  const [kept, ...others] = distinct((await world.run(tcp)).map(({ answers }) => answers?.[0]));
  t.deepEqual(others, []);
  affinityMatch.delete({ backendId: idOf(kept!), revNatIndex: 8 });
  serve({ ...frontend, names: ["a4", "b4", "c4"].filter((name) => name !== kept) });
  const next = distinct((await world.run(tcp)).map(({ answers }) => answers?.[0]));
  t.is(next.length, 1);
  t.not(next[0], kept);
});

test("Maglev's table decides; a slot that names a vanished backend gives way", async (t) => {
  serve({ address: "10.96.7.7", port: 80, names: ["a4"], revNat: 9, algorithm: LbAlgorithm.maglev });
  const maglev = typed<number, MaglevTable>("waggle_lb_maglev");
  const tcp = { do: "tcp", host: "10.96.7.7", port: 80 } as const;
  maglev.update(9, { backends: new Uint32Array(MAGLEV_TABLE_SIZE).fill(idOf("b4")) });
  t.deepEqual((await world.run([tcp]))[0]?.answers, ["b4"]);
  maglev.update(9, { backends: new Uint32Array(MAGLEV_TABLE_SIZE).fill(99) });
  t.deepEqual((await world.run([tcp]))[0]?.answers, ["a4"]);
  const key = { address: "10.96.7.7", port: 80, protocol: TCP, scope: 0 };
  const slot = { backendId: 99, count: 0, revNatIndex: 9, flags: 0, flags2: 0, qcount: 0 };
  services[4].update({ ...key, slot: 2 }, slot);
  services[4].update({ ...key, slot: 3 }, slot);
  services[4].update({ ...key, slot: 0 }, { ...slot, backendId: 0, count: 3 });
  const reports = await world.run(Array.from({ length: 10 }, () => tcp));
  t.deepEqual(distinct(reports.map(({ answers }) => answers?.[0])), ["a4"]);
});

test("a NodePort is served at the node's loopback and under every node's address", async (t) => {
  serve({ address: "10.77.0.1", port: 30080, names: ["c4"], revNat: 10 });
  serve({ address: "fd77::1", port: 30080, names: ["b6"], revNat: 11 });
  const ipcache = typed<{ prefix: string }, RemoteEndpointInfo>(ipcacheMap.name);
  for (const prefix of ["172.18.9.9/32", "fd00:18::9/128"])
    ipcache.update({ prefix }, { identity: 6, tunnelEndpoint: "0.0.0.0", encryptKey: 0, flags: 0 });
  for (const [host, answer] of [
    ["127.0.0.1", "c4"],
    ["172.18.9.9", "c4"],
    ["::1", "b6"],
    ["fd00:18::9", "b6"],
  ] as const) {
    const [report] = await world.run([{ do: "connect", host, port: 30080 }]);
    t.deepEqual(report, { answers: [answer], peer: `${host} 30080` });
  }
});

test("connected sockets whose backend went are ended, and connect anew; others are left alone", async (t) => {
  const flows = new StaleFlows(namespace.net, globals);
  for (const [address, host, from, to, revNat] of [
    ["10.96.7.8", "10.96.7.8", "a4", "b4", 20],
    ["10.96.7.9", "::ffff:10.96.7.9", "a4", "b4", 21],
    ["fd96:7::8", "fd96:7::8", "a6", "b6", 22],
  ] as const) {
    serve({ address, port: 80, names: [from], revNat });
    const connect = { do: "connect", host, port: 80 } as const;
    const process = world.start([
      connect,
      { do: "pause" },
      { do: "again" },
      { do: "pause" },
      { do: "again" },
      connect,
    ]);
    t.deepEqual((await process.reports())[0]?.answers, [from]);
    serve({ address, port: 80, names: [to, from], revNat });
    t.is(await flows.end(), 0, "its backend still serves");
    process.resume();
    t.deepEqual((await process.reports()).at(-1)?.answers, [from]);
    serve({ address, port: 80, names: [to], revNat });
    t.is(await flows.end(), 1);
    process.resume();
    const [, ended, anew] = await process.reports();
    t.deepEqual(ended, { error: "ECONNABORTED" });
    t.deepEqual(anew, { answers: [to], peer: `${host} 80` });
  }
});

test("programs that run already stay; what was detached comes back", async (t) => {
  const ids = (): readonly number[] => Object.values(records[0]!.programs);
  const before = ids();
  t.false(await attacher.apply(plan));
  t.deepEqual(ids(), before);
  bpf.unpin(join(bpffs.path, "sockets", "getpeername4"));
  t.true(await attacher.apply(plan));
  t.notDeepEqual(ids(), before);
  t.deepEqual(bpf.listPins(join(bpffs.path, "sockets")).length, 8);
});
