// The checks of the connectivity test, between namespaces without any datapath: they see what is there, good or bad.

import type { Kind } from "../../src/connectivity/cases.ts";
import { CheckError, checkRefused } from "../../src/connectivity/checks.ts";
import { Exchanges } from "../../src/connectivity/exchanges.ts";
import type { Family, Party } from "../../src/connectivity/topology.ts";
import { namespacePath, type World } from "../../src/playground/index.ts";
import { worldTests } from "../support/world-tests.ts";

const party = (world: World, name: string): Party => {
  const { outsideIpv4, outsideIpv6 } = world.addressing;
  const { ipv4, ipv6 } =
    name === "outside" ? { ipv4: outsideIpv4, ipv6: outsideIpv6 } : world.node(name).addresses;
  return { label: name, netns: namespacePath(world.namespaces[name]!), ipv4, ipv6 };
};

await worldTests("the checks of the connectivity test", { nodes: 2, pods: 0, agent: false }, (register) => {
  /** Runs a test with peers that are gone afterwards. */
  const test = (
    title: string,
    implementation: (
      t: Parameters<Parameters<typeof register>[1]>[0],
      world: World,
      send: (kind: Kind, family: Family, sources?: readonly string[]) => Promise<string>,
      exchanges: Exchanges,
    ) => Promise<void>,
  ): void =>
    register(title, async (t, world) => {
      const exchanges = new Exchanges([]);
      const { signal } = new AbortController();
      try {
        await implementation(
          t,
          world,
          (kind, family, sources = []) =>
            exchanges.between(kind, party(world, "node1"), party(world, "outside"), family, {
              sources,
              signal,
            }),
          exchanges,
        );
      } finally {
        await exchanges.peers.end();
      }
    });

  for (const family of ["ipv4", "ipv6"] as const) {
    test(`all kinds of traffic pass where nothing is in the way: ${family}`, async (t, world, send) => {
      const own = party(world, "node1")[family];
      t.is(await send("icmp", family), "3 answers");
      t.is(await send("tcp", family, [own]), `seen as ${own}`);
      t.is(await send("udp", family, [own]), `seen as ${own}`);
      t.is(await send("fragments", family), `seen as ${own}`);
      t.is(await send("mtu", family), "1500 bytes");
    });
  }

  test("another source than was expected is told", async (t, _, send) => {
    await t.throwsAsync(send("tcp", "ipv4", ["192.0.2.9"]), {
      instanceOf: CheckError,
      message: "it was seen as 172.18.0.11, not as 192.0.2.9",
    });
  });

  test("large packets that vanish without an error are told, and small ones pass", async (t, world, send) => {
    const port = ["ip", "link", "set", "node1", "mtu"];
    await world.run("underlay", [...port, "1400"]);
    try {
      const message = /packets of 1500 bytes vanish, and nobody says what size would not/;
      await t.throwsAsync(send("mtu", "ipv4"), { instanceOf: CheckError, message });
      await t.throwsAsync(send("mtu", "ipv6"), { instanceOf: CheckError, message });
      t.is(await send("icmp", "ipv4"), "3 answers");
    } finally {
      await world.run("underlay", [...port, "1500"]);
    }
  });

  test("a port where nobody listens refuses at once, and an address that nobody has does not", async (t, world, _, exchanges) => {
    const peer = exchanges.peers.in(party(world, "node1"));
    t.regex(await checkRefused(peer, { address: party(world, "outside").ipv4, port: 1 }), /^ECONNREFUSED/);
    await t.throwsAsync(checkRefused(peer, { address: "172.18.0.200", port: 1 }), {
      instanceOf: CheckError,
      message: /not refused at once/,
    });
  });

  test("nobody at the other end is told for what it is", async (t, world, send) => {
    await world.setPlugged("node1", false);
    try {
      await t.throwsAsync(send("icmp", "ipv4"), {
        instanceOf: CheckError,
        message: /3 of 3 echo requests/,
      });
      await t.throwsAsync(send("udp", "ipv4"), { instanceOf: CheckError });
    } finally {
      await world.setPlugged("node1", true);
    }
  });
});
