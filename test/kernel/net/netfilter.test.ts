import { execFileSync } from "node:child_process";
import test from "ava";
import type { BaseChain } from "../../../src/datapath/index.ts";
import { systemPath } from "../../../src/playground/command.ts";
import { eventually } from "../../support/eventually.ts";
import { makeNamespace } from "./namespaces.ts";

/** nft(8) with a script, in a namespace. */
function nft({ name }: { readonly name: string }, script: string): void {
  const env = { ...process.env, PATH: systemPath };
  execFileSync("ip", ["netns", "exec", name, "nft", "-f", "-"], { input: script, env });
}

const chain = (family: string, hook: string): BaseChain => ({
  family,
  table: "t",
  chain: `at-${hook}`,
  hook,
});

/** A base chain at a hook, as a script. */
const script = ({ family, hook }: { family: string; hook: string }, device = ""): string => `
  add table ${family} t
  add chain ${family} t at-${hook} { type filter hook ${hook} ${device} priority 0; }`;

test("base chains of all families and hooks are listed, and no others", async (t) => {
  const ns = makeNamespace(t);
  t.deepEqual(await ns.net.baseChains(), []);
  await ns.net.createVeth({ name: "a0", peerName: "a1", mtu: 1500 });
  const inet = ["prerouting", "input", "forward", "output", "postrouting"];
  const hooks: Readonly<Record<string, readonly string[]>> = {
    inet: [...inet, "ingress"],
    ip: inet,
    ip6: inet,
    bridge: inet,
    arp: ["input", "output"],
    netdev: ["ingress", "egress"],
  };
  const all = Object.entries(hooks).flatMap(([family, names]) => names.map((hook) => ({ family, hook })));
  const needsDevice = new Set(["ingress", "egress"]);
  nft(ns, all.map((one) => script(one, needsDevice.has(one.hook) ? "device a0" : "")).join("\n"));
  nft(ns, "add chain inet t jumped-to; add rule inet t at-input tcp dport 22 jump jumped-to");
  const sorted = (filters: readonly BaseChain[]) => filters.map((one) => JSON.stringify(one)).sort();
  t.deepEqual(sorted(await ns.net.baseChains()), sorted(all.map(({ family, hook }) => chain(family, hook))));
});

test("base chains that come or go are told, and what rules do is not", async (t) => {
  const ns = makeNamespace(t);
  let told = 0;
  const subscription = ns.net.baseChainChanges().subscribe(() => {
    told += 1;
  });
  t.teardown(() => subscription.unsubscribe());
  t.is(told, 1, "it hears");
  // Each step is told before the next: what is not told would come to light with the first that is.
  nft(ns, "add table inet t; add chain inet t jumped-to; add rule inet t jumped-to accept");
  nft(ns, script({ family: "inet", hook: "input" }));
  await eventually("the chain is told", () => told === 2);
  t.deepEqual(await ns.net.baseChains(), [chain("inet", "input")]);
  nft(ns, "add set inet t s { type ipv4_addr; }; add rule inet t at-input ip saddr @s drop");
  nft(ns, "delete chain inet t at-input");
  await eventually("its end is told", () => told === 3);
  t.deepEqual(await ns.net.baseChains(), []);
  nft(ns, script({ family: "ip", hook: "prerouting" }));
  await eventually("the next is told", () => told === 4);
  nft(ns, "delete table ip t");
  await eventually("the end of its table is told", () => told > 4);
  t.deepEqual(await ns.net.baseChains(), []);
});

test("thousands of chains are listed, and more changes than a socket holds are told as some", async (t) => {
  const ns = makeNamespace(t);
  let told = 0;
  const subscription = ns.net.baseChainChanges().subscribe(() => {
    told += 1;
  });
  t.teardown(() => subscription.unsubscribe());
  const chains = Array.from({ length: 20_000 }, (_, i) => `add chain inet t c${i}`);
  nft(ns, ["add table inet t", ...chains, script({ family: "inet", hook: "input" })].join("\n"));
  const start = performance.now();
  t.deepEqual(await ns.net.baseChains(), [chain("inet", "input")]);
  t.log(`listed in ${Math.round(performance.now() - start)} ms`);
  await eventually("something is told", () => told > 1);
});

test("a namespace that is closed tells nothing more, and is asked in vain", async (t) => {
  const ns = makeNamespace(t);
  await ns.net.baseChains();
  let ended = false;
  ns.net.baseChainChanges().subscribe({
    complete: () => {
      ended = true;
    },
  });
  const { net } = ns;
  ns.close();
  t.true(ended);
  await t.throwsAsync(net.baseChains(), { message: /closed/ });
});
