import test from "ava";
import type { DatapathError } from "../../errors.ts";
import { createFakeDatapath } from "../index.ts";

test("a veth pair spans namespaces and vanishes with either end", async (t) => {
  const { net, openNamespace, kernel } = createFakeDatapath();
  const pod = openNamespace("/run/netns/pod1");
  const { host, peer } = await net.createVeth({
    name: "lxc1",
    peerName: "eth0",
    peerNamespace: pod,
    mtu: 1400,
    peerMac: "0A:00:00:00:00:01",
  });
  t.is(host.peerIfindex, peer.ifindex);
  t.is(host.peerNetnsId, 0);
  t.is(peer.mac, "0a:00:00:00:00:01");
  t.is((await pod.net.linkByName("eth0"))?.mtu, 1400);
  await t.throwsAsync(net.createVeth({ name: "lxc1", peerName: "x", mtu: 1400 }), { message: /EEXIST/ });
  kernel.network.removeNamespace("/run/netns/pod1");
  t.is(await net.linkByName("lxc1"), undefined);
});

test("namespaces are the same by identity, and strict kernels know only those that were added", (t) => {
  const { openNamespace, kernel } = createFakeDatapath({ strictNamespaces: true });
  t.is(t.throws<DatapathError>(() => openNamespace("/run/netns/a"))?.errnoName, "ENOENT");
  kernel.network.addNamespace("/run/netns/a");
  kernel.network.addNamespace("/run/netns/b");
  t.is(openNamespace("/run/netns/a").identity, openNamespace("/run/netns/a").identity);
  t.not(openNamespace("/run/netns/a").identity, openNamespace("/run/netns/b").identity);
});

test("routes need an interface that is up, and go when it goes down", async (t) => {
  const { net } = createFakeDatapath({ devices: [] });
  const { host } = await net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  const route = { destination: "10.0.1.0/24", ifindex: host.ifindex, scope: "link" } as const;
  t.is((await t.throwsAsync<DatapathError>(net.replaceRoute(route)))?.errnoName, "ENETDOWN");
  await net.setLink(host.ifindex, { up: true });
  await net.addAddress(host.ifindex, "10.0.1.1/32");
  await net.replaceRoute({ ...route, source: "10.0.1.1" });
  await t.throwsAsync(net.replaceRoute({ ...route, source: "10.0.1.2" }), { message: /prefsrc/ });
  t.deepEqual(await net.routes(), [{ ...route, source: "10.0.1.1", protocol: 4, table: 254 }]);
  await net.setLink(host.ifindex, { up: false });
  t.deepEqual(await net.routes(), []);
  t.false(await net.deleteRoute(route));
});

test("the node's device has an address, its network and a default route", async (t) => {
  const { net } = createFakeDatapath();
  const eth0 = (await net.linkByName("eth0"))!;
  t.true(eth0.up);
  t.deepEqual(await net.addresses(eth0.ifindex), [
    { ifindex: eth0.ifindex, cidr: "192.0.2.10/24", scope: "global" },
  ]);
  t.deepEqual(
    (await net.routes()).map((route) => route.destination),
    ["192.0.2.0/24", "0.0.0.0/0"],
  );
});

test("addresses, neighbours and sysctls behave as the kernel's", async (t) => {
  const { net } = createFakeDatapath();
  const { host } = await net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  await net.addAddress(host.ifindex, "10.0.1.1/32");
  await net.addAddress(host.ifindex, "10.0.1.1/32");
  t.is((await net.addresses(host.ifindex)).length, 1);
  t.true(await net.deleteAddress(host.ifindex, "10.0.1.1/32"));
  t.false(await net.deleteAddress(host.ifindex, "10.0.1.1/32"));
  await t.throwsAsync(net.addAddress(99, "10.0.1.1/32"), { message: /ENODEV/ });

  const neighbour = { ifindex: host.ifindex, address: "10.0.1.9", mac: "02:00:00:00:00:09" };
  await net.replaceNeighbour(neighbour);
  t.deepEqual(await net.neighbours(host.ifindex), [{ ...neighbour, permanent: true }]);
  t.true(await net.deleteNeighbour(neighbour));

  await net.setSysctl("ipv4/conf/a0/rp_filter", "2");
  t.is(await net.getSysctl("ipv4/conf/a0/rp_filter"), "2");
  t.is(await net.getSysctl("ipv4.ip_forward"), "0");
  await t.throwsAsync(net.getSysctl("ipv4/conf/none/rp_filter"), { message: /ENOENT/ });
  await t.throwsAsync(net.setSysctl("../x", "1"), { message: /name sysctl/ });
});
