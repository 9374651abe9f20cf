import test from "ava";
import { createFakeDatapath, type FakeDevice, FakeKernel } from "../../datapath/fake/index.ts";
import { NodeNetworkReconciler, type NodeSettingsValues } from "./network.ts";
import { nodeFlags } from "./settings.ts";
import type { NodeConfig, Peer } from "./types.ts";

const defaults: NodeSettingsValues = {
  nodeName: "node1",
  clusterName: "default",
  nodeIp: "",
  nodeIpv6: "",
  podCidr: "10.0.1.0/24",
  podCidrV6: "fd00:10:0:1::/64",
  serviceCidr: [],
  routerIp: "",
  routingMode: nodeFlags["routing-mode"].default,
  tunnelPort: 8472,
  masquerade: true,
  devices: ["auto"],
  checkInterval: 5_000,
  mtu: 0,
};

const eth0: FakeDevice = {
  name: "eth0",
  cidr: "172.18.0.11/24",
  gateway: "172.18.0.1",
  cidrV6: "fd00:18::11/64",
  gatewayV6: "fd00:18::1",
};

const peer2: Peer = {
  name: "node2",
  ipv4: "172.18.0.12",
  ipv6: "fd00:18::12",
  podCidr: "10.0.2.0/24",
  podCidrV6: "fd00:10:0:2::/64",
  routerIpv4: "10.0.2.1",
  routerIpv6: "fd00:10:0:2::1",
};

/** A node's network, what it looks like from outside, and everything that its reconciler told. */
function node(kernel: FakeKernel, change: Partial<NodeSettingsValues> = {}) {
  const { net } = createFakeDatapath({ kernel });
  const told: NodeConfig[] = [];
  let asked = 0;
  const network = new NodeNetworkReconciler({ ...defaults, ...change }, net, () => {
    asked += 1;
  });
  network.changes.subscribe((config) => told.push(config));
  const routes = async () =>
    (await net.routes())
      .filter(({ protocol }) => protocol === 87)
      .map(({ destination, gateway, source, mtu }) =>
        [destination, gateway && `via ${gateway}`, source && `src ${source}`, mtu && `mtu ${mtu}`]
          .filter(Boolean)
          .join(" "),
      )
      .sort();
  const own = async (name: string) => (await net.linkByName(name))!;
  return { net, network, told, routes, own, asked: () => asked };
}

const fresh = (change: Partial<NodeSettingsValues> = {}) => node(new FakeKernel({ devices: [eth0] }), change);

test("the first pass makes devices, addresses, routes and sysctls of both families", async (t) => {
  const { net, network, routes, own, told } = fresh();
  const { problems } = await network.pass();
  t.deepEqual(problems, []);
  const { config } = network;
  t.like(config, {
    routerIpv4: "10.0.1.1",
    routerIpv6: "fd00:10:0:1::1",
    nodeIpv4: "172.18.0.11",
    nodeIpv6: "fd00:18::11",
    routingMode: "tunnel",
    mtu: 1500,
    routeMtu: 1450,
  });
  t.deepEqual(
    (await net.addresses(config.host.ifindex)).map(({ cidr }) => cidr),
    ["10.0.1.1/32", "fd00:10:0:1::1/128"],
  );
  for (const name of ["cilium_host", "cilium_net"]) {
    t.like(await own(name), { up: true, arp: false, mtu: 1500 }, name);
    t.is(await net.getSysctl(`ipv6/conf/${name}/addr_gen_mode`), "1");
  }
  t.like(await own("cilium_vxlan"), { up: true, vxlan: { port: 8472, metadata: true, learning: false } });
  t.is(config.overlay?.ifindex, (await own("cilium_vxlan")).ifindex);
  t.deepEqual(await routes(), ["10.0.1.0/24 src 10.0.1.1", "fd00:10:0:1::/64 src fd00:10:0:1::1"]);
  for (const key of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) t.is(await net.getSysctl(key), "1", key);
  t.deepEqual((await network.pass()).repairs, [], "a second pass finds nothing to do");
  t.deepEqual(told, []);
});

test("other nodes' pods are reached over cilium_host, with the room that the tunnel leaves", async (t) => {
  const { network, routes, asked } = fresh();
  await network.pass();
  network.setPeers([peer2]);
  network.setPeers([{ ...peer2 }]);
  t.is(asked(), 1, "what is known already is no reason for a pass");
  t.deepEqual((await network.pass()).repairs, [], "that a node has come is no repair");
  const own = ["10.0.1.0/24 src 10.0.1.1", "fd00:10:0:1::/64 src fd00:10:0:1::1"];
  t.deepEqual(await routes(), [
    own[0],
    "10.0.2.0/24 src 10.0.1.1 mtu 1450",
    own[1],
    "fd00:10:0:2::/64 src fd00:10:0:1::1 mtu 1450",
  ]);
  network.setPeers([]);
  t.deepEqual((await network.pass()).repairs, [], "nor that it has gone");
  t.deepEqual(await routes(), own);
});

