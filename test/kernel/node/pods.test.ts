/** One set of programs for all pods of a node: what is a pod's own is data, and takes effect with the next packet. */
import test from "ava";
import { bootMoment } from "../../../src/datapath/boot-clock.ts";
import { DropReason } from "../../../src/datapath/drop-reasons.ts";
import { ct4Map, EndpointFlag } from "../../../src/datapath/maps/index.ts";
import { Verdict } from "./fixtures/bench.ts";
import { packet } from "./fixtures/packets.ts";
import { places } from "./fixtures/places.ts";
import { loopback, PodBench } from "./fixtures/pod-bench.ts";

const bench = new PodBench({
  lxc: { cfg_enable_ipv6: 1, cfg_ct_accounting: 1 },
  host: { cfg_enable_ipv6: 1, cfg_ifindex: loopback, cfg_host_ifindex: 2 },
});
test.after.always(() => bench.close());

/** Drops that a piece of work causes. */
async function dropped(reason: number, work: () => unknown): Promise<number> {
  const before = await bench.drops(reason);
  await work();
  return (await bench.drops(reason)) - before;
}

let nextPort = 2000;

for (const family of [4, 6] as const) {
  const { pod: one, otherPod: other, server } = places[family];
  const base = family * 100;
  const [first, second] = [base + 1, base + 2];
  const title = (words: string): string => `IPv${family}: ${words}`;
  const sent = (
    program: string,
    from = one,
    to = other,
    ports: readonly [number, number] = [nextPort++, 80],
  ) => bench.run("lxc", program, packet("udp", { ip: from, port: ports[0] }, { ip: to, port: ports[1] }));
  const send = (...rest: Parameters<typeof sent> extends [string, ...infer Rest] ? Rest : never): number =>
    sent("cil_from_container", ...rest);
  const setUp = (): void => {
    bench.addPod(first, one);
    bench.addPod(second, other);
    bench.ownDevice(first);
  };

  test.serial(title("a packet from pod to pod passes the stages of both"), async (t) => {
    setUp();
    const before = await bench.connections();
    t.is(send(), Verdict.redirect);
    t.is((await bench.connections()) - before, 1, "the connection is remembered once for both");
  });

  test.serial(title("the network's packet for a pod gets in, and the stack's"), (t) => {
    setUp();
    const data = packet("udp", { ip: server, port: nextPort++ }, { ip: one, port: 80 });
    t.is(bench.run("host", "cil_from_netdev", data), Verdict.redirect);
    t.is(bench.run("lxc", "cil_to_container", data), Verdict.pass);
  });

  test.serial(title("a pod that is not ready neither sends nor receives"), async (t) => {
    setUp();
    bench.changePod(second, { ifindex: 0 });
    t.is(await dropped(DropReason.endpointNotReady, () => t.is(send(), Verdict.drop)), 1);
    const data = packet("udp", { ip: server, port: nextPort++ }, { ip: other, port: 80 });
    const fromNetwork = (): unknown => t.is(bench.run("host", "cil_from_netdev", data), Verdict.drop);
    t.is(await dropped(DropReason.endpointNotReady, fromNetwork), 1);

    bench.changePod(first, { ifindex: 77 });
    t.is(
      await dropped(DropReason.endpointNotReady, () => t.is(send(), Verdict.drop)),
      1,
      "it lost the device",
    );
    bench.ownDevice(undefined);
    t.is(await dropped(DropReason.endpointNotReady, () => t.is(send(), Verdict.drop)), 1, "nobody has it");
  });

  test.serial(title("a pod has its own address only"), async (t) => {
    setUp();
    t.is(await dropped(DropReason.invalidSourceIp, () => t.is(send(other, one), Verdict.drop)), 1);
    bench.ownDevice(second);
    t.is(send(other, one), Verdict.redirect);
  });

  test.serial(title("a pod's rules are its own, and in force with its flags"), async (t) => {
    setUp();
    const fromFirst = { identity: 1000 + first, direction: "ingress", protocol: 17, port: 80 } as const;
    await bench.allow(second, fromFirst);
    bench.changePod(second, { flags: EndpointFlag.enforceIngress });
    t.is(send(), Verdict.redirect);
    const wrongPort = (): unknown => t.is(send(one, other, [nextPort++, 81]), Verdict.drop);
    t.is(await dropped(DropReason.policyDenied, wrongPort), 1);

    bench.ownDevice(second);
    t.is(send(other, one), Verdict.redirect, "the other direction and the other pod are free");
    bench.ownDevice(first);

    await bench.allow(second);
    t.is(await dropped(DropReason.policyDenied, () => t.is(send(), Verdict.drop)), 1, "other rules");
    bench.changePod(second, { flags: 0 });
    t.is(send(), Verdict.redirect);
  });

  test.serial(title("a pod that enforces rules and has none lets nothing pass"), async (t) => {
    setUp();
    bench.changePod(second, { flags: EndpointFlag.enforceIngress });
    await bench.forget(second);
    t.is(await dropped(DropReason.policyDenied, () => t.is(send(), Verdict.drop)), 1);
    bench.changePod(second, { flags: 0 });
    bench.changePod(first, { flags: EndpointFlag.enforceEgress });
    t.is(await dropped(DropReason.policyDenied, () => t.is(send(), Verdict.drop)), 1);
  });

  test.serial(title("an address that another pod gets leads there with the next packet"), async (t) => {
    setUp();
    t.is(send(), Verdict.redirect);
    bench.changePod(second, { ipv4: "0.0.0.0", ipv6: "::" });
    bench.addPod(base + 3, other, { ifindex: 0 });
    t.is(await dropped(DropReason.endpointNotReady, () => t.is(send(), Verdict.drop)), 1);
  });

  test.serial(title("a connection is known from both sides, whichever port is the higher one"), async (t) => {
    setUp();
    for (const [own, peer] of [
      [nextPort++, 80],
      [80, nextPort++],
    ] as const) {
      const before = await bench.connections();
      bench.ownDevice(first);
      t.is(send(one, other, [own, peer]), Verdict.redirect);
      t.is(bench.connection(one, own, other, peer)?.packets, 1n);
      bench.ownDevice(second);
      t.is(send(other, one, [peer, own]), Verdict.redirect);
      bench.ownDevice(first);
      t.is(send(one, other, [own, peer]), Verdict.redirect);
      t.is((await bench.connections()) - before, 1);
      const { packets, out, in: into } = bench.connection(one, own, other, peer)!;
      t.is(packets, 3n, "counted once on the way through both pods' stages");
      t.truthy(out && into, "both ends know it");
    }
  });

  test.serial(title("what one end turns down stays known to the other"), async (t) => {
    setUp();
    const port = nextPort++;
    t.is(send(one, other, [port, 80]), Verdict.redirect);
    await bench.allow(second);
    bench.changePod(second, { flags: EndpointFlag.enforceIngress });
    t.is(await dropped(DropReason.policyDenied, () => t.is(send(one, other, [port, 80]), Verdict.drop)), 1);
    const { out, in: into } = bench.connection(one, port, other, 80)!;
    t.deepEqual([out?.denied, into?.denied], [false, true]);
    bench.ownDevice(second);
    t.is(await dropped(DropReason.policyDenied, () => t.is(send(other, one, [80, port]), Verdict.drop)), 1);

    bench.changePod(second, { flags: 0 });
    t.is(send(other, one, [80, port]), Verdict.redirect, "a reply to the first");
    bench.ownDevice(first);
    bench.changePod(second, { flags: EndpointFlag.enforceIngress });
    await bench.allow(second, { identity: 1000 + first, direction: "ingress", protocol: 17, port: 80 });
    t.is(send(one, other, [port, 80]), Verdict.redirect);
    t.false(bench.connection(one, port, other, 80)!.in!.denied);
  });

  for (const [how, ending] of [
    ["acknowledged end", ["F", "F", "A"]],
    ["reset", ["R"]],
  ] as const) {
    test.serial(
      title(`TCP between pods is forgotten with its ${how}, unless rules depend on it`),
      async (t) => {
        setUp();
        for (const [flags, remembered] of [
          [0, 0],
          [EndpointFlag.enforceIngress, 1],
        ] as const) {
          const ends = [
            { ip: one, port: nextPort++ },
            { ip: other, port: 80 },
          ] as const;
          await bench.allow(second, { identity: 1000 + first, direction: "ingress", protocol: 6, port: 80 });
          bench.changePod(second, { flags });
          const before = await bench.connections();
          for (const [index, flag] of ["S", "SA", "A", ...ending].entries()) {
            const [from, to] = index % 2 === 0 ? ends : [ends[1], ends[0]];
            bench.ownDevice(index % 2 === 0 ? first : second);
            const data = packet("tcp", from, to, { flags: flag as "S" });
            t.is(bench.run("lxc", "cil_from_container", data), Verdict.redirect, `${flag}, ${index}`);
            t.is((await bench.connections()) - before, index < 2 + ending.length ? 1 : remembered);
          }
        }
        bench.changePod(second, { flags: 0 });
        bench.ownDevice(first);
      },
    );
  }

  test.serial(
    title("TCP from outside is remembered at its end: what was lost may be sent again"),
    async (t) => {
      setUp();
      const ends = [
        { ip: server, port: nextPort++ },
        { ip: one, port: 80 },
      ] as const;
      const before = await bench.connections();
      const comes = (flags: "S" | "A" | "F" | "R"): unknown =>
        t.is(bench.run("host", "cil_from_netdev", packet("tcp", ...ends, { flags })), Verdict.redirect);
      const goes = (flags: "SA" | "F"): unknown =>
        t.is(
          bench.run("lxc", "cil_from_container", packet("tcp", ends[1], ends[0], { flags })),
          Verdict.pass,
        );
      for (const flags of ["S", "A", "F"] as const) comes(flags);
      goes("SA");
      goes("F");
      comes("A");
      comes("R");
      t.is((await bench.connections()) - before, 1);
    },
  );

  test.serial(title("a pod knows no connection from before it came"), async (t) => {
    setUp();
    const port = nextPort++;
    t.is(send(one, other, [port, 80]), Verdict.redirect);
    bench.ownDevice(second);
    await bench.allow(second);
    bench.changePod(second, { flags: EndpointFlag.enforceEgress });
    t.is(send(other, one, [80, port]), Verdict.redirect, "a reply");
    bench.changePod(second, { createdS: bootMoment().seconds + 2 });
    t.is(await dropped(DropReason.policyDenied, () => t.is(send(other, one, [80, port]), Verdict.drop)), 1);
  });
}

