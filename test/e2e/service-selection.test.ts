// Which backend of a service serves: states, affinity, Maglev, and what becomes of flows whose backend goes.

import { once } from "node:events";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { BackendState, ServiceAlgorithm, ServiceProtocol } from "../../src/gen/waggle/v1/load_balancer.ts";
import type { World } from "../../src/playground/index.ts";
import { capture } from "../support/capture.ts";
import { counted } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { EtherType, frame, ipv4, sendFrames } from "../support/frames.ts";
import { ingress, open, setPolicy } from "../support/policy.ts";
import { peerArgv, runPeer, type Server, startPeer } from "../support/programs.ts";
import { upsertService } from "../support/services.ts";
import { talk } from "../support/talk.ts";
import { askNames, askUdp } from "../support/traffic.ts";
import { udpFlow } from "../support/udp-flow.ts";
import { type RegisterWorldTest, worldTests } from "../support/world-tests.ts";

const backendPort = 7_000;
const tcpPort = 80;
const udpPort = 53;
const { TCP, UDP, SCTP } = ServiceProtocol;
const { ACTIVE, TERMINATING, QUARANTINED } = BackendState;

/** Backends by pod, with their states. */
type Backends = Readonly<Record<string, BackendState>>;

interface Options {
  readonly affinityS?: number;
  readonly algorithm?: ServiceAlgorithm;
  readonly nodePort?: number;
}

interface Family {
  readonly name: "IPv4" | "IPv6";
  readonly vip: string;
  address(world: World, pod: string): string;
  nodeAddress(world: World): string;
}

const families: readonly Family[] = [
  {
    name: "IPv4",
    vip: "10.96.0.20",
    address: (world, pod) => world.pod(pod).ipv4,
    nodeAddress: (world) => world.addressing.nodeIpv4,
  },
  {
    name: "IPv6",
    vip: "fd00:96::20",
    address: (world, pod) => world.pod(pod).ipv6,
    nodeAddress: (world) => world.addressing.nodeIpv6,
  },
];

/** A service over TCP and one over UDP, with the same backends. */
async function serve(world: World, family: Family, backends: Backends, options: Options = {}): Promise<void> {
  const { affinityS = 0, algorithm = ServiceAlgorithm.RANDOM, nodePort = 0 } = options;
  for (const [protocol, port] of [
    [TCP, tcpPort],
    [UDP, udpPort],
  ] as const) {
    await upsertService(world, {
      name: `selection-${family.name.toLowerCase()}-${port}`,
      ip: family.vip,
      port,
      protocol,
      algorithm,
      sessionAffinityTimeoutSeconds: affinityS,
      nodePort,
      backends: Object.entries(backends).map(([pod, state]) => ({
        ip: family.address(world, pod),
        port: backendPort,
        state,
      })),
    });
  }
}

