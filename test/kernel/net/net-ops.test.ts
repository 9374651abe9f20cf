import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import test from "ava";
import { DatapathError } from "../../../src/datapath/errors.ts";
import { openNamespace } from "../../../src/datapath/net/index.ts";
import { eventually } from "../../support/eventually.ts";
import { ip, makeNamespace } from "./namespaces.ts";

const OWN = "/proc/thread-self/ns/net";

test("a namespace knows itself by device and inode, and leaves the agent where it was", (t) => {
  const before = readlinkSync(OWN);
  const a = makeNamespace(t);
  const again = openNamespace(a.path);
  const b = makeNamespace(t);
  t.is(again.identity, a.identity);
  t.not(b.identity, a.identity);
  t.is(readlinkSync(OWN), before);
  again.close();
  again.close();
});

test("programs know a namespace by its cookie", async (t) => {
  const a = makeNamespace(t);
  const again = openNamespace(a.path);
  const b = makeNamespace(t);
  t.is(await again.net.netnsCookie(), await a.net.netnsCookie());
  t.not(await b.net.netnsCookie(), await a.net.netnsCookie());
  again.close();
});

test("what is no network namespace is refused", (t) => {
  const error = t.throws(() => openNamespace("/etc/hostname"), { instanceOf: DatapathError });
  t.is(error.errnoName, "EINVAL");
  t.is(
    t.throws(() => openNamespace("/run/netns/wg-absent"), { instanceOf: DatapathError }).errnoName,
    "ENOENT",
  );
  t.is(t.throws(() => openNamespace("/proc/self/ns/uts"), { instanceOf: DatapathError }).errnoName, "EINVAL");
});

test("dumps and requests side by side are all answered", async (t) => {
  const { net } = makeNamespace(t);
  const failed = new Set<string>();
  // Where reads and dumps get in each other's way, one of a few hundred rounds shows it.
  for (let round = 0; round < 3_000; round++) {
    const answers = await Promise.allSettled([net.routes(), net.links(), net.linkByName("lo"), net.routes()]);
    for (const answer of answers) if (answer.status === "rejected") failed.add(String(answer.reason));
  }
  t.deepEqual([...failed], []);
});

test("a veth pair is made across two namespaces in one step", async (t) => {
  const host = makeNamespace(t);
  const pod = makeNamespace(t);
  const pair = await host.net.createVeth({
    name: "lxc1",
    peerName: "eth0",
    peerNamespace: pod,
    mtu: 1400,
    mac: "0a:00:00:00:00:01",
    peerMac: "0a:00:00:00:00:02",
  });
  t.is(pair.host.name, "lxc1");
  t.is(pair.host.kind, "veth");
  t.is(pair.host.mtu, 1400);
  t.is(pair.host.mac, "0a:00:00:00:00:01");
  t.false(pair.host.up);
  t.is(pair.host.peerIfindex, pair.peer.ifindex);
  t.not(pair.host.peerNetnsId, undefined);
  t.is(pair.peer.mac, "0a:00:00:00:00:02");
  t.is(pair.peer.peerIfindex, pair.host.ifindex);
  t.deepEqual((await pod.net.linkByName("eth0"))?.ifindex, pair.peer.ifindex);
  t.is(await host.net.linkByName("eth0"), undefined);
  t.regex(ip(host, "link", "show", "lxc1"), /link-netns/);
});

test("a veth pair within one namespace names both ends, and an existing name is refused whole", async (t) => {
  const ns = makeNamespace(t);
  const pair = await ns.net.createVeth({ name: "cilium_host", peerName: "cilium_net", mtu: 1500 });
  t.is(pair.host.peerIfindex, pair.peer.ifindex);
  t.is(pair.host.peerNetnsId, undefined);
  const error = await t.throwsAsync(ns.net.createVeth({ name: "other", peerName: "cilium_net", mtu: 1500 }), {
    instanceOf: DatapathError,
  });
  t.is(error?.errnoName, "EEXIST");
  t.is(await ns.net.linkByName("other"), undefined);
  await t.throwsAsync(ns.net.createVeth({ name: "way-too-long-a-name", peerName: "x", mtu: 1500 }), {
    message: /1 to 15 bytes/,
  });
  await t.throwsAsync(ns.net.createVeth({ name: "a/b", peerName: "x", mtu: 1500 }), {
    message: /1 to 15 bytes/,
  });
});