test("what of the cluster nobody has leads to cilium_host, in native routing as well", async (t) => {
  const serviceCidr = ["10.96.0.0/12", "fd00:96::/112"];
  const { network, routes } = fresh({ routingMode: "native", serviceCidr });
  await network.pass();
  network.setPeers([], [peer2.podCidr, peer2.podCidrV6!]);
  t.deepEqual((await network.pass()).problems, []);
  const own = ["10.0.1.0/24 src 10.0.1.1", "fd00:10:0:1::/64 src fd00:10:0:1::1"];
  t.deepEqual(await routes(), [
    own[0],
    "10.0.2.0/24 src 10.0.1.1",
    "10.96.0.0/12 src 10.0.1.1",
    own[1],
    "fd00:10:0:2::/64 src fd00:10:0:1::1",
    "fd00:96::/112 src fd00:10:0:1::1",
  ]);
  network.setPeers([peer2]);
  await network.pass();
  t.true((await routes()).includes("10.0.2.0/24 via 172.18.0.12"), "the node is back");
  t.throws(() => fresh({ serviceCidr: ["10.0.0.0/16"] }), {
    message: /10\.0\.0\.0\/16 overlaps 10\.0\.1\.0\/24/,
  });
});

test("in native routing pods are reached over their nodes, and there is no tunnel", async (t) => {
  const kernel = new FakeKernel({ devices: [eth0] });
  await node(kernel).network.pass();
  const { network, routes, net } = node(kernel, { routingMode: "native" });
  await network.pass();
  t.is(await net.linkByName("cilium_vxlan"), undefined);
  t.like(network.config, { overlay: undefined, routeMtu: 1500 });
  network.setPeers([
    peer2,
    { ...peer2, name: "node3", ipv6: "", podCidr: "10.0.3.0/24", podCidrV6: "fd00:10:0:3::/64" },
  ]);
  const { problems } = await network.pass();
  t.deepEqual(
    (await routes()).filter((route) => route.includes("via")),
    ["10.0.2.0/24 via 172.18.0.12", "10.0.3.0/24 via 172.18.0.12", "fd00:10:0:2::/64 via fd00:18::12"],
  );
  t.deepEqual(problems, ["fd00:10:0:3::/64 of node3: the node has no IPv6 address to route over"]);
});

test("until other nodes are known, routes of an earlier run stay; then those that nobody has go", async (t) => {
  const kernel = new FakeKernel({ devices: [eth0] });
  const first = node(kernel);
  await first.network.pass();
  first.network.setPeers([peer2]);
  await first.network.pass();
  const second = node(kernel);
  t.deepEqual((await second.network.pass()).repairs, []);
  t.is((await second.routes()).length, 4);
  second.network.setPeers([]);
  await second.network.pass();
  t.is((await second.routes()).length, 2);
});

test("networks that overlap are told, and the first keeps its route", async (t) => {
  const { network, routes } = fresh({ podCidrV6: "" });
  await network.pass();
  network.setPeers([
    { ...peer2, podCidr: "10.0.1.128/25" },
    { ...peer2, name: "node3", podCidr: "10.0.3.0/24" },
    { ...peer2, name: "node4", podCidr: "10.0.0.0/22" },
  ]);
  t.deepEqual((await network.pass()).problems, [
    "10.0.1.128/25 of node2 overlaps 10.0.1.0/24 of this node",
    "10.0.0.0/22 of node4 overlaps 10.0.1.0/24 of this node",
  ]);
  t.deepEqual(await routes(), ["10.0.1.0/24 src 10.0.1.1", "10.0.3.0/24 src 10.0.1.1 mtu 1450"]);
});

for (const name of ["cilium_host", "cilium_net", "cilium_vxlan"] as const) {
  test(`${name} comes back with the number and address that it had, and the change is told`, async (t) => {
    const { net, network, own, routes, told } = fresh();
    await network.pass();
    network.setPeers([peer2]);
    await network.pass();
    const kept = name === "cilium_net" ? "cilium_host" : name;
    const [before, config, routesBefore] = [await own(kept), network.config, await routes()];
    await net.deleteLink((await own(name)).ifindex);
    const { repairs } = await network.pass();
    t.regex(repairs.join(), /(gone and are|gone and is) made anew/);
    const { ifindex, mac } = before;
    t.like(await own(kept), { ifindex, mac, up: true });
    t.deepEqual(network.config, config);
    t.deepEqual(told, [config], "what was attached to it has to be attached again");
    t.deepEqual(await routes(), routesBefore);
  });
}

test("a device whose number somebody has taken is another one, and told as such", async (t) => {
  const { net, network, told } = fresh();
  await network.pass();
  const { overlay } = network.config;
  await net.deleteLink(overlay!.ifindex);
  await net.createVeth({ name: "x0", peerName: "x1", mtu: 1500, ifindex: overlay!.ifindex });
  await network.pass();
  t.is(told.length, 1);
  t.not(told[0]?.overlay?.ifindex, overlay?.ifindex);
  t.is(told[0]?.overlay?.mac, overlay?.mac);
});