function register(test: RegisterWorldTest, family: Family): void {
  const { vip } = family;
  const source = (port: number): string => `${vip}:${port}`;
  const other = { name: `selection-other-${family.name.toLowerCase()}`, ip: vip, port: 54, protocol: UDP };
  const namesOf = async (world: World, count = 12, at = vip, port = tcpPort): Promise<readonly string[]> => {
    const { names, failed, broken } = await askNames(world, "pod1", at, port, count);
    if (failed.length + broken.length > 0) throw new Error([...failed, ...broken].join(", "));
    return Object.keys(names).sort();
  };

  test(`${family.name}: a terminating backend finishes its TCP connections; all else goes elsewhere`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    const line = await talk(world, "pod1", vip, tcpPort);
    const flow = udpFlow(world, "pod1", vip, udpPort);
    t.deepEqual(await flow.ask(), { name: "pod2", source: source(udpPort) });
    await serve(world, family, { pod2: TERMINATING, pod3: ACTIVE });
    t.is(await line.ask("still here"), "still here");
    t.deepEqual(
      await flow.ask(),
      { name: "pod3", source: source(udpPort) },
      "a flow of UDP has no end: it moves",
    );
    t.deepEqual(await namesOf(world), ["pod3"]);
    await line.end();
    await flow.end();
  });

  test(`${family.name}: terminating backends serve while there are no others`, async (t, world) => {
    await serve(world, family, { pod2: TERMINATING, pod3: TERMINATING });
    t.deepEqual(await namesOf(world, 20), ["pod2", "pod3"]);
    const { split, names } = await askUdp(world, "pod1", vip, udpPort, { flows: 20, each: 3 });
    t.is(split, 0);
    t.deepEqual(Object.keys(names).sort(), ["pod2", "pod3"]);
  });

  test(`${family.name}: a quarantined backend keeps what it has and gets nothing new`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    const line = await talk(world, "pod1", vip, tcpPort);
    const flow = udpFlow(world, "pod1", vip, udpPort);
    t.is((await flow.ask()).name, "pod2");
    await serve(world, family, { pod2: QUARANTINED, pod3: ACTIVE, pod4: ACTIVE });
    t.is(await line.ask("still here"), "still here");
    t.is((await flow.ask()).name, "pod2");
    t.deepEqual(await namesOf(world, 20), ["pod3", "pod4"]);
    await line.end();
    await flow.end();
  });

  test(`${family.name}: flows of UDP stay while their backend stays, wherever it is named`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    const flow = udpFlow(world, "pod1", vip, udpPort);
    t.is((await flow.ask()).name, "pod2");
    await serve(world, family, { pod4: ACTIVE, pod3: ACTIVE, pod2: ACTIVE });
    for (let i = 0; i < 3; i++) t.is((await flow.ask()).name, "pod2");
    await serve(world, family, { pod4: ACTIVE });
    t.deepEqual(await flow.ask(), { name: "pod4", source: source(udpPort) });
    await flow.end();
  });

  test(`${family.name}: a backend that left one service of two loses that one's flows`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    const backend = { ip: family.address(world, "pod2"), port: backendPort };
    await upsertService(world, { ...other, backends: [backend] });
    const flow = udpFlow(world, "pod1", vip, udpPort);
    const otherFlow = udpFlow(world, "pod1", vip, 54);
    t.is((await flow.ask()).name, "pod2");
    t.is((await otherFlow.ask()).name, "pod2");
    await serve(world, family, { pod3: ACTIVE });
    t.is((await flow.ask()).name, "pod3");
    t.is((await otherFlow.ask()).name, "pod2");
    await flow.end();
    await otherFlow.end();
    await world.client.services.deleteService({ name: other.name });
  });

  test(`${family.name}: without backends a client is refused at once, and says why`, async (t, world) => {
    await serve(world, family, {});
    const url = `http://${family.name === "IPv6" ? `[${vip}]` : vip}:${tcpPort}`;
    const refused = async (): Promise<void> => {
      const curl = [
        "curl",
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{exitcode} %{time_total}",
        url,
      ];
      const [code, seconds] = (await world.exec("pod1", curl)).stdout.split(" ").map(Number);
      t.is(code, 7, "could not connect");
      // The first SYN was answered: it is repeated after a second.
      t.true(seconds! < 0.9, `${seconds} s`);
      t.deepEqual(await runPeer(world, "pod1", "udp", "knock", vip, udpPort), { heard: "ECONNREFUSED" });
    };
    const before = await counted(world, DropReason.noService);
    await refused();
    t.true((await counted(world, DropReason.noService)) >= before + 2);
    await setPolicy(world, "pod1", ingress());
    await refused();
    await setPolicy(world, "pod1", open);
  });

  test(`${family.name}: a connection whose last backend goes is reset`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    const child = world.spawn("pod1", peerArgv("tcp-client", "line", vip, tcpPort));
    await once(child.stdout!, "data");
    // Its server sends all the time, and hears that it is acknowledged: nothing has to be asked.
    const ended = once(child, "close", { signal: AbortSignal.timeout(10_000) });
    await serve(world, family, {});
    const [code] = (await ended) as [number];
    t.not(code, 0, "not an end, but a reset");
  });

  test(`${family.name}: a flow whose last backend goes is refused, and served again`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    const flow = udpFlow(world, "pod1", vip, udpPort);
    t.is((await flow.ask()).name, "pod2");
    await serve(world, family, {});
    t.deepEqual(await flow.ask(), { error: "ECONNREFUSED" });
    await serve(world, family, { pod3: ACTIVE });
    t.is((await flow.ask()).name, "pod3");
    await flow.end();
  });

  test(`${family.name}: affinity keeps a client at its backend, over TCP connections and while that serves`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE, pod3: ACTIVE, pod4: ACTIVE }, { affinityS: 600 });
    const [first = "", ...others] = await namesOf(world);
    t.deepEqual(others, []);
    t.deepEqual(await namesOf(world), [first]);
    const rest = Object.fromEntries(
      ["pod2", "pod3", "pod4"].filter((pod) => pod !== first).map((pod) => [pod, ACTIVE]),
    );
    await serve(world, family, { ...rest, [first]: TERMINATING }, { affinityS: 600 });
    const second = await namesOf(world);
    t.is(second.length, 1);
    t.not(second[0], first);
    await serve(world, family, { pod2: ACTIVE, pod3: ACTIVE, pod4: ACTIVE }, { affinityS: 600 });
    t.deepEqual(await namesOf(world), second, "what comes back does not take its clients along");
  });

  test(`${family.name}: affinity ends when the client was silent for its time`, async (t, world) => {
    // Each service draws for itself: that all eight draw as before has a chance of one in 6,561.
    const ports = Array.from({ length: 8 }, (_, index) => 8_001 + index);
    const nameAt = (port: number): string => `selection-silent-${family.name.toLowerCase()}-${port}`;
    for (const port of ports) {
      await upsertService(world, {
        name: nameAt(port),
        ip: vip,
        port,
        sessionAffinityTimeoutSeconds: 1,
        backends: ["pod2", "pod3", "pod4"].map((pod) => ({
          ip: family.address(world, pod),
          port: backendPort,
        })),
      });
    }
    const ask = (): Promise<string> =>
      Promise.all(ports.map(async (port) => (await namesOf(world, 1, vip, port)).join())).then(String);
    const first = await ask();
    await eventually("another backend is drawn", async () => {
      // Seconds are counted as the clock begins them.
      await new Promise((resolve) => setTimeout(resolve, 2_001));
      return (await ask()) !== first;
    });
    for (const port of ports) await world.client.services.deleteService({ name: nameAt(port) });
    t.pass();
  });

  test(`${family.name}: Maglev gives a tuple the same backend every time, and all backends some`, async (t, world) => {
    await serve(
      world,
      family,
      { pod2: ACTIVE, pod3: ACTIVE, pod4: ACTIVE },
      { algorithm: ServiceAlgorithm.MAGLEV },
    );
    t.deepEqual(await namesOf(world, 40), ["pod2", "pod3", "pod4"]);
    const before = new Map<number, string | undefined>();
    const askFrom = async (local: number): Promise<string | undefined> => {
      const flow = udpFlow(world, "pod1", vip, udpPort, local);
      const { name } = await flow.ask();
      await flow.end();
      return name;
    };
    for (let local = 40_001; local <= 40_004; local++) before.set(local, await askFrom(local));
    // Forgets the flows: the service goes and comes back under other numbers.
    await serve(world, family, {});
    for (const local of before.keys()) t.is(await askFrom(local), undefined);
    const backends = { pod4: ACTIVE, pod3: ACTIVE, pod2: ACTIVE };
    await serve(world, family, backends, { algorithm: ServiceAlgorithm.MAGLEV });
    for (const [local, name] of before) t.is(await askFrom(local), name);
  });

  test(`${family.name}: a pod is served at its node's NodePort, and hears from the address that it asked`, async (t, world) => {
    const at = family.nodeAddress(world);
    await serve(world, family, { pod2: ACTIVE, pod3: ACTIVE }, { nodePort: 30_123 });
    t.deepEqual(await namesOf(world, 20, at, 30_123), ["pod2", "pod3"]);
    const { sources, intact } = await askUdp(world, "pod1", at, 30_123, { flows: 4, each: 2 });
    t.deepEqual([sources, intact], [[`${at}:30123`], 8]);
  });

  test(`${family.name}: a pod reaches itself through a service, and keeps an address of its own for it`, async (t, world) => {
    await serve(world, family, { pod2: ACTIVE });
    t.deepEqual((await askNames(world, "pod2", vip, tcpPort, 3)).names, { pod2: 3 });
    const report = await askUdp(world, "pod2", vip, udpPort, { flows: 2, each: 2, bytes: 4_000 });
    t.deepEqual([report.intact, report.sources], [4, [source(udpPort)]]);
  });
}

