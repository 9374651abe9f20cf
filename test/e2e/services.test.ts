// ClusterIP services, from pods to backends in pods and outside.

import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { type Service, ServiceProtocol } from "../../src/gen/waggle/v1/load_balancer.ts";
import { attempt, type World } from "../../src/playground/index.ts";
import { steadyPing } from "../../src/playground/traffic.ts";
import { counted, listen } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { runPeer, startPeer } from "../support/programs.ts";
import { upsertService } from "../support/services.ts";
import { talk } from "../support/talk.ts";
import { askNames, askUdp, connects, download, get, startWeb } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const vip = "10.96.0.10";
const backendPort = 7_000;
const { TCP, UDP } = ServiceProtocol;

const addressOf = (world: World, name: string): string =>
  name === "outside" ? world.addressing.outsideIpv4 : world.pod(name).ipv4;

/** Creates or replaces a service whose backends are pods, or "outside", all at the same port. */
async function serve(
  world: World,
  name: string,
  port: number,
  protocol: ServiceProtocol,
  backends: readonly string[],
  at = backendPort,
): Promise<Service> {
  return upsertService(world, {
    name,
    ip: vip,
    port,
    protocol,
    backends: backends.map((backend) => ({ ip: addressOf(world, backend), port: at })),
  });
}

const dump = async (world: World, map: string): Promise<readonly { key: string[]; value: string[] }[]> => {
  const pin = `${world.scratch.bpfRoot}/globals/${map}`;
  const { stdout, stderr } = await attempt(["bpftool", "--json", "map", "dump", "pinned", pin]);
  if (stdout.trim() === "") throw new Error(stderr);
  return JSON.parse(stdout) as { key: string[]; value: string[] }[];
};
const bytes = (hex: readonly string[]): Buffer => Buffer.from(hex.map((byte) => Number(byte)));

