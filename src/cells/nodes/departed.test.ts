import test from "ava";
import type { StateCollection } from "../state/index.ts";
import { DepartedCidrs, type KnownCidr } from "./departed.ts";
import type { Node } from "./types.ts";

/** A collection in memory. */
function collection(): StateCollection<KnownCidr> {
  const rows = new Map<string, KnownCidr>();
  return {
    all: () => [...rows].map(([key, value]) => ({ key, value })),
    get: (key) => rows.get(key),
    put: async (key, value) => void rows.set(key, value),
    delete: async (key) => void rows.delete(key),
  };
}

const node = (name: string, podCidr: string, podCidrV6?: string): Node => ({
  ...{ name, podCidr, podCidrV6, local: name === "one", version: "" },
  ...{ ipv4: undefined, ipv6: undefined, routerIpv4: "10.0.0.1", routerIpv6: undefined },
});

const one = node("one", "10.0.1.0/24");
const two = node("two", "10.0.2.0/24", "fd00:2::/64");
const weekMs = 7 * 24 * 3_600_000;

test("the pod CIDRs of a node that has left are remembered, over restarts, until a week has passed", async (t) => {
  const stored = collection();
  let now = 1_000;
  const before = new DepartedCidrs(stored, () => now);
  t.deepEqual(before.follow([one, two]), []);
  await before.save();

  const restarted = new DepartedCidrs(stored, () => now);
  restarted.restore();
  t.deepEqual(restarted.follow([one]), ["10.0.2.0/24", "fd00:2::/64"], "it left while the agent was down");
  await restarted.save();
  const again = new DepartedCidrs(stored, () => now);
  again.restore();
  now += weekMs;
  t.false(again.due);
  t.deepEqual(again.follow([one]), ["10.0.2.0/24", "fd00:2::/64"]);
  now += 1;
  t.true(again.due);
  t.deepEqual(again.follow([one]), []);
  await again.save();
  t.deepEqual(stored.all(), []);
});

test("a node that comes back, or another that takes a part of its CIDR, has the addresses", (t) => {
  const departed = new DepartedCidrs(collection());
  departed.follow([one, two]);
  t.is(departed.follow([one]).length, 2);
  t.deepEqual(departed.follow([one, two]), []);
  t.is(departed.follow([one]).length, 2);
  t.deepEqual(departed.follow([one, node("three", "10.0.2.128/25")]), ["fd00:2::/64"]);
  t.deepEqual(
    departed.follow([node("one", "fd00:2::/48")]),
    ["10.0.2.128/25"],
    "this node's own are no one else's",
  );
});
