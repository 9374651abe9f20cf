import test from "ava";
import type { LinkInfo } from "../../datapath/index.ts";
import type { Identity } from "../identity/index.ts";
import type { Endpoint } from "./types.ts";
import { needOf } from "./upkeep.ts";

const endpoint: Endpoint = {
  id: 5,
  spec: {
    name: "default/web",
    netns: "/run/netns/web",
    podInterface: "eth0",
    hostInterface: undefined,
    ipv4: undefined,
    ipv6: undefined,
    labels: { app: "web" },
    policy: { enforceIngress: false, enforceEgress: false, rules: [] },
  },
  state: "ready",
  stateReason: "",
  ipv4: "10.0.1.5",
  ipv6: "fd00::5",
  identity: 300,
  hostInterface: "lxc5",
  ifindex: 9,
  mac: "02:00:00:00:00:05",
  nodeMac: "02:00:00:00:00:06",
  generation: 1,
  createdAt: "2026-01-01T00:00:00.000Z",
};

const link: LinkInfo = {
  ifindex: 9,
  name: "lxc5",
  mac: endpoint.nodeMac,
  mtu: 1500,
  up: true,
  arp: true,
  kind: "veth",
  peerIfindex: 2,
  peerNetnsId: 0,
};

/** What is needed where the link, the labels' number and the programs are such. */
function need(
  change: Partial<Endpoint>,
  { devices = [link], number = 300, holds = true, labels = true } = {},
): string {
  const identity: Identity = { id: number, labels: {}, reserved: undefined, references: 1 };
  const found = needOf(
    { ...endpoint, ...change },
    {
      links: new Map(devices.map((one) => [one.name, one])),
      identities: { byLabels: () => (labels ? identity : undefined) },
      loader: { holds: () => holds },
    },
  );
  return found === undefined ? "nothing" : `${found.kind}: ${found.reason}`;
}

test("an endpoint whose surroundings fit needs nothing", (t) => {
  t.is(need({}), "nothing");
  t.is(need({}, { labels: false }), "nothing", "labels that nobody knows say nothing");
});

test("what is needed first comes first", (t) => {
  const wrong = { number: 301, holds: false };
  t.is(need({}, { ...wrong, devices: [] }), "devices: device lxc5 is gone");
  t.is(need({}, { ...wrong, devices: [{ ...link, ifindex: 12 }] }), "devices: device lxc5 is gone");
  t.is(need({}, { ...wrong, devices: [{ ...link, up: false }] }), "link: device lxc5 is down");
  t.is(need({}, wrong), "identity: identity 300 is 301 now");
  t.is(need({}, { holds: false }), "programs: its programs are not those that should be there");
});

test("endpoints that are not ready are tried again, and those that change are left alone", (t) => {
  const stateReason = "the verifier says no";
  t.is(need({ state: "not-ready", stateReason }), `programs: ${stateReason}`);
  for (const state of ["creating", "restoring", "regenerating", "disconnecting"] as const) {
    t.is(need({ state }, { devices: [], holds: false }), "nothing", state);
  }
});

test("an adopted pair that is gone is its owner's to make", (t) => {
  t.is(need({ hostInterface: "veth7" }, { devices: [] }), "nothing");
});
