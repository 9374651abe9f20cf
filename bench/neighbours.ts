// Neighbours whose hardware address is known for good, as Waggle's pods know their gateway's.

import { run } from "../src/playground/command.ts";
import { inNamespace, ipBatch } from "../src/playground/namespaces.ts";

/** Of `ip -j neighbour`. */
interface Entry {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
}

const entries = async (namespace: string): Promise<readonly Entry[]> =>
  JSON.parse(await run(["ip", "-4", "-n", namespace, "-j", "neighbour"])) as readonly Entry[];

/**
 * Makes every entry permanent that a packet and its answer between two ends have led to, in all namespaces on the way.
 * While an entry waits to be confirmed, each packet takes longer: 50 ns, which would be in one path's figures or in
 * another's by chance.
 *
 * @throws CommandError when there is no answer
 */
export async function keepNeighbours(namespaces: Iterable<string>, from: string, to: string): Promise<void> {
  await run(inNamespace(from, ["ping", "-n", "-q", "-c", "2", "-i", "0.01", "-W", "2", to]));
  for (const namespace of namespaces) {
    const learnt = (await entries(namespace)).filter(
      ({ lladdr, state }) => lladdr !== undefined && !state.includes("PERMANENT"),
    );
    const lines = learnt.map(
      ({ dst, dev, lladdr }) => `neighbour replace ${dst} lladdr ${lladdr} dev ${dev} nud permanent`,
    );
    if (lines.length > 0) await ipBatch(namespace, ...lines);
  }
}
