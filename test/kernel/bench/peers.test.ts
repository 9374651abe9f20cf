import test from "ava";
import {
  directPair,
  IdlePeerError,
  type Pair,
  pairBehindNode,
  routedPair,
  verifyConntrack,
} from "../../../bench/pair.ts";
import {
  serviceAddress,
  servicePort,
  verdictMapRules,
  verifyTranslation,
} from "../../../bench/service-rules.ts";
import { execIn } from "../../../src/playground/namespaces.ts";

/** Tries to connect; may be refused, but not before it came through the node. */
const knock = ({ client }: Pair, ipv4: string, port: number) =>
  execIn(client, ["bash", "-c", `echo > /dev/tcp/${ipv4}/${port}`], { timeoutMs: 5_000 });

async function built(t: { teardown(end: () => Promise<void>): void }, made: Promise<Pair>): Promise<Pair> {
  const pair = await made;
  t.teardown(() => pair.close());
  return pair;
}

test("a routed peer is believed only when its node tracks connections", async (t) => {
  const tracking = await built(t, routedPair());
  await t.notThrowsAsync(tracking.verify());
  const name = "rules without a state";
  const blind = pairBehindNode(name, "table inet filter { }", (names) => verifyConntrack(name, names));
  const pair = await built(t, blind);
  await t.throwsAsync(pair.verify(), { instanceOf: IdlePeerError, message: /tracks no connection/ });
});

test("kube-proxy's rules are believed only when they have translated", async (t) => {
  const name = "a verdict map";
  const pair = await built(
    t,
    pairBehindNode(name, verdictMapRules(2), ({ node }) => verifyTranslation(name, node!)),
  );
  await knock(pair, pair.ipv4, 9);
  await t.throwsAsync(pair.verify(), { instanceOf: IdlePeerError, message: /translated no connection/ });
  await knock(pair, serviceAddress(1), servicePort);
  await t.notThrowsAsync(pair.verify());
});

test("ends of a pair send with the same congestion control, whatever the machine's default is", async (t) => {
  const pair = await built(t, directPair());
  for (const end of [pair.client, pair.server]) {
    const { stdout } = await execIn(end, ["cat", "/proc/sys/net/ipv4/tcp_congestion_control"]);
    t.is(stdout.trim(), "reno");
  }
});