test.serial("what a plugin makes of a packet is what the stages behind it see", async (t) => {
  const [one, other] = ["10.0.1.31", "10.0.1.32"];
  bench.addPod(21, one);
  bench.addPod(22, other);
  bench.ownDevice(21);
  const own = nextPort++;
  const send = (): number =>
    bench.run("lxc", "cil_from_container", packet("udp", { ip: one, port: own }, { ip: other, port: 80 }));
  const ports = async (): Promise<readonly number[]> =>
    (await bench.map(ct4Map).keys())
      .filter(({ sourcePort }) => sourcePort === own)
      .map(({ destinationPort }) => destinationPort);
  t.is(send(), Verdict.redirect);
  t.deepEqual(await ports(), [80]);
  bench.plug(
    "divert",
    `#include <waggle/plugin.h>
HOOK(from_container_pre_policy_v4)
{
	__be16 port = bpf_htons(443);

	bpf_skb_store_bytes(ctx, ETH_HLEN + sizeof(struct iphdr) + 2, &port, sizeof(port), BPF_F_RECOMPUTE_CSUM);
	return HOOK_NEXT;
}
`,
    { from_container_pre_policy_v4: 5 },
  );
  t.is(send(), Verdict.redirect);
  t.deepEqual(
    [...(await ports())].sort((a, b) => a - b),
    [80, 443],
    "the receiver's stages",
  );
});

