/** The same operations in a kernel namespace and in a fake one must have the same outcome. */
import test from "ava";
import {
  createFakeDatapath,
  DatapathError,
  type LinkInfo,
  type NetNamespace,
} from "../../../src/datapath/index.ts";
import { makeNamespace } from "../net/namespaces.ts";

const MAC = "0a:00:00:00:00:01";
const PEER_MAC = "0a:00:00:00:00:02";

async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof DatapathError) return error.errnoName ?? error.status;
    throw error;
  }
}

function withoutNumbers(link: LinkInfo | undefined): unknown {
  if (link === undefined) return undefined;
  const { ifindex: _, peerIfindex, peerNetnsId, ...rest } = link;
  return { ...rest, hasPeer: peerIfindex !== undefined, elsewhere: peerNetnsId !== undefined };
}

/** A pod's life, with mistakes; what came of each step. */
async function play(host: NetNamespace, pod: NetNamespace): Promise<readonly unknown[]> {
  const log: unknown[] = [];
  const note = async (work: Promise<unknown>): Promise<void> => {
    log.push(await outcome(work));
  };
  const veth = { name: "lxc1", peerName: "eth0", peerNamespace: pod, mtu: 1400, mac: MAC, peerMac: PEER_MAC };
  const { host: lxc, peer } = await host.net.createVeth(veth);
  log.push(withoutNumbers(lxc), withoutNumbers(peer));
  await note(host.net.createVeth(veth));
  await note(host.net.createVeth({ ...veth, name: "a name" }));
  await note(host.net.createVeth({ ...veth, name: "lxc2", mtu: 10 }));

  const gateway = { destination: "10.0.1.1/32", ifindex: peer.ifindex, scope: "link" } as const;
  const standard = { destination: "0.0.0.0/0", gateway: "10.0.1.1", ifindex: peer.ifindex };
  await note(pod.net.replaceRoute(gateway));
  await note(host.net.setLink(lxc.ifindex, { up: true, arp: false }));
  await note(pod.net.setLink(peer.ifindex, { up: true }));
  await note(pod.net.addAddress(peer.ifindex, "10.0.1.5/32"));
  await note(pod.net.addAddress(peer.ifindex, "10.0.1.5/32"));
  await note(pod.net.addAddress(peer.ifindex, "10.9.0.5/24"));
  await note(pod.net.addAddress(4711, "10.0.1.5/32"));
  await note(pod.net.replaceRoute(gateway));
  await note(pod.net.replaceRoute({ ...standard, source: "10.0.1.5", mtu: 1350 }));
  await note(pod.net.replaceRoute({ ...standard, source: "10.0.1.6" }));
  await note(pod.net.replaceRoute({ destination: "10.7.0.9/16", ifindex: peer.ifindex, table: 1000 }));
  await note(pod.net.replaceRoute({ destination: "10.7.0.0/16", ifindex: 4711 }));

  const ipv4 = (text: string): boolean => !text.includes(":");
  const facts = async (): Promise<void> => {
    const addresses = await pod.net.addresses(peer.ifindex);
    log.push(addresses.map(({ cidr }) => cidr).filter(ipv4));
    const routes = (await pod.net.routes()).filter((route) => ipv4(route.destination));
    log.push(
      routes
        .map(({ ifindex, ...route }) => ({ ...route, ours: ifindex === peer.ifindex }))
        .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    );
  };
  await facts();
  await note(pod.net.deleteRoute({ ...standard, scope: "link" }));
  await note(pod.net.deleteRoute(standard));
  await note(pod.net.deleteRoute(standard));
  await note(pod.net.deleteAddress(peer.ifindex, "10.9.0.5/24"));
  await note(pod.net.deleteAddress(peer.ifindex, "10.9.0.5/24"));
  await facts();

  const neighbour = { ifindex: peer.ifindex, address: "10.0.1.1", mac: MAC };
  await note(pod.net.replaceNeighbour(neighbour));
  log.push((await pod.net.neighbours(peer.ifindex)).map(({ ifindex: _, ...rest }) => rest));
  await note(pod.net.deleteNeighbour(neighbour));
  await note(pod.net.deleteNeighbour(neighbour));
  await note(pod.net.replaceNeighbour({ ...neighbour, ifindex: 4711 }));

  await note(host.net.setSysctl("ipv4/conf/lxc1/rp_filter", "0"));
  await note(host.net.getSysctl("ipv4/conf/lxc1/rp_filter"));
  await note(host.net.getSysctl("ipv4/conf/lxc9/rp_filter"));
  await note(host.net.setLink(lxc.ifindex, { name: "lo" }));
  await note(pod.net.setLink(peer.ifindex, { up: false }));
  await facts();
  await note(host.net.deleteLink(lxc.ifindex));
  await note(host.net.deleteLink(lxc.ifindex));
  await note(host.net.deleteLink(1));
  log.push(await pod.net.linkByName("eth0"), await host.net.linkByIndex(lxc.ifindex));
  return log;
}

test("a pod's interface, addresses, routes and neighbours live the same life in both", async (t) => {
  const fake = createFakeDatapath();
  const played = await play(fake.openNamespace("/run/netns/host"), fake.openNamespace("/run/netns/pod"));
  t.deepEqual(played, await play(makeNamespace(t), makeNamespace(t)));
});
