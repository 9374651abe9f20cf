import test from "ava";
import { makeNamespace } from "./namespaces.ts";

test("links that are deleted at once go, those that are none are told apart, and all others stay", async (t) => {
  const ns = makeNamespace(t);
  const pairs = [];
  for (const index of Array.from({ length: 12 }, (_, one) => one)) {
    pairs.push(await ns.net.createVeth({ name: `a${index}`, peerName: `b${index}`, mtu: 1500 }));
  }
  const [kept, ...gone] = pairs.map(({ host }) => host.ifindex);
  const absent = Math.max(...gone) + 1_000;
  const deleted = await Promise.all(
    [...gone, absent, ...gone.slice(0, 1)].map((one) => ns.net.deleteLink(one)),
  );
  t.deepEqual(deleted, [...gone.map(() => true), false, false]);
  const names = (await ns.net.links()).map(({ name }) => name).filter((name) => /^[ab]\d/.test(name));
  t.deepEqual(names.sort(), ["a0", "b0"]);
  t.true(await ns.net.deleteLink(kept!));
});

test("one link that cannot be deleted keeps no other", async (t) => {
  const ns = makeNamespace(t);
  const { host } = await ns.net.createVeth({ name: "a", peerName: "b", mtu: 1500 });
  const { host: other } = await ns.net.createVeth({ name: "c", peerName: "d", mtu: 1500 });
  const loopback = 1;
  // The first goes by itself; the others wait for it, together.
  const [first, ...rest] = await Promise.allSettled(
    [host.ifindex, loopback, other.ifindex].map((one) => ns.net.deleteLink(one)),
  );
  t.is(first?.status, "fulfilled");
  t.is(rest[0]?.status, "rejected");
  t.like(rest[1], { status: "fulfilled", value: true });
  t.is(await ns.net.linkByName("c"), undefined);
});
