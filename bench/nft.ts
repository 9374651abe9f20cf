// Rules of nft(8), and what they did.

import { run, systemPath } from "../src/playground/command.ts";
import { inNamespace } from "../src/playground/namespaces.ts";

const nft = (namespace: string, args: readonly string[], input = ""): Promise<string> =>
  run(inNamespace(namespace, ["nft", ...args]), { input, env: { PATH: systemPath }, timeoutMs: 120_000 });

/** Loads rules in a namespace. @throws CommandError; Error when there are none afterwards */
export async function loadRules(namespace: string, rules: string): Promise<void> {
  await nft(namespace, ["-f", "-"], rules);
  if (!(await nft(namespace, ["list", "tables"])).includes("table ")) {
    throw new Error("nft has loaded no rules");
  }
}

/** libnftables-json(5), as far as it is needed. */
interface Listing {
  readonly nftables: readonly {
    readonly rule?: { readonly expr: readonly { readonly counter?: { readonly packets: number } }[] };
  }[];
}

/** Packets that the counters in a chain ("ip", "kube", "backend") have seen. @throws CommandError */
export async function countedPackets(namespace: string, ...chain: readonly string[]): Promise<number> {
  const { nftables } = JSON.parse(await nft(namespace, ["-j", "list", "chain", ...chain])) as Listing;
  return nftables
    .flatMap(({ rule }) => rule?.expr ?? [])
    .reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
}

/** Connections that the kernel's connection tracking knows in a namespace. @throws CommandError where there is none */
export async function trackedConnections(namespace: string): Promise<number> {
  const file = "/proc/sys/net/netfilter/nf_conntrack_count";
  return Number(await run(inNamespace(namespace, ["cat", file])));
}