/** An SCTP packet whose checksum the datapath is to leave alone: an INIT chunk (RFC 9260). */
function sctpInit(sourcePort: number, destinationPort: number): Buffer {
  const packet = Buffer.alloc(32);
  packet.writeUInt16BE(sourcePort, 0);
  packet.writeUInt16BE(destinationPort, 2);
  packet.writeUInt32BE(0xc0ffee11, 8);
  packet[12] = 1;
  packet.writeUInt16BE(20, 14);
  return packet;
}

function registerSctp(test: RegisterWorldTest): void {
  test("SCTP is led to a backend at the service's port, and back", async (t, world) => {
    const [client, server] = [world.pod("pod1"), world.pod("pod2")];
    const at = "10.96.0.21";
    const name = "selection-sctp";
    const backends = [{ ip: server.ipv4, port: 3_868 }];
    await upsertService(world, { name, ip: at, port: 3_868, protocol: SCTP, backends });
    const send = (
      from: typeof client,
      source: string,
      destination: string,
      ports: readonly [number, number],
    ) =>
      sendFrames(world, from.name, [
        frame(
          from.endpoint.nodeMac,
          from.endpoint.mac,
          EtherType.ipv4,
          ipv4({ source, destination, protocol: 132 }, sctpInit(...ports)),
        ),
      ]);
    const there = await capture(world, "pod2", "ip proto 132");
    await send(client, client.ipv4, at, [41_000, 3_868]);
    t.like(await there.next(), { source: `${client.ipv4}.41000`, destination: `${server.ipv4}.3868` });
    await there.stop();
    const back = await capture(world, "pod1", "ip proto 132 and dst port 41000");
    await send(server, server.ipv4, client.ipv4, [3_868, 41_000]);
    t.like(await back.next(), { source: `${at}.3868`, destination: `${client.ipv4}.41000` });
    await back.stop();
    await world.client.services.deleteService({ name });
  });
}

await worldTests(
  "choosing backends of services",
  { pods: 4, ipv6: true },
  (test) => {
    for (const family of families) register(test, family);
    registerSctp(test);
  },
  async (world) => {
    const peers: Promise<Server>[] = [];
    for (const at of ["pod2", "pod3", "pod4"]) {
      for (const family of families) {
        const address = family.address(world, at);
        peers.push(startPeer(world, at, "tcp-server", backendPort, at, address));
        peers.push(startPeer(world, at, "udp", "serve", backendPort, at, address));
      }
    }
    await Promise.all(peers);
  },
);
