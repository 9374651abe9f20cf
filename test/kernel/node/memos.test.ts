/** What programs remember of tables (bpf/lib/memo.h): the packet after a change that was told meets the table as it is. */
import test from "ava";
import { EndpointFlag, EpochTable } from "../../../src/datapath/maps/index.ts";
import { type Constants, Verdict } from "./fixtures/bench.ts";
import { packet } from "./fixtures/packets.ts";
import { constant, places, tunnelEndpoint } from "./fixtures/places.ts";
import { loopback, PodBench } from "./fixtures/pod-bench.ts";

const worldIdentity = 2;
const common: Constants = {
  cfg_enable_ipv6: 1,
  cfg_host_ifindex: 2,
  cfg_node_ipv4: constant(places[4].node),
};
const tunnel: Constants = { ...common, cfg_tunnel_ifindex: 3 };
const benches = {
  tunnel: new PodBench({ lxc: tunnel, host: { ...tunnel, cfg_ifindex: loopback } }),
  native: new PodBench({ lxc: common, host: { ...common, cfg_ifindex: loopback } }),
};
test.after.always(() => {
  for (const bench of Object.values(benches)) bench.close();
});

let nextPort = 2000;

for (const family of [4, 6] as const) {
  for (const mode of ["tunnel", "native"] as const) {
    const bench = benches[mode];
    const { pod, otherPod, server } = places[family];
    const [first, second] = [family * 100 + 1, family * 100 + 2];
    const remote = mode === "tunnel" ? "tunnel" : "stack";
    const title = (words: string): string => `IPv${family}, ${mode}: ${words}`;

    /** Where a datagram of the first pod gets to. */
    function reached(to: string): string {
      const port = nextPort++;
      const data = packet("udp", { ip: pod, port }, { ip: to, port: 80 });
      const verdict = bench.run("lxc", "cil_from_container", data);
      const flow = bench.connection(pod, port, to, 80);
      if (verdict === Verdict.pass) return "stack";
      if (verdict !== Verdict.redirect || flow === undefined) return "nowhere";
      return flow.in ? "pod" : "tunnel";
    }
    /** The same of several, of which all but the first rely on what is remembered; one word where they agree. */
    const allReach = (to: string): string => [...new Set([1, 2, 3].map(() => reached(to)))].join(", ");

    const setUp = (): void => {
      bench.addPod(first, pod);
      bench.ownDevice(first);
      for (const table of Object.values(EpochTable)) bench.advance(table);
    };

    test.serial(
      title("an address leads to the world, another node or a pod, whichever it last was"),
      async (t) => {
        setUp();
        for (let round = 0; round < 2; round += 1) {
          bench.removePod(second, otherPod);
          bench.claim(otherPod, worldIdentity);
          bench.advance(EpochTable.ipcache);
          t.is(allReach(otherPod), "stack");
          t.true((await bench.remembered("ipcache")) > 0);

          bench.claim(otherPod, 2000, tunnelEndpoint);
          bench.advance(EpochTable.ipcache);
          t.is(allReach(otherPod), remote);

          bench.addPod(second, otherPod);
          bench.advance(EpochTable.ipcache);
          t.is(allReach(otherPod), "pod");
        }
      },
    );

    test.serial(title("rules meet the identity that an address last had"), async (t) => {
      setUp();
      await bench.allow(first, { identity: 3000, direction: "egress", protocol: 17, port: 80 });
      bench.changePod(first, { flags: EndpointFlag.enforceEgress });
      for (const identity of [3000, 3001, 3000]) {
        bench.claim(server, identity);
        bench.advance(EpochTable.ipcache);
        t.is(allReach(server), identity === 3000 ? "stack" : "nowhere", `identity ${identity}`);
      }
      bench.changePod(first, { flags: 0 });
    });
  }
}

test.serial("where nobody says that tables change, nothing is remembered of them", async (t) => {
  const bench = new PodBench({ lxc: common, host: { ...common, cfg_ifindex: loopback } });
  try {
    const { pod, server } = places[4];
    bench.addPod(1, pod);
    bench.ownDevice(1);
    await bench.allow(1, { identity: 3000, direction: "egress", protocol: 17, port: 80 });
    bench.changePod(1, { flags: EndpointFlag.enforceEgress });
    for (const identity of [3000, 3001, 3000]) {
      bench.claim(server, identity);
      const data = packet("udp", { ip: pod, port: nextPort++ }, { ip: server, port: 80 });
      const expected = identity === 3000 ? Verdict.pass : Verdict.drop;
      t.is(bench.run("lxc", "cil_from_container", data), expected);
    }
    t.is(await bench.remembered("ipcache"), 0);
  } finally {
    bench.close();
  }
});