test("links are listed, changed and deleted", async (t) => {
  const ns = makeNamespace(t);
  const { host, peer } = await ns.net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  await Promise.all([
    ns.net.setLink(host.ifindex, { up: true, mtu: 1450, mac: "0a:00:00:00:00:09", name: "b0", arp: false }),
    ns.net.setLink(peer.ifindex, { up: true }),
  ]);
  const changed = await ns.net.linkByIndex(host.ifindex);
  t.like(changed, { name: "b0", mtu: 1450, mac: "0a:00:00:00:00:09", up: true });
  t.regex(ip(ns, "link", "show", "b0"), /NOARP/);
  await ns.net.setLink(host.ifindex, { arp: true });
  t.notRegex(ip(ns, "link", "show", "b0"), /NOARP/);
  t.true((await ns.net.linkByName("b0"))?.up);
  t.deepEqual((await ns.net.links()).map((link) => link.name).sort(), ["a1", "b0", "lo"]);
  t.true(await ns.net.deleteLink(host.ifindex));
  t.false(await ns.net.deleteLink(host.ifindex));
  t.is(await ns.net.linkByIndex(peer.ifindex), undefined);
  await t.throwsAsync(ns.net.setLink(host.ifindex, { up: true }), { message: /ENODEV/ });
});

test("addresses are added once, listed and deleted", async (t) => {
  const ns = makeNamespace(t);
  const { host } = await ns.net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  await ns.net.addAddress(host.ifindex, "10.0.1.1/32");
  await ns.net.addAddress(host.ifindex, "10.0.1.1/32");
  await ns.net.addAddress(host.ifindex, "fd00::1/64");
  t.deepEqual(
    (await ns.net.addresses(host.ifindex)).map(({ cidr }) => cidr),
    ["10.0.1.1/32", "fd00::1/64"],
  );
  t.regex(ip(ns, "-4", "address", "show", "dev", "a0"), /inet 10\.0\.1\.1\/32 scope global/);
  t.deepEqual(await ns.net.addresses(12345), []);
  t.true(await ns.net.deleteAddress(host.ifindex, "10.0.1.1/32"));
  t.false(await ns.net.deleteAddress(host.ifindex, "10.0.1.1/32"));
  const error = await t.throwsAsync(ns.net.addAddress(9999, "10.0.0.1/24"), { instanceOf: DatapathError });
  t.is(error?.errnoName, "ENODEV");
});

test("a pod's default route goes over a gateway outside of its own network", async (t) => {
  const ns = makeNamespace(t);
  const { host, peer } = await ns.net.createVeth({ name: "eth0", peerName: "x", mtu: 1500 });
  await Promise.all([
    ns.net.setLink(host.ifindex, { up: true }),
    ns.net.setLink(peer.ifindex, { up: true }),
    ns.net.addAddress(host.ifindex, "10.0.1.5/32"),
  ]);
  const route = {
    destination: "0.0.0.0/0",
    gateway: "10.0.1.1",
    ifindex: host.ifindex,
    source: "10.0.1.5",
    mtu: 1450,
  };
  await ns.net.replaceRoute({ destination: "10.0.1.1/32", ifindex: host.ifindex, scope: "link" });
  await ns.net.replaceRoute(route);
  await ns.net.replaceRoute({ ...route, mtu: 1400 });
  const routes = (await ns.net.routes()).filter(
    (r) => r.ifindex === host.ifindex && !r.destination.includes(":"),
  );
  t.deepEqual(
    routes.find((r) => r.destination === "0.0.0.0/0"),
    { ...route, mtu: 1400, scope: "global", protocol: 4, table: 254 },
  );
  t.like(
    routes.find((r) => r.destination === "10.0.1.1/32"),
    { scope: "link" },
  );
  t.is(routes.length, 2);
  t.regex(ip(ns, "route"), /default via 10\.0\.1\.1 dev eth0 proto static src 10\.0\.1\.5 onlink mtu 1400/);
  t.true(await ns.net.deleteRoute(route));
  t.false(await ns.net.deleteRoute(route));
});

test("routes may live in tables beyond 255", async (t) => {
  const ns = makeNamespace(t);
  const lo = (await ns.net.linkByName("lo"))!;
  await ns.net.setLink(lo.ifindex, { up: true });
  const route = { destination: "10.9.0.0/16", ifindex: lo.ifindex, table: 2005, protocol: 99 };
  await ns.net.replaceRoute(route);
  t.like(
    (await ns.net.routes()).find((r) => r.destination === "10.9.0.0/16"),
    { table: 2005, protocol: 99, scope: "link" },
  );
  t.true(await ns.net.deleteRoute({ ...route }));
});

