import test from "ava";
import { RefusalError } from "../errors.ts";
import { PodIpam } from "./ipam.ts";

function pool(podCidr: string, reserved: { address: string; owner: string }[] = []): PodIpam {
  const ipam = new PodIpam();
  ipam.open({ podCidr, podCidrV6: undefined, reserved });
  return ipam;
}

const one = (ipam: PodIpam, owner: string, ipv4?: string): string => ipam.allocate(owner, { ipv4 }).ipv4;
const release = (ipam: PodIpam, ipv4: string): void => ipam.release({ ipv4, ipv6: "" });
const use = (ipam: PodIpam) => ipam.pools[0]!;

const refusal = (run: () => unknown): RefusalError => {
  try {
    run();
  } catch (error) {
    if (error instanceof RefusalError) return error;
    throw error;
  }
  throw new Error("not refused");
};

test("addresses come in order and leave out network, broadcast and router", (t) => {
  const ipam = pool("10.0.1.0/29", [{ address: "10.0.1.1", owner: "the router" }]);
  t.is(use(ipam).capacity, 5);
  const all = Array.from({ length: 5 }, (_, i) => one(ipam, `pod-${i}`));
  t.deepEqual(all, ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6"]);
  t.is(use(ipam).used, 5);
  const error = refusal(() => one(ipam, "one-more"));
  t.is(error.kind, "RESOURCE_EXHAUSTED");
  t.is(error.message, "all 5 pod addresses of 10.0.1.0/29 are in use");
});

test("a released address is handed out again only after all others", (t) => {
  const ipam = pool("10.0.1.0/29");
  const first = one(ipam, "a");
  release(ipam, first);
  const next = Array.from({ length: 6 }, (_, i) => one(ipam, `pod-${i}`));
  t.is(next.indexOf(first), 5);
});

test("a wanted address is given, or refused with the reason", (t) => {
  const ipam = pool("10.0.1.0/24", [{ address: "10.0.1.1", owner: "the router" }]);
  t.is(one(ipam, "default/web", "10.0.1.77"), "10.0.1.77");
  t.is(ipam.owner("10.0.1.77"), "default/web");
  const taken = refusal(() => one(ipam, "default/other", "10.0.1.77"));
  t.is(taken.kind, "ALREADY_EXISTS");
  t.is(taken.message, "address 10.0.1.77 is taken by default/web");
  t.regex(refusal(() => one(ipam, "x", "10.0.1.1")).message, /taken by the router/);
  for (const wanted of ["10.0.2.1", "10.0.1.0", "10.0.1.255", "10.0.1", "fd00::1", ""]) {
    t.is(refusal(() => one(ipam, "x", wanted)).kind, "INVALID_ARGUMENT", wanted);
  }
});

test("releasing what is not allocated is harmless", (t) => {
  const ipam = pool("10.0.1.0/24");
  release(ipam, "10.0.1.9");
  release(ipam, "10.9.9.9");
  release(ipam, "nonsense");
  t.is(use(ipam).used, 0);
});

for (const [cidr, capacity] of [
  ["10.0.0.5/32", 1],
  ["10.0.0.4/31", 2],
  ["10.0.0.4/30", 2],
  ["10.0.0.0/27", 30],
  ["10.1.0.0/16", 65_534],
] as const) {
  test(`a network of ${cidr} gives ${capacity} different addresses, twice over`, (t) => {
    const ipam = pool(cidr);
    t.is(use(ipam).capacity, capacity);
    for (let round = 0; round < 2; round += 1) {
      const all = new Set(Array.from({ length: capacity }, () => one(ipam, "pod")));
      t.is(all.size, capacity);
      t.throws(() => one(ipam, "pod"));
      for (const address of all) release(ipam, address);
    }
  });
}

test("the last free address of 65,534 is found quickly from wherever the search begins", (t) => {
  const ipam = pool("10.1.0.0/16");
  for (let i = 0; i < 65_534; i += 1) one(ipam, "pod");
  const started = performance.now();
  for (const address of ["10.1.0.1", "10.1.255.254", "10.1.128.0"]) {
    for (let i = 0; i < 100; i += 1) {
      release(ipam, address);
      t.is(one(ipam, "pod"), address);
    }
  }
  t.true(performance.now() - started < 2_000);
});

test("a pod gets an address of each family, or neither", (t) => {
  const ipam = new PodIpam();
  ipam.open({
    podCidr: "10.0.1.0/30",
    podCidrV6: "fd00:10:0:1::/64",
    reserved: [{ address: "fd00:10:0:1::1", owner: "the router" }],
  });
  t.deepEqual(ipam.allocate("a"), { ipv4: "10.0.1.1", ipv6: "fd00:10:0:1::2" });
  const far = "fd00:10:0:1:ffff::77";
  for (const [wanted, message] of [
    [{ ipv6: "fd00:10:0:1:0::2" }, /taken by a/],
    [{ ipv6: "fd00:10:0:1::" }, /no address for a pod/],
    [{ ipv6: "10.0.1.2" }, /no address for a pod/],
    [{ ipv4: "10.0.1.1", ipv6: far }, /taken by a/],
  ] as const) {
    t.regex(refusal(() => ipam.allocate("b", wanted)).message, message);
    t.is(use(ipam).used, 1, "nothing is kept of what is refused");
  }
  t.deepEqual(ipam.allocate("b", { ipv6: "FD00:10:0:1:FFFF:0::77" }), { ipv4: "10.0.1.2", ipv6: far });
  t.is(ipam.owner(far), "b");
  t.deepEqual(ipam.pools[1], { cidr: "fd00:10:0:1::/64", used: 2, capacity: 2 ** 64 });
  ipam.release({ ipv4: "10.0.1.2", ipv6: far });
  t.is(ipam.owner(far), undefined);
  t.is(ipam.allocate("c").ipv6, "fd00:10:0:1::3");
});

test("a pod that had no IPv6 is restored without, and a node without gives none", (t) => {
  const ipam = new PodIpam();
  ipam.open({ podCidr: "10.0.1.0/24", podCidrV6: "fd00::/64", reserved: [] });
  ipam.restore("old", { ipv4: "10.0.1.9", ipv6: "" });
  t.is(ipam.pools[1]?.used, 0);
  const plain = pool("10.0.1.0/24");
  t.regex(refusal(() => plain.allocate("x", { ipv6: "fd00::5" })).message, /no IPv6 pod CIDR/);
  t.is(use(plain).used, 0);
});
