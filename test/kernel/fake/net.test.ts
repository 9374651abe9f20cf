/** The same operations in a kernel namespace and in a fake one must have the same outcome. */
import test from "ava";
import {
  createFakeDatapath,
  DatapathError,
  type LinkInfo,
  type NetChange,
  type NetNamespace,
  type NetOps,
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

/** Link-local addresses, and their network, are the kernel's own doing. */
const isLinkLocal = (text: string): boolean => text.startsWith("fe80:");

interface Place {
  readonly net: NetOps;
  readonly ifindex: number;
}

/** Addresses and routes of an interface, in an order of our own. */
async function facts({ net, ifindex }: Place): Promise<unknown> {
  const inOrder = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  const addresses = await net.addresses(ifindex);
  const routes = (await net.routes()).filter((route) => route.ifindex === ifindex || route.ifindex === 0);
  return {
    addresses: addresses
      .filter(({ cidr }) => !isLinkLocal(cidr))
      .map(({ ifindex: _, ...rest }) => rest)
      .sort(inOrder),
    routes: routes
      .filter(({ destination }) => !isLinkLocal(destination))
      .map(({ ifindex: index, ...route }) => ({ ...route, ours: index === ifindex }))
      .sort(inOrder),
  };
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

  const place = { net: pod.net, ifindex: peer.ifindex };
  log.push(await facts(place));
  await note(pod.net.deleteRoute({ ...standard, scope: "link" }));
  await note(pod.net.deleteRoute(standard));
  await note(pod.net.deleteRoute(standard));
  await note(pod.net.deleteAddress(peer.ifindex, "10.9.0.5/24"));
  await note(pod.net.deleteAddress(peer.ifindex, "10.9.0.5/24"));
  log.push(await facts(place));

  const neighbour = { ifindex: peer.ifindex, address: "10.0.1.1", mac: MAC };
  await note(pod.net.replaceNeighbour(neighbour));
  log.push((await pod.net.neighbours(peer.ifindex)).map(({ ifindex: _, ...rest }) => rest));
  await note(pod.net.deleteNeighbour(neighbour));
  await note(pod.net.deleteNeighbour(neighbour));
  await note(pod.net.replaceNeighbour({ ...neighbour, ifindex: 4711 }));
  await note(pod.net.replaceNeighbour({ ...neighbour, protocol: 87 }));
  await note(pod.net.replaceNeighbour(neighbour));
  log.push((await pod.net.neighbours(peer.ifindex)).map(({ ifindex: _, ...rest }) => rest));

  await note(host.net.setSysctl("ipv4/conf/lxc1/rp_filter", "0"));
  await note(host.net.getSysctl("ipv4/conf/lxc1/rp_filter"));
  await note(host.net.getSysctl("ipv4/conf/lxc9/rp_filter"));
  await note(host.net.setLink(lxc.ifindex, { name: "lo" }));
  await note(pod.net.setLink(peer.ifindex, { up: false }));
  log.push(await pod.net.neighbours(peer.ifindex));
  log.push(await facts(place));
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

/** The same with IPv6: a node's end of it. */
async function playIpv6(node: NetNamespace): Promise<readonly unknown[]> {
  const log: unknown[] = [];
  const note = async (work: Promise<unknown>): Promise<void> => {
    log.push(await outcome(work));
  };
  const { net } = node;
  const nodad = { nodad: true };
  const { host, peer } = await net.createVeth({ name: "cilium_host", peerName: "cilium_net", mtu: 1500 });
  await net.setLink(peer.ifindex, { up: true });
  await note(net.addAddress(host.ifindex, "fd00:10::1/128", nodad));
  await note(net.replaceRoute({ destination: "fd00:10::/64", ifindex: host.ifindex }));
  await net.setLink(host.ifindex, { up: true });
  const place = { net, ifindex: host.ifindex };
  log.push(await facts(place));
  await note(net.addAddress(host.ifindex, "fd00:10::1/128", nodad));
  await note(net.addAddress(host.ifindex, "FD00:18:0::11/64", nodad));
  await note(net.addAddress(4711, "fd00::1/128", nodad));

  const pods = { destination: "fd00:10:0:2::/64", ifindex: host.ifindex };
  await note(net.replaceRoute({ ...pods, source: "fd00:10::1", mtu: 1430 }));
  await note(net.replaceRoute({ ...pods, source: "fd00:10::2" }));
  await note(net.replaceRoute({ ...pods, metric: 50, protocol: 99 }));
  await note(net.replaceRoute({ destination: "::/0", gateway: "fd00:18::1", ifindex: host.ifindex }));
  await note(net.replaceRoute({ destination: "::/0", gateway: "fd00:18::2", ifindex: host.ifindex }));
  await note(net.replaceRoute({ destination: "fd00:10:0:3::/64", ifindex: 0, type: "unreachable" }));
  await note(net.replaceRoute({ destination: "10.0.3.0/24", ifindex: 0, type: "blackhole", protocol: 99 }));
  await note(net.replaceRoute({ destination: "10.0.4.0/24", ifindex: host.ifindex, metric: 7, table: 300 }));
  await note(net.replaceRoute({ destination: "10.0.4.0/24", ifindex: host.ifindex, table: 300 }));
  log.push(await facts(place));
  await note(net.deleteRoute({ ...pods, metric: 1024 }));
  await note(net.deleteRoute({ ...pods, gateway: "fd00:18::1" }));
  await note(net.deleteRoute(pods));
  await note(net.deleteRoute(pods));
  await note(net.deleteRoute({ destination: "fd00:10:0:3::/64", ifindex: 0, type: "unreachable" }));
  await note(net.deleteRoute({ destination: "10.0.3.0/24", ifindex: 0, type: "blackhole" }));
  await note(net.deleteRoute({ destination: "10.0.4.0/24", ifindex: host.ifindex, metric: 7, table: 300 }));
  await note(net.deleteAddress(host.ifindex, "fd00:18::11/64"));
  await note(net.deleteAddress(host.ifindex, "fd00:18::11/64"));
  log.push(await facts(place));

  const neighbour = { ifindex: host.ifindex, address: "fd00:10::9", mac: MAC };
  await note(net.replaceNeighbour(neighbour));
  const known = (await net.neighbours(host.ifindex)).filter(({ address }) => !isLinkLocal(address));
  log.push(known.map(({ ifindex: _, ...rest }) => rest));
  await note(net.deleteNeighbour(neighbour));
  await note(net.setSysctl("ipv6/conf/all/forwarding", "1"));
  await note(net.getSysctl("ipv6/conf/all/forwarding"));
  await note(net.getSysctl("ipv6/conf/none/forwarding"));

  const vxlan = { name: "cilium_vxlan", port: 8472, mtu: 1450, mac: PEER_MAC };
  log.push(withoutNumbers(await net.createVxlan(vxlan)));
  await note(net.createVxlan(vxlan));
  await note(net.createVxlan({ ...vxlan, name: "other" }));
  await note(net.createVxlan({ ...vxlan, name: "other", port: 0 }));
  await note(net.createVxlan({ ...vxlan, name: "other", port: 8473, mtu: 10 }));
  const { ifindex } = (await net.linkByName("cilium_vxlan"))!;
  await note(net.setLink(ifindex, { up: true, arp: false }));
  log.push(withoutNumbers(await net.linkByIndex(ifindex)));
  await note(net.deleteLink(ifindex));

  await net.setLink(host.ifindex, { up: false });
  log.push(await facts(place));
  return log;
}

test("IPv6 addresses and routes, refusing routes and the tunnel device do so too", async (t) => {
  const fake = createFakeDatapath();
  t.deepEqual(await playIpv6(fake.openNamespace("/run/netns/node")), await playIpv6(makeNamespace(t)));
});

/** One of each change, told in words; link-local addresses and the loopback device aside. */
async function playWatched({ net }: NetNamespace): Promise<readonly string[]> {
  const heard: string[] = [];
  const subscription = net.watch().subscribe((change) => {
    const words = describe(change);
    if (words !== "") heard.push(words);
  });
  const until = async (words: string): Promise<void> => {
    while (!heard.includes(words)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const { host, peer } = await net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  for (const { ifindex } of [peer, host]) await net.setLink(ifindex, { up: true });
  await net.addAddress(host.ifindex, "10.0.1.1/32");
  await net.addAddress(host.ifindex, "fd00::1/128", { nodad: true });
  // Not told before a later step of the kernel's, which does not come when the address goes first.
  await until("+fd00::1/128");
  await net.replaceRoute({ destination: "10.7.0.0/16", ifindex: host.ifindex });
  await net.replaceRoute({ destination: "fd00:7::/64", ifindex: host.ifindex });
  await net.deleteRoute({ destination: "10.7.0.0/16", ifindex: host.ifindex });
  await net.deleteRoute({ destination: "fd00:7::/64", ifindex: host.ifindex });
  await net.deleteAddress(host.ifindex, "10.0.1.1/32");
  await until("-10.0.1.1/32");
  await net.setLink(host.ifindex, { up: false });
  await until("-fd00::1/128");
  await net.deleteLink(host.ifindex);
  await until("-a0");
  subscription.unsubscribe();
  await net.createVeth({ name: "unheard", peerName: "of", mtu: 1500 });
  // The kernel tells of a link more often than once.
  return [...new Set(heard)].sort();
}

function describe(change: NetChange): string {
  if (change.kind === "resync") return "resync";
  const sign = change.gone ? "-" : "+";
  switch (change.kind) {
    case "link":
      return `${sign}${change.link.name}`;
    case "address":
      return isLinkLocal(change.address.cidr) ? "" : `${sign}${change.address.cidr}`;
    case "route":
      // Those that come and go with addresses are the kernel's own doing.
      return change.route.protocol === 4 ? `${sign}route ${change.route.destination}` : "";
  }
}

test("changes are told in both", async (t) => {
  const fake = createFakeDatapath();
  const played = await playWatched(fake.openNamespace("/run/netns/node"));
  t.deepEqual(played, await playWatched(makeNamespace(t)));
  t.true(played.includes("resync"));
});
