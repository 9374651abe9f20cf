/** Packets pass by addresses that have no service (bpf/lib/lb_filter.h), and by none that has one. */
import test from "ava";
import { AddressFilter } from "../../../src/cells/services/address-filter.ts";
import { LbServiceFlag, lbFilterMap } from "../../../src/datapath/maps/index.ts";
import { Bench, type Constants, Verdict } from "./fixtures/bench.ts";
import { packet } from "./fixtures/packets.ts";
import { constant, deviceConstants, places } from "./fixtures/places.ts";
import { loopback, PodBench } from "./fixtures/pod-bench.ts";

const pods: Constants = {
  ...{ cfg_enable_ipv6: 1, cfg_host_ifindex: 2 },
  ...{ cfg_node_ipv4: constant(places[4].node), cfg_node_ipv6: constant(places[6].node) },
};
const bench = new PodBench({ lxc: pods, host: { cfg_enable_ipv6: 1, cfg_ifindex: loopback } });
const host = new Bench(
  "host",
  deviceConstants(places[4], deviceConstants(places[6], { cfg_nodeport: 1, cfg_enable_ipv6: 1 })),
);
test.after.always(() => {
  bench.close();
  host.close();
});

let nextPort = 2000;

for (const family of [4, 6] as const) {
  const { pod, otherPod, server, node, world } = places[family];
  const backend = { ip: otherPod, port: 8080 };
  const [first, second] = [family * 100 + 1, family * 100 + 2];

  /** Whether a datagram of the pod is led to the backend. */
  function isServed(ip: string, port = 80): boolean {
    bench.ownDevice(first);
    const from = { ip: pod, port: nextPort++ };
    bench.run("lxc", "cil_from_container", packet("udp", from, { ip, port }));
    return bench.connection(pod, from.port, backend.ip, backend.port) !== undefined;
  }

  test.serial(
    `IPv${family}: a pod is served at the addresses that the agent lets through, and at no other`,
    async (t) => {
      const filter = new AddressFilter(() => bench.map(lbFilterMap));
      bench.addPod(first, pod);
      bench.addPod(second, otherPod);
      const addresses = [server, ...Array.from({ length: 64 }, (_, i) => world(i * 3 + 1))];
      for (const ip of addresses) bench.addService({ ip, port: 80 }, backend);
      await filter.open();
      t.true(isServed(server), "at first, nothing is denied");
      await filter.deny();
      for (const ip of addresses) {
        t.false(isServed(ip), ip);
        filter.hold(ip, ip);
        await filter.write();
        t.true(isServed(ip), ip);
        filter.release(ip);
        await filter.write();
        t.false(isServed(ip), ip);
      }
    },
  );

  test.serial(
    `IPv${family}: a pod that asks a node for a NodePort is served, whatever is denied`,
    async (t) => {
      bench.claim(server, 6);
      bench.addService({ ip: node, port: 30_080 }, backend);
      await new AddressFilter(() => bench.map(lbFilterMap)).deny();
      t.true(isServed(server, 30_080));
      t.false(isServed(server, 29_999));
    },
  );

  test.serial(
    `IPv${family}: the network is served at the addresses that the agent lets through`,
    async (t) => {
      host.addPod(first, pod);
      host.addService({ ip: server, port: 80 }, [{ ip: pod, port: 8080 }], LbServiceFlag.externalIp);
      const arrives = (): number => {
        const from = { ip: world(1), port: nextPort++ };
        return host.run("cil_from_netdev", packet("tcp", from, { ip: server, port: 80 })).verdict;
      };
      const filter = new AddressFilter(() => host.map(lbFilterMap));
      await filter.open();
      t.is(arrives(), Verdict.pod);
      await filter.deny();
      t.is(arrives(), Verdict.pass);
      filter.hold("web", server);
      await filter.write();
      t.is(arrives(), Verdict.pod);
    },
  );
}