await worldTests(
  "ClusterIP services",
  { pods: 4 },
  (test) => {
    for (const backends of [["pod2"], ["pod2", "pod3"], ["pod2", "pod3", "pod4"]]) {
      test(`TCP is spread over ${backends.length} of 3 backends, and only those`, async (t, world) => {
        await serve(world, "spread-tcp", 80, TCP, backends);
        const { names, failed } = await askNames(world, "pod1", vip, 80, 60);
        t.deepEqual(failed, []);
        t.deepEqual(Object.keys(names).sort(), backends);
        // Of 60 even draws among three, fewer than 5 for one happen once in some hundred thousand runs.
        for (const backend of backends) t.true(names[backend]! >= 5, JSON.stringify(names));
      });

      test(`UDP is spread over ${backends.length} of 3 backends; a flow stays with its own`, async (t, world) => {
        await serve(world, "spread-udp", 53, UDP, backends);
        const report = await askUdp(world, "pod1", vip, 53, { flows: 60, each: 4 });
        t.is(report.intact, 240);
        t.is(report.split, 0);
        t.deepEqual(Object.keys(report.names).sort(), backends);
        t.deepEqual(report.sources, [`${vip}:53`], "clients see the service's address alone");
      });
    }

    test("an outside backend serves, and the client sees the service", async (t, world) => {
      await serve(world, "spread-tcp", 80, TCP, ["outside"]);
      await serve(world, "spread-udp", 53, UDP, ["outside"]);
      t.deepEqual(await askNames(world, "pod1", vip, 80, 3), { names: { outside: 3 }, failed: [] });
      const report = await askUdp(world, "pod1", vip, 53, { flows: 3, each: 2 });
      t.is(report.intact, 6);
      t.deepEqual(report.sources, [`${vip}:53`]);
    });

    test("a pod that is its service's only backend reaches itself", async (t, world) => {
      await serve(world, "spread-tcp", 80, TCP, ["pod2"]);
      t.deepEqual(await askNames(world, "pod2", vip, 80, 3), { names: { pod2: 3 }, failed: [] });
    });

    test("nginx behind a service: 10 MB arrive unharmed", async (t, world) => {
      const web = await startWeb(world, "pod2", 8_080, 10 * 1024 * 1024);
      try {
        await serve(world, "web", 8_000, TCP, ["pod2"], 8_080);
        t.is(await get(world, "pod1", `http://${vip}:8000/name`), "pod2");
        t.is(await download(world, "pod1", `http://${vip}:8000/big`), web.digest);
      } finally {
        await web.stop();
        await world.client.services.deleteService({ name: "web" });
      }
    });

    test("datagrams in fragments reach one backend whole, and come back whole", async (t, world) => {
      await serve(world, "spread-udp", 53, UDP, ["pod2", "pod3"]);
      const report = await askUdp(world, "pod1", vip, 53, { flows: 10, each: 3, bytes: 8_000 });
      t.is(report.intact, 30);
      t.is(report.split, 0);
      t.deepEqual(report.sources, [`${vip}:53`]);
    });

    test("half-closed connections, resets and refusals pass through a service", async (t, world) => {
      await serve(world, "spread-tcp", 80, TCP, ["pod2", "pod3"]);
      const { sent, received } = await runPeer<{ sent: string; received: string }>(
        world,
        "pod1",
        "tcp-client",
        "digest",
        vip,
        80,
        300_000,
      );
      t.is(received, sent);
      t.deepEqual(await runPeer(world, "pod1", "tcp-client", "reset", vip, 80), { ended: "ECONNRESET" });
      await serve(world, "nobody-listens", 81, TCP, ["pod2"], 7_999);
      t.deepEqual(await runPeer(world, "pod1", "tcp-client", "refused", vip, 81), { ended: "ECONNREFUSED" });
      await world.client.services.deleteService({ name: "nobody-listens" });
    });

    test("a port unreachable from a backend is about the service, as its client knows it", async (t, world) => {
      await serve(world, "closed-udp", 54, UDP, ["pod2"], 7_999);
      // A connected socket gets errors only about the address it is connected to.
      const knock = (port: number): Promise<unknown> => runPeer(world, "pod1", "udp", "knock", vip, port);
      t.deepEqual(await knock(53), { heard: "answer" });
      t.deepEqual(await knock(54), { heard: "ECONNREFUSED" });
      await world.client.services.deleteService({ name: "closed-udp" });
    });

    test("a service without backends drops what comes, says why, and recovers", async (t, world) => {
      await serve(world, "spread-tcp", 80, TCP, []);
      const before = await counted(world, DropReason.noService);
      const listener = await listen(world, { drops: true });
      t.false(await connects(world, "pod1", vip, 80));
      const drop = await eventually("the drop is reported", () => listener.drops[0]);
      await listener.end();
      t.is(drop.reason, DropReason.noService);
      t.is(drop.packet?.summary?.destinationIp, vip);
      t.true((await counted(world, DropReason.noService)) > before);
      await serve(world, "spread-tcp", 80, TCP, ["pod2"]);
      t.deepEqual(await askNames(world, "pod1", vip, 80, 2), { names: { pod2: 2 }, failed: [] });
    });

    test("an established connection outlives all changes that leave its backend", async (t, world) => {
      await serve(world, "spread-tcp", 80, TCP, ["pod2"]);
      const line = await talk(world, "pod1", vip, 80);
      t.is(await line.ask("first"), "first");
      for (const backends of [["pod2", "pod3"], ["pod4", "pod3", "pod2"], ["pod2"], ["pod3", "pod2"]]) {
        await serve(world, "spread-tcp", 80, TCP, backends);
        t.is(await line.ask(backends.join()), backends.join());
      }
      await line.end();
    });

    test("new connections never fail while backends come and go", async (t, world) => {
      const sets = [["pod2"], ["pod3"], ["pod2", "pod3", "pod4"], ["pod4"], ["pod3", "pod2"]];
      await serve(world, "spread-tcp", 80, TCP, ["pod2"]);
      let changes = 0;
      // On a busy machine few changes fit into one round of connections.
      for (let round = 0; round < 5 && changes <= 5; round++) {
        const clients = askNames(world, "pod1", vip, 80, 400);
        let ended = false;
        void clients.finally(() => {
          ended = true;
        });
        for (; !ended; changes++) await serve(world, "spread-tcp", 80, TCP, sets[changes % sets.length]!);
        const { failed, names } = await clients;
        t.deepEqual(failed, []);
        t.is(
          Object.values(names).reduce((sum, count) => sum + count, 0),
          400,
        );
      }
      t.true(changes > 5, `${changes} changes`);
    });

    test("a connection ends when its backend leaves; the next one goes elsewhere", async (t, world) => {
      await serve(world, "spread-tcp", 80, TCP, ["pod2"]);
      const line = await talk(world, "pod1", vip, 80);
      t.is(await line.ask("first"), "first");
      await serve(world, "spread-tcp", 80, TCP, ["pod3"]);
      await t.throwsAsync(line.ask("second"));
      await line.end();
      t.deepEqual((await askNames(world, "pod1", vip, 80, 2)).names, { pod3: 2 });
    });

    test("deleting a service leaves no trace of it in the kernel, and its address alone", async (t, world) => {
      const ping = await steadyPing(world, "pod1", addressOf(world, "pod2"));
      for (const { name } of (await world.client.services.listServices({ pageSize: 0, pageToken: "" }))
        .services) {
        await world.client.services.deleteService({ name });
      }
      for (const map of ["cilium_lb4_services_v2", "cilium_lb4_backends_v2", "cilium_lb4_reverse_nat"]) {
        t.deepEqual(await dump(world, map), [], map);
      }
      t.false(await connects(world, "pod1", vip, 80));
      t.is((await ping.end()).lost, 0, "other traffic is not disturbed");
    });

    test("what bpftool finds in the pinned maps is what the API says", async (t, world) => {
      const web = await serve(world, "maps/web", 443, TCP, ["pod2", "pod3"]);
      const dns = await serve(world, "maps/dns", 53, UDP, ["pod4"]);
      for (const map of ["cilium_lb4_services_v2", "cilium_lb4_backends_v2", "cilium_lb4_reverse_nat"]) {
        const found = (await dump(world, map)).map(({ key, value }) => [
          bytes(key).toString("hex"),
          bytes(value).toString("hex"),
        ]);
        const { entries } = await world.client.datapath.listMapEntries({ map, pageSize: 0, pageToken: "" });
        t.deepEqual(
          found.sort(),
          entries.map(({ rawKey, rawValue }) => [rawKey.toString("hex"), rawValue.toString("hex")]).sort(),
          map,
        );
      }
      const backends = new Map(
        (await dump(world, "cilium_lb4_backends_v2")).map(({ key, value }) => {
          const of = bytes(value);
          return [bytes(key).readUInt32LE(0), `${of.subarray(0, 4).join(".")}:${of.readUInt16BE(4)}`];
        }),
      );
      for (const { id, ip, port } of [...web.backends, ...dns.backends]) {
        t.is(backends.get(id), `${ip}:${port}`);
      }
      t.is(backends.size, 3);
      const frontends = Object.fromEntries(
        (await dump(world, "cilium_lb4_reverse_nat")).map(({ key, value }) => {
          const of = bytes(value);
          return [bytes(key).readUInt16LE(0), `${of.subarray(0, 4).join(".")}:${of.readUInt16BE(4)}`];
        }),
      );
      t.deepEqual(frontends, { [web.revNat]: `${vip}:443`, [dns.revNat]: `${vip}:53` });
      const slots = (await dump(world, "cilium_lb4_services_v2")).filter(
        ({ key }) => bytes(key).readUInt16BE(4) === 443,
      );
      t.is(slots.length, 3, "the frontend and two backends");
    });

    test("TCP and UDP of one address and port are two services", async (t, world) => {
      await serve(world, "maps/dns", 53, UDP, ["pod4"]);
      await serve(world, "maps/dns-tcp", 53, TCP, ["pod3"]);
      t.deepEqual((await askNames(world, "pod1", vip, 53, 3)).names, { pod3: 3 });
      t.deepEqual((await askUdp(world, "pod1", vip, 53, { each: 3 })).names, { pod4: 3 });
    });
  },
  async (world) => {
    for (const at of ["pod2", "pod3", "pod4", "outside"]) {
      await startPeer(world, at, "tcp-server", backendPort, at);
      await startPeer(world, at, "udp", "serve", backendPort, at, addressOf(world, at));
    }
  },
);
