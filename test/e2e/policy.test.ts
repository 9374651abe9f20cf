// Policy: who may talk to whom, and what happens when that changes.

import type { ExecutionContext } from "ava";
import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { TrafficDirection } from "../../src/gen/waggle/v1/common.ts";
import { VerdictAction } from "../../src/gen/waggle/v1/datapath.ts";
import type { EndpointPolicy } from "../../src/gen/waggle/v1/endpoint.ts";
import { type World, waggleArgv } from "../../src/playground/index.ts";
import { startTcpServer, steadyChat, steadyPing } from "../../src/playground/traffic.ts";
import { byId } from "../support/endpoints.ts";
import { counted, listen } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import {
  allowFrom,
  allowTo,
  anyone,
  denyFrom,
  denyTo,
  egress,
  ingress,
  labelled,
  open,
  reserved,
  setLabels,
  setPolicy,
} from "../support/policy.ts";
import { startPeer } from "../support/programs.ts";
import { upsertService } from "../support/services.ts";
import { talk } from "../support/talk.ts";
import { askUdp, connects, echo, retransmittedSegments } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const port = 7_000;
const otherPort = 7_001;
const chatPort = 7_100;
const vip = "10.96.0.10";

const pod1 = labelled({ app: "pod1" });
const pod2 = labelled({ app: "pod2" });
const pod3 = labelled({ app: "pod3" });

const addressOf = (world: World, name: string): string => {
  if (name === "outside") return world.addressing.outsideIpv4;
  return name === "node" ? world.addressing.nodeIpv4 : world.pod(name).ipv4;
};

type Kind = "icmp" | "tcp" | "tcp-other" | "udp";

/** What should work may take long on a busy machine; what should not would do so within some milliseconds. */
const patienceMs = { patient: 10_000, brief: 400 } as const;

function works(
  world: World,
  from: string,
  to: string,
  kind: Kind,
  patience: keyof typeof patienceMs = "patient",
): Promise<boolean> {
  const address = addressOf(world, to);
  const most = patienceMs[patience];
  switch (kind) {
    case "icmp":
      return echo(world, from, address, 1, "-W", `${most / 1_000}`).then(({ received }) => received === 1);
    case "tcp":
      return connects(world, from, address, port, most);
    case "tcp-other":
      return connects(world, from, address, otherPort, most);
    case "udp":
      return askUdp(world, from, address, port, { patienceMs: most }).then(({ intact }) => intact === 1);
  }
}

const allKinds: readonly Kind[] = ["icmp", "tcp", "tcp-other", "udp"];

/** Tries kinds from all peers to `to` at once: exactly those `expected` ("pod1 tcp") must work. */
async function onlyWorks(
  t: ExecutionContext,
  world: World,
  peers: readonly string[],
  to: string,
  expected: readonly string[],
  kinds = allKinds,
): Promise<void> {
  const tries = peers.flatMap((peer) => kinds.map((kind) => ({ peer, kind, name: `${peer} ${kind}` })));
  const results = await Promise.all(
    tries.map(({ peer, kind, name }) =>
      works(world, peer, to, kind, expected.includes(name) ? "patient" : "brief"),
    ),
  );
  const working = tries.filter((_, index) => results[index]).map(({ name }) => name);
  t.deepEqual(working.sort(), [...expected].sort(), `to ${to}`);
}

const all = (peer: string, kinds = allKinds): string[] => kinds.map((kind) => `${peer} ${kind}`);

const everybody = ["pod1", "pod3", "node", "outside"];