test("addresses, routes, flags and sysctls that somebody changes are put right, and said", async (t) => {
  const { net, network, routes, told } = fresh();
  await network.pass();
  const { host, overlay } = network.config;
  await net.deleteAddress(host.ifindex, "fd00:10:0:1::1/128");
  await net.addAddress(host.ifindex, "192.0.2.9/32");
  await net.deleteRoute({ destination: "fd00:10:0:1::/64", ifindex: host.ifindex });
  await net.replaceRoute({ destination: "10.0.1.0/24", ifindex: host.ifindex, protocol: 4 });
  await net.setLink(overlay!.ifindex, { mtu: 1400 });
  await net.setSysctl("ipv4/ip_forward", "0");
  await net.setSysctl("ipv4/conf/eth0/send_redirects", "1");
  t.deepEqual((await network.pass()).repairs, [
    "cilium_vxlan had an MTU of 1400 and is set right",
    "the router address fd00:10:0:1::1/128 was gone",
    "192.0.2.9 was no router address and is removed",
    "ipv4.ip_forward was 0 and is 1",
    "ipv4.conf.eth0.send_redirects was 1 and is 0",
    "the route to 10.0.1.0/24 was another",
    "the route to fd00:10:0:1::/64 was gone",
  ]);
  t.is((await routes()).length, 2);
  t.deepEqual((await network.pass()).repairs, []);
  t.deepEqual(told, [], "no number and no address has changed");
  await net.setSysctl("ipv6/conf/all/forwarding", "0");
  t.deepEqual(await network.passSysctls(), ["ipv6.conf.all.forwarding was 0 and is 1"]);
});

test("another router address takes the place of the old one", async (t) => {
  const kernel = new FakeKernel({ devices: [eth0] });
  await node(kernel).network.pass();
  const { net, network, routes } = node(kernel, { routerIp: "10.0.1.254", podCidrV6: "" });
  await network.pass();
  t.deepEqual(
    (await net.addresses(network.config.host.ifindex)).map(({ cidr }) => cidr),
    ["10.0.1.254/32"],
  );
  network.setPeers([]);
  await network.pass();
  t.deepEqual(await routes(), ["10.0.1.0/24 src 10.0.1.254"]);
});

test("a device towards the outside that goes is missed, and taken in when it is back", async (t) => {
  const { net, network, told } = fresh({ devices: ["auto", "up0"], nodeIp: "172.18.0.11" });
  await t.throwsAsync(network.pass(), { message: "devices: no device is called up0; there are lo, eth0" });
  const { ifindex } = (await net.createVeth({ name: "up0", peerName: "up1", mtu: 1400 })).host;
  await network.pass();
  t.is(network.config.mtu, 1400);
  await net.deleteLink(ifindex);
  t.deepEqual((await network.pass()).problems, ["device up0 is gone"]);
  t.deepEqual(
    told.at(-1)?.devices.map(({ name }) => name),
    ["eth0"],
  );
  t.true(network.deviceNames.has("up0"));
  await net.createVeth({ name: "up0", peerName: "up1", mtu: 1400 });
  t.deepEqual((await network.pass()).problems, []);
  t.deepEqual(
    told.at(-1)?.devices.map(({ name }) => name),
    ["eth0", "up0"],
  );
});

test("a stranger under the name of one of the agent's devices is left alone, and said", async (t) => {
  const { net, network } = fresh();
  const { host } = await net.createVeth({ name: "cilium_vxlan", peerName: "x1", mtu: 1500 });
  await t.throwsAsync(network.pass(), { message: /cilium_vxlan exists but is no VXLAN device; remove it/ });
  await net.deleteLink((await net.linkByName("cilium_host"))!.ifindex);
  await net.setLink(host.ifindex, { name: "cilium_net" });
  await t.throwsAsync(network.pass(), { message: /cilium_net exists but is no veth pair of cilium_host/ });
});

test("networks that pods cannot have are refused before anything begins", (t) => {
  for (const [name, value, problem] of [
    ["pod-cidr", "fd00::/64", /is no IPv4 network/],
    ["pod-cidr", "10.0.1.0/33", /prefix length from 8 to 29/],
    ["pod-cidr", "10.0.1.0", /is no IPv4 network/],
    ["pod-cidr-v6", "10.0.0.0/24", /is no IPv6 network/],
    ["pod-cidr-v6", "fd00::/32", /prefix length from 48 to 124/],
    ["router-ip", "fd00::1", /must be an IPv4 address/],
  ] as const) {
    t.throws(() => nodeFlags[name].check(value), { message: problem }, `${name} ${value}`);
  }
  t.throws(() => fresh({ routerIp: "10.9.0.1" }), { message: "router-ip: 10.9.0.1 is not in 10.0.1.0/24" });
});

test("an MTU too small for the tunnel is refused", async (t) => {
  await t.throwsAsync(fresh({ mtu: 1300 }).network.pass(), {
    message: "mtu: 1300 is not from 1330 to 65535",
  });
  await t.notThrowsAsync(fresh({ mtu: 1300, routingMode: "native" }).network.pass());
});