test("the kernel's own words are part of an error", async (t) => {
  const ns = makeNamespace(t);
  const lo = (await ns.net.linkByName("lo"))!;
  const error = await t.throwsAsync(
    ns.net.replaceRoute({ destination: "10.9.0.0/16", ifindex: lo.ifindex, gateway: "10.0.0.1" }),
    { instanceOf: DatapathError },
  );
  t.regex(
    error?.message ?? "",
    /replace route 10\.9\.0\.0\/16 via 10\.0\.0\.1 dev ifindex 1: .*: .*[a-z]{4,}/i,
  );
  t.log(error?.message);
});

test("neighbours are permanent unless said otherwise", async (t) => {
  const ns = makeNamespace(t);
  const { host } = await ns.net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  await ns.net.setLink(host.ifindex, { up: true });
  const neighbour = { ifindex: host.ifindex, address: "10.0.1.1", mac: "0a:00:00:00:00:07" };
  await ns.net.replaceNeighbour({ ...neighbour, mac: "0a:00:00:00:00:08" });
  await ns.net.replaceNeighbour(neighbour);
  t.deepEqual(await ns.net.neighbours(host.ifindex), [{ ...neighbour, permanent: true }]);
  await ns.net.replaceNeighbour({ ...neighbour, permanent: false });
  t.deepEqual(await ns.net.neighbours(host.ifindex), [{ ...neighbour, permanent: false }]);
  t.true(await ns.net.deleteNeighbour(neighbour));
  t.deepEqual(await ns.net.neighbours(host.ifindex), []);
  t.false(await ns.net.deleteNeighbour({ ...neighbour, address: "10.0.1.2" }));
});

test("a VXLAN device carries its tunnel keys as metadata and learns nothing", async (t) => {
  const ns = makeNamespace(t);
  const link = await ns.net.createVxlan({ name: "cilium_vxlan", port: 8472, mtu: 1450 });
  t.like(link, { kind: "vxlan", up: false, vxlan: { port: 8472, metadata: true, learning: false } });
  const details = ip(ns, "-details", "link", "show", "cilium_vxlan");
  t.regex(details, /vxlan external .*dstport 8472 .*nolearning/);
  t.notRegex(details, /noudpcsum/);
  // Both families' sockets can be bound.
  await ns.net.setLink(link.ifindex, { up: true });
  t.true((await ns.net.linkByName("cilium_vxlan"))?.up);
});

test("an IPv6 address is usable at once when nobody is to be asked", async (t) => {
  const ns = makeNamespace(t);
  const { host, peer } = await ns.net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  for (const { ifindex } of [host, peer]) await ns.net.setLink(ifindex, { up: true });
  await ns.net.addAddress(host.ifindex, "fd00::1/128", { nodad: true });
  await ns.net.addAddress(host.ifindex, "fd00::2/128");
  const addresses = await ns.net.addresses(host.ifindex);
  t.is(addresses.find(({ cidr }) => cidr === "fd00::1/128")?.tentative, undefined);
  t.true(addresses.find(({ cidr }) => cidr === "fd00::2/128")?.tentative);
  t.is(addresses.find(({ cidr }) => cidr.startsWith("fe80:"))?.scope, "link");
});

test("a watcher hears what others change, and that it missed something when they were too fast", async (t) => {
  const ns = makeNamespace(t);
  const lo = (await ns.net.linkByName("lo"))!;
  await ns.net.setLink(lo.ifindex, { up: true });
  let resyncs = 0;
  const heard = new Set<string>();
  const subscription = ns.net.watch().subscribe((change) => {
    if (change.kind === "resync") resyncs++;
    if (change.kind === "route") heard.add(`${change.gone ? "-" : "+"}${change.route.destination}`);
  });
  t.teardown(() => subscription.unsubscribe());
  t.is(resyncs, 1);
  ip(ns, "route", "add", "10.9.0.0/16", "dev", "lo");
  while (!heard.has("+10.9.0.0/16")) await setTimeout(5);

  // More than a socket's buffer holds, while nobody reads.
  const routes = Array.from({ length: 20_000 }, (_, i) => `route add 10.8.${i >> 8}.${i & 255}/32 dev lo\n`);
  execFileSync("ip", ["-n", ns.name, "-batch", "-"], { input: routes.join("") });
  while (resyncs < 2) await setTimeout(5);
  ip(ns, "route", "delete", "10.9.0.0/16", "dev", "lo");
  while (!heard.has("-10.9.0.0/16")) await setTimeout(5);
  t.pass();
});

