import test from "ava";
import { RefusalError } from "../errors.ts";
import { PodIpam } from "./ipam.ts";

function pool(podCidr: string, reserved: { address: string; owner: string }[] = []): PodIpam {
  const ipam = new PodIpam();
  ipam.open({ podCidr, reserved });
  return ipam;
}

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
  t.is(ipam.capacity, 5);
  const all = Array.from({ length: 5 }, (_, i) => ipam.allocate(`pod-${i}`));
  t.deepEqual(all, ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6"]);
  t.is(ipam.used, 5);
  const error = refusal(() => ipam.allocate("one-more"));
  t.is(error.kind, "RESOURCE_EXHAUSTED");
  t.is(error.message, "all 5 pod addresses of 10.0.1.0/29 are in use");
});

test("a released address is handed out again only after all others", (t) => {
  const ipam = pool("10.0.1.0/29");
  const first = ipam.allocate("a");
  ipam.release(first);
  const next = Array.from({ length: 6 }, (_, i) => ipam.allocate(`pod-${i}`));
  t.is(next.indexOf(first), 5);
});

test("a wanted address is given, or refused with the reason", (t) => {
  const ipam = pool("10.0.1.0/24", [{ address: "10.0.1.1", owner: "the router" }]);
  t.is(ipam.allocate("default/web", "10.0.1.77"), "10.0.1.77");
  t.is(ipam.owner("10.0.1.77"), "default/web");
  const taken = refusal(() => ipam.allocate("default/other", "10.0.1.77"));
  t.is(taken.kind, "ALREADY_EXISTS");
  t.is(taken.message, "address 10.0.1.77 is taken by default/web");
  t.regex(refusal(() => ipam.allocate("x", "10.0.1.1")).message, /taken by the router/);
  for (const wanted of ["10.0.2.1", "10.0.1.0", "10.0.1.255", "10.0.1", "fd00::1", ""]) {
    t.is(refusal(() => ipam.allocate("x", wanted)).kind, "INVALID_ARGUMENT", wanted);
  }
});

test("releasing what is not allocated is harmless", (t) => {
  const ipam = pool("10.0.1.0/24");
  ipam.release("10.0.1.9");
  ipam.release("10.9.9.9");
  ipam.release("nonsense");
  t.is(ipam.used, 0);
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
    t.is(ipam.capacity, capacity);
    for (let round = 0; round < 2; round += 1) {
      const all = new Set(Array.from({ length: capacity }, () => ipam.allocate("pod")));
      t.is(all.size, capacity);
      t.throws(() => ipam.allocate("pod"));
      for (const address of all) ipam.release(address);
    }
  });
}

test("the last free address of 65,534 is found quickly from wherever the search begins", (t) => {
  const ipam = pool("10.1.0.0/16");
  for (let i = 0; i < 65_534; i += 1) ipam.allocate("pod");
  const started = performance.now();
  for (const address of ["10.1.0.1", "10.1.255.254", "10.1.128.0"]) {
    for (let i = 0; i < 100; i += 1) {
      ipam.release(address);
      t.is(ipam.allocate("pod"), address);
    }
  }
  t.true(performance.now() - started < 2_000);
});