await worldTests(
  "policy",
  { pods: 3 },
  (test) => {
    const towards: readonly (readonly [string, EndpointPolicy, readonly string[]])[] = [
      ["without enforcement everybody comes in", open, everybody.flatMap((peer) => all(peer))],
      ["enforced without rules, nobody comes in", ingress(), []],
      ["allowed labels come in, and nobody else", ingress(allowFrom(pod1)), all("pod1")],
      ["the world comes in, and nobody else", ingress(allowFrom(reserved("world"))), all("outside")],
      ["the host comes in, and nobody else", ingress(allowFrom(reserved("host"))), all("node")],
      ["any peer may be allowed", ingress(allowFrom(anyone)), everybody.flatMap((peer) => all(peer))],
      ["one port of one protocol is allowed", ingress(allowFrom(pod1, `tcp/${port}`)), ["pod1 tcp"]],
      ["one protocol is allowed", ingress(allowFrom(anyone, "udp")), everybody.map((peer) => `${peer} udp`)],
      ["ICMP is allowed", ingress(allowFrom(pod3, "icmp")), ["pod3 icmp"]],
      [
        "several rules add up",
        ingress(allowFrom(pod1, "tcp"), allowFrom(pod3, `udp/${port}`), allowFrom(reserved("host"), "icmp")),
        ["pod1 tcp", "pod1 tcp-other", "pod3 udp", "node icmp"],
      ],
      [
        "a denied port beats an allowed peer",
        ingress(allowFrom(pod1), denyFrom(pod1, `tcp/${port}`)),
        ["pod1 icmp", "pod1 tcp-other", "pod1 udp"],
      ],
      [
        "a denied peer beats an allowed port for all",
        ingress(allowFrom(anyone, `tcp/${port}`), denyFrom(pod1)),
        ["pod3 tcp", "node tcp", "outside tcp"],
      ],
      [
        "a denied protocol for all beats an allowed port of one peer",
        ingress(allowFrom(pod1, `tcp/${port}`), allowFrom(pod1, "icmp"), denyFrom(anyone, "tcp")),
        ["pod1 icmp"],
      ],
      [
        "labels that nobody carries allow nobody",
        ingress(allowFrom(labelled({ app: "pod1", tier: "gold" }))),
        [],
      ],
    ];
    for (const [title, policy, expected] of towards) {
      test(`ingress: ${title}`, async (t, world) => {
        await setPolicy(world, "pod2", policy);
        await onlyWorks(t, world, everybody, "pod2", expected);
      });
    }

    const away: readonly (readonly [string, EndpointPolicy, readonly string[]])[] = [
      ["enforced without rules, nothing goes out", egress(), []],
      ["to labels", egress(allowTo(pod2)), ["pod2"]],
      ["to the world", egress(allowTo(reserved("world"))), ["outside"]],
      ["to the host", egress(allowTo(reserved("host"))), ["node"]],
      ["anywhere but to a denied peer", egress(allowTo(anyone), denyTo(pod3)), ["node", "outside", "pod2"]],
    ];
    for (const [title, policy, expected] of away) {
      test(`egress: ${title}`, async (t, world) => {
        await setPolicy(world, "pod2", open);
        await setPolicy(world, "pod1", policy);
        const kinds: readonly Kind[] = ["icmp", "tcp", "udp"];
        await Promise.all(
          ["node", "outside", "pod2", "pod3"].map((to) =>
            onlyWorks(t, world, ["pod1"], to, expected.includes(to) ? all("pod1", kinds) : [], kinds),
          ),
        );
      });
    }

    test("egress: a port of a protocol, and replies to who calls from outside of the rules", async (t, world) => {
      await setPolicy(world, "pod1", egress(allowTo(pod2, `tcp/${port}`)));
      await onlyWorks(t, world, ["pod1"], "pod2", ["pod1 tcp"]);
      // The pod answers a connection that it could not have opened.
      await onlyWorks(t, world, ["pod3"], "pod1", ["pod3 icmp"], ["icmp"]);
    });

    test("ingress: replies to the pod's own connections pass whatever the rules say", async (t, world) => {
      const kinds: readonly Kind[] = ["icmp", "tcp", "udp"];
      await setPolicy(world, "pod1", ingress());
      for (const to of ["pod2", "node", "outside"]) {
        await onlyWorks(t, world, ["pod1"], to, all("pod1", kinds), kinds);
      }
      await setPolicy(world, "pod1", open);
    });

    test("egress to a service is judged by its backend", async (t, world) => {
      const service = {
        name: "policy/web",
        ip: vip,
        port: 80,
        backends: [{ ip: world.pod("pod2").ipv4, port }],
      };
      await upsertService(world, service);
      await setPolicy(world, "pod1", egress(allowTo(pod2, `tcp/${port}`)));
      t.true(await connects(world, "pod1", vip, 80));
      await setPolicy(world, "pod1", egress(allowTo(pod3), allowTo(reserved("world"))));
      t.false(await connects(world, "pod1", vip, 80, patienceMs.brief));
      await setPolicy(world, "pod1", open);
      await world.client.services.deleteService({ name: service.name });
    });

    test("a big ping passes where ICMP is allowed: its later fragments follow the first", async (t, world) => {
      await setPolicy(world, "pod2", ingress(allowFrom(pod1, "icmp"), allowFrom(pod1, `udp/${port}`)));
      const address = world.pod("pod2").ipv4;
      t.is((await echo(world, "pod1", address, 2, "-s", "8000")).received, 2);
      t.is((await askUdp(world, "pod1", address, port, { each: 3, bytes: 8_000 })).intact, 3);
      t.is((await echo(world, "pod3", address, 1, "-s", "8000")).received, 0);
    });

    test("drops tell policy without a rule (133) from a rule that denies (181)", async (t, world) => {
      await setPolicy(world, "pod2", ingress(allowFrom(pod1), denyFrom(pod3)));
      const before = [
        await counted(world, DropReason.policyDenied),
        await counted(world, DropReason.policyDenyRule),
      ];
      const listener = await listen(world, { drops: true, endpointId: world.pod("pod2").id });
      await onlyWorks(t, world, ["pod3", "outside"], "pod2", [], ["icmp"]);
      await eventually("both drops are reported", () => listener.drops.length >= 2);
      await listener.end();
      const drops = new Map(listener.drops.map((drop) => [drop.packet?.summary?.sourceIp, drop]));
      t.is(drops.get(world.pod("pod3").ipv4)?.reason, DropReason.policyDenyRule);
      t.is(drops.get(world.pod("pod3").ipv4)?.sourceIdentity, world.pod("pod3").endpoint.identity);
      t.is(drops.get(world.addressing.outsideIpv4)?.reason, DropReason.policyDenied);
      t.is(drops.get(world.addressing.outsideIpv4)?.sourceIdentity, 2);
      t.deepEqual(
        [await counted(world, DropReason.policyDenied), await counted(world, DropReason.policyDenyRule)],
        before.map((count) => count + 1),
      );
    });

    test("verdicts are streamed with who, what, which way and which kind of rule", async (t, world) => {
      await setPolicy(world, "pod2", ingress(allowFrom(pod1, `tcp/${port}`), allowFrom(pod1, "icmp")));
      const listener = await listen(world, { verdicts: true, endpointId: world.pod("pod2").id });
      await onlyWorks(t, world, ["pod1"], "pod2", ["pod1 icmp", "pod1 tcp"], ["icmp", "tcp", "tcp-other"]);
      const verdicts = await eventually("three verdicts", () => {
        const inward = listener.verdicts.filter(({ direction }) => direction === TrafficDirection.INGRESS);
        return (
          new Set(inward.map(({ protocol, destinationPort }) => `${protocol}/${destinationPort}`)).size >=
            3 && inward
        );
      });
      await listener.end();
      const find = (protocol: number, at?: number) =>
        verdicts.find((one) => one.protocol === protocol && (at === undefined || one.destinationPort === at));
      const identity = world.pod("pod1").endpoint.identity;
      const allowed = find(6, port);
      t.is(allowed?.action, VerdictAction.ALLOW);
      t.is(allowed?.verdict, 0);
      t.is(allowed?.match, "L3-L4");
      t.is(allowed?.remoteIdentity, identity);
      const denied = find(6, otherPort);
      t.is(denied?.action, VerdictAction.DENY);
      t.is(denied?.verdict, -DropReason.policyDenied);
      t.is(denied?.reasonName, "Policy denied");
      t.is(denied?.match, "none");
      const icmp = find(1);
      t.is(icmp?.action, VerdictAction.ALLOW);
      t.is(icmp?.match, "L3-Proto");
      t.is(listener.drops.length, 0, "drops were not asked for");
    });

    test("`waggle monitor --type verdict` shows a verdict", async (t, world) => {
      const argv = waggleArgv(
        "--socket",
        world.socket,
        "--json",
        "monitor",
        "--type",
        "verdict",
        "--count",
        "1",
      );
      const monitor = world.run("node", argv);
      let ended = false;
      void monitor.finally(() => {
        ended = true;
      });
      await eventually("waggle monitor has its event", async () => {
        if (!ended) await works(world, "pod1", "pod2", "icmp");
        return ended;
      });
      const { verdict } = JSON.parse(await monitor) as { verdict: { action: string } };
      t.regex(verdict.action.toLowerCase(), /allow/);
    });

    const revocations = [
      ["ingress", "pod2", ingress(allowFrom(pod1)), ingress(allowFrom(pod3))],
      ["egress", "pod1", egress(allowTo(pod2)), egress(allowTo(pod3))],
    ] as const;
    for (const [direction, pod, allowing, revoking] of revocations) {
      test(`${direction}: rules taken back end connections, and given back let them go on`, async (t, world) => {
        await setPolicy(world, "pod1", open);
        await setPolicy(world, "pod2", open);
        await setPolicy(world, pod, allowing);
        t.teardown(() => setPolicy(world, pod, open));
        const line = await talk(world, "pod1", world.pod("pod2").ipv4, port);
        t.is(await line.ask("allowed"), "allowed");
        // Whoever is still waiting for an acknowledgement sends again, and must not open the way by that.
        await setPolicy(world, pod, revoking);
        t.is(await line.askInVain("denied"), undefined);
        await setPolicy(world, pod, allowing);
        // TCP has kept what was denied, and tries again by itself.
        t.is(await line.ask("allowed again"), "denied");
        await line.end();
      });
    }

    test("rules change, enforcement comes and goes: what stays allowed meets no gap", async (t, world) => {
      const stay = [allowFrom(pod1), allowFrom(reserved("world"), "icmp")];
      await setPolicy(world, "pod2", ingress(...stay));
      const target = world.pod("pod2").ipv4;
      await startTcpServer(world, "pod2", chatPort);
      const pings = [await steadyPing(world, "pod1", target), await steadyPing(world, "outside", target)];
      const chat = await steadyChat(world, "pod1", { ipv4: target, port: chatPort });
      const retransmitted = async (): Promise<number> =>
        (await retransmittedSegments(world, "pod1")) + (await retransmittedSegments(world, "pod2"));
      const before = await retransmitted();
      const policies = [
        ingress(...stay, denyFrom(pod3)),
        ingress(allowFrom(anyone)),
        ingress(...stay, allowFrom(pod3, "tcp/1"), denyFrom(anyone, "udp")),
        open,
        { ...ingress(...stay), enforceEgress: true },
        ingress(allowFrom(anyone, "tcp"), allowFrom(anyone, "icmp"), denyFrom(anyone, "tcp/1")),
        ingress(...stay),
      ];
      const begun = Date.now();
      let changes = 0;
      while (Date.now() - begun < 2_000 || changes < 10)
        await setPolicy(world, "pod2", policies[changes++ % policies.length]!);
      for (const ping of pings) {
        const { sent, lost } = await ping.end();
        t.true(sent > 20, `${sent} requests`);
        t.is(lost, 0);
      }
      const { sent, received, longestMs } = await chat.end();
      t.is(received, sent);
      // A lost segment costs a retransmission timeout: 200 ms at least. A busy machine may take as long by itself.
      if (longestMs >= 200) t.is(await retransmitted(), before, `${longestMs} ms`);
      t.log(`${changes} changes`);
    });

    test("a peer's new labels open and close doors", async (t, world) => {
      await setPolicy(world, "pod2", ingress(allowFrom(labelled({ role: "client" }))));
      await onlyWorks(t, world, ["pod3"], "pod2", [], ["icmp"]);
      await setLabels(world, "pod3", { app: "pod3", role: "client" });
      await onlyWorks(t, world, ["pod3"], "pod2", ["pod3 icmp", "pod3 tcp"], ["icmp", "tcp"]);
      await setLabels(world, "pod3", { app: "pod3" });
      await onlyWorks(t, world, ["pod3"], "pod2", [], ["icmp", "tcp"]);
    });

    test("new labels of a peer that is allowed before and after cost no packet", async (t, world) => {
      await setPolicy(world, "pod2", ingress(allowFrom(pod1)));
      const ping = await steadyPing(world, "pod1", world.pod("pod2").ipv4);
      const begun = Date.now();
      for (let version = 0; version < 15 || Date.now() - begun < 1_000; version++) {
        await setLabels(world, "pod1", { app: "pod1", version: String(version) });
      }
      await setLabels(world, "pod1", { app: "pod1" });
      const { sent, lost } = await ping.end();
      t.true(sent > 10, `${sent} requests`);
      t.is(lost, 0);
    });

    test("an egress rule follows a peer's labels too", async (t, world) => {
      await setPolicy(world, "pod2", open);
      await setPolicy(world, "pod1", egress(allowTo(labelled({ role: "server" }))));
      await onlyWorks(t, world, ["pod1"], "pod3", [], ["icmp"]);
      await setLabels(world, "pod3", { app: "pod3", role: "server" });
      await onlyWorks(t, world, ["pod1"], "pod3", ["pod1 icmp"], ["icmp"]);
      await setLabels(world, "pod3", { app: "pod3" });
      await onlyWorks(t, world, ["pod1"], "pod3", [], ["icmp"]);
      await setPolicy(world, "pod1", open);
    });

    test("an IP cache entry makes part of the world a peer of its own", async (t, world) => {
      // Not the one it was created with: labels have come and gone since.
      const endpoint = byId(world.pod("pod1").id);
      const { identity } = (await world.client.endpoints.getEndpoint({ endpoint })).endpoint!;
      await setPolicy(world, "pod2", ingress(allowFrom(pod1)));
      await onlyWorks(t, world, ["outside"], "pod2", [], ["icmp"]);
      const prefix = `${world.addressing.outsideIpv4}/32`;
      await world.client.ipcache.upsertIpCacheEntry({
        entry: { prefix, identity, tunnelEndpoint: "", encryptKey: 0, source: 0 },
      });
      await onlyWorks(t, world, ["outside"], "pod2", ["outside icmp"], ["icmp"]);
      await world.client.ipcache.deleteIpCacheEntry({ prefix });
      await onlyWorks(t, world, ["outside"], "pod2", [], ["icmp"]);
    });
  },
  async (world) => {
    await Promise.all(
      ["pod1", "pod2", "pod3", "node", "outside"].flatMap((at) => [
        startPeer(world, at, "tcp-server", port, at),
        startPeer(world, at, "tcp-server", otherPort, at),
        startPeer(world, at, "udp", "serve", port, at, addressOf(world, at)),
      ]),
    );
  },
);