test("whoever watches next begins anew, and whoever leaves takes nothing from the others", async (t) => {
  const ns = makeNamespace(t);
  const watch = () => {
    const heard: string[] = [];
    const subscription = ns.net.watch().subscribe((change) => {
      heard.push(change.kind === "route" ? change.route.destination : change.kind);
    });
    t.teardown(() => subscription.unsubscribe());
    return { heard, subscription };
  };
  const route = (destination: string) => ip(ns, "route", "add", "unreachable", destination);
  const first = watch();
  route("10.9.1.0/24");
  await eventually("the first hears", () => first.heard.includes("10.9.1.0/24"));
  const second = watch();
  t.deepEqual(second.heard, ["resync"]);
  route("10.9.2.0/24");
  await eventually("the second hears", () => second.heard.includes("10.9.2.0/24"));
  first.subscription.unsubscribe();
  route("10.9.3.0/24");
  await eventually("the second still hears", () => second.heard.includes("10.9.3.0/24"));
  t.deepEqual(first.heard, ["resync", "10.9.1.0/24", "10.9.2.0/24"]);
  t.deepEqual(second.heard, ["resync", "10.9.2.0/24", "10.9.3.0/24"]);
  second.subscription.unsubscribe();
  t.deepEqual(watch().heard, ["resync"]);
});

test("a watch ends with an error when its namespace is closed", async (t) => {
  const ns = makeNamespace(t);
  const errors: unknown[] = [];
  const error = (cause: unknown): unknown => errors.push(cause);
  ns.net.watch().subscribe({ error });
  ns.close();
  ns.net.watch().subscribe({ error });
  t.is(errors.length, 2);
  t.true(errors.every((cause) => cause instanceof DatapathError && /closed/.test(cause.message)));
});

test("IPsec policies are counted, and their changes told", async (t) => {
  const namespace = makeNamespace(t);
  const { net } = namespace;
  let changes = 0;
  const subscription = net.ipsecChanges().subscribe(() => {
    changes += 1;
  });
  t.teardown(() => subscription.unsubscribe());
  t.is(changes, 1, "it hears");
  t.is(await net.ipsecPolicies(), 0);
  const policy = (direction: string) => ["src", "192.0.2.1", "dst", "192.0.2.2", "dir", direction];
  const template = ["tmpl", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "mode", "transport"];
  ip(namespace, "xfrm", "policy", "add", ...policy("in"), ...template);
  t.is(await net.ipsecPolicies(), 1);
  ip(namespace, "xfrm", "policy", "add", ...policy("out"), ...template);
  t.is(await net.ipsecPolicies(), 2);
  await eventually("both are told", () => changes === 3);
  ip(namespace, "xfrm", "policy", "flush");
  t.is(await net.ipsecPolicies(), 0);
  await eventually("their end is told", () => changes === 4);
});

test("sysctls are those of the namespace, not of the agent", async (t) => {
  const a = makeNamespace(t);
  const b = makeNamespace(t);
  const own = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8");
  await a.net.setSysctl("ipv4.ip_forward", "1");
  await b.net.setSysctl("ipv4.ip_forward", "0");
  t.is(await a.net.getSysctl("ipv4/ip_forward"), "1");
  t.is(await b.net.getSysctl("ipv4.ip_forward"), "0");
  t.is(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"), own);
  await a.net.setSysctl("ipv4/conf/lo/rp_filter", "2");
  t.is(await a.net.getSysctl("ipv4/conf/lo/rp_filter"), "2");
  t.is((await t.throwsAsync<DatapathError>(a.net.getSysctl("ipv4/nothing")))?.errnoName, "ENOENT");
  await t.throwsAsync(a.net.setSysctl("ipv4/../../kernel/hostname", "x"), { message: /name sysctl/ });
});

test("hundreds of requests at once are all answered, while the table is being read", async (t) => {
  const ns = makeNamespace(t);
  const { host } = await ns.net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  const addresses = Array.from({ length: 300 }, (_, i) => `10.1.${i >> 8}.${i & 255}/32`);
  const reads = Array.from({ length: 5 }, () => ns.net.addresses());
  await Promise.all(addresses.map((cidr) => ns.net.addAddress(host.ifindex, cidr)));
  await Promise.all(reads);
  const there = await ns.net.addresses(host.ifindex);
  t.deepEqual(new Set(there.map(({ cidr }) => cidr)), new Set(addresses));
});

test("a closed namespace refuses further work", async (t) => {
  const ns = makeNamespace(t);
  ns.close();
  await t.throwsAsync(ns.net.links(), { message: /closed/ });
  await t.throwsAsync(ns.net.getSysctl("ipv4/ip_forward"), { message: /closed/ });
});
