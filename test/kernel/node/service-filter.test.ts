/** Packets pass by addresses that have no service (bpf/lib/lb_filter.h), and by none that has one. */
import test, { type ExecutionContext } from "ava";
import { AddressFilter } from "../../../src/cells/services/address-filter.ts";
import { LbServiceFlag, lbFilterMap } from "../../../src/datapath/maps/index.ts";
import { Bench, Verdict } from "./fixtures/bench.ts";
import { packet } from "./fixtures/packets.ts";
import { constant, deviceConstants, places } from "./fixtures/places.ts";
import { loopback, PodBench } from "./fixtures/pod-bench.ts";

const common = { cfg_enable_ipv6: 1, cfg_host_ifindex: 2 };
let nextPort = 2000;

for (const family of [4, 6] as const) {
  const { pod, otherPod, server, node, world } = places[family];
  const backend = { ip: otherPod, port: 8080 };

  function podBench(t: ExecutionContext): PodBench {
    const constants = { ...common, [`cfg_node_ipv${family}`]: constant(node) };
    const bench = new PodBench({ lxc: constants, host: { ...constants, cfg_ifindex: loopback } });
    t.teardown(() => bench.close());
    bench.addPod(1, pod);
    bench.addPod(2, otherPod);
    bench.ownDevice(1);
    return bench;
  }
  /** Whether a datagram of the pod is led to the backend. */
  function isServed(bench: PodBench, ip: string, port = 80): boolean {
    const from = { ip: pod, port: nextPort++ };
    bench.run("lxc", "cil_from_container", packet("udp", from, { ip, port }));
    return bench.connection(pod, from.port, backend.ip, backend.port) !== undefined;
  }

  test(`IPv${family}: a pod is served at the addresses that the agent lets through, and at no other`, async (t) => {
    const bench = podBench(t);
    const addresses = [server, ...Array.from({ length: 64 }, (_, i) => world(i * 3 + 1))];
    for (const ip of addresses) bench.addService({ ip, port: 80 }, backend);
    t.true(isServed(bench, server), "where nobody has written the filter, it denies nothing");
    const filter = new AddressFilter(() => bench.map(lbFilterMap));
    await filter.deny();
    for (const ip of addresses) {
      t.false(isServed(bench, ip), ip);
      filter.hold(ip, ip);
      await filter.write();
      t.true(isServed(bench, ip), ip);
      filter.release(ip);
      await filter.write();
      t.false(isServed(bench, ip), ip);
    }
  });

  test(`IPv${family}: a pod that asks an address of a node for a NodePort is served, whatever is denied`, async (t) => {
    const bench = podBench(t);
    bench.claim(server, 6);
    bench.addService({ ip: node, port: 30_080 }, backend);
    await new AddressFilter(() => bench.map(lbFilterMap)).deny();
    t.true(isServed(bench, server, 30_080));
    t.false(isServed(bench, server, 29_999));
  });

  test(`IPv${family}: the network is served at the addresses that the agent lets through`, async (t) => {
    const bench = new Bench("host", deviceConstants(places[family], { cfg_nodeport: 1 }));
    t.teardown(() => bench.close());
    bench.addPod(5, pod);
    bench.addService({ ip: server, port: 80 }, [{ ip: pod, port: 8080 }], LbServiceFlag.externalIp);
    const arrives = (): number => {
      const from = { ip: world(1), port: nextPort++ };
      return bench.run("cil_from_netdev", packet("tcp", from, { ip: server, port: 80 })).verdict;
    };
    const filter = new AddressFilter(() => bench.map(lbFilterMap));
    t.is(arrives(), Verdict.pod);
    await filter.deny();
    t.is(arrives(), Verdict.pass);
    filter.hold("web", server);
    await filter.write();
    t.is(arrives(), Verdict.pod);
  });
}