test.serial(
  "plugins count in the block of the pod whose packet it is, and are told which one that is",
  (t) => {
    const [one, other] = ["10.0.1.21", "10.0.1.22"];
    bench.ownDevice(undefined);
    bench.addPod(11, one, { statsBase: 1 * 64 });
    bench.addPod(12, other, { statsBase: 2 * 64, ifindex: 77 });
    bench.ownDevice(11);
    const maps = bench.plug(
      "witness",
      `#include <waggle/plugin.h>
struct seen { __u32 id, identity, ifindex, device; __be32 ipv4; __u32 six; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, struct seen);
} sightings SEC(".maps");
static __always_inline int note(struct __sk_buff *ctx, __u32 at)
{
	struct seen *seen = bpf_map_lookup_elem(&sightings, &at);
	struct in6_addr six;

	waggle_endpoint_ipv6(ctx, &six);
	if (seen) {
		seen->id = waggle_endpoint_id(ctx);
		seen->identity = waggle_endpoint_identity(ctx);
		seen->ifindex = waggle_endpoint_ifindex(ctx);
		seen->device = waggle_ifindex(ctx);
		seen->ipv4 = waggle_endpoint_ipv4(ctx);
		seen->six = six.s6_addr32[3];
	}
	return HOOK_NEXT;
}
HOOK(from_container_pre_ct_v4) { return note(ctx, 0); }
HOOK(to_container_pre_ct_v4) { return note(ctx, 1); }
`,
      { from_container_pre_ct_v4: 3, to_container_pre_ct_v4: 4 },
    );
    const data = packet("udp", { ip: one, port: nextPort++ }, { ip: other, port: 80 });
    t.is(bench.run("lxc", "cil_from_container", data), Verdict.redirect);
    t.deepEqual(
      [67, 68, 131, 132].map((index) => bench.hookCount(index)),
      [1, 0, 0, 1],
    );
    const seen = (at: number): readonly unknown[] => {
      const key = Buffer.alloc(4);
      key.writeUInt32LE(at);
      const value = maps.get("sightings")!.lookup(key)!;
      const [id, identity, ifindex, device] = [0, 4, 8, 12].map((offset) => value.readUInt32LE(offset));
      return [id, identity, ifindex, device, [...value.subarray(16, 20)].join("."), value.readUInt32LE(20)];
    };
    t.deepEqual(seen(0), [11, 1011, loopback, loopback, one, 0]);
    t.deepEqual(seen(1), [12, 1012, 77, loopback, other, 0]);
  },
);
