import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { everything } from "../client/index.ts";
import type { Chain } from "../gen/waggle/v1/plugin.ts";
import type { World } from "./world.ts";

const packageRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The two plugins of the demo. Both implement the same three hook points; each has a counter of its own. */
export const demoPlugins = [
  { name: "packet-counter", directory: join(packageRoot, "bpf/plugins/packet-counter"), map: "packet_count" },
  { name: "byte-counter", directory: join(packageRoot, "examples/plugins/byte-counter"), map: "byte_count" },
] as const;

/** "packet-counter → byte-counter → tail_ct_ingress_v4" */
const chainLine = (chain: Chain): string =>
  [...chain.links.map(({ plugin }) => plugin), chain.target].join(" → ");

/** Running chains of an attachment, or of all. */
export const chainsOf = (world: World, attachment = ""): Promise<Chain[]> =>
  everything(
    (page) =>
      world.client.plugins.listChains(
        { ...page, attachment, hook: "", plugin: "" },
        { waitForReady: true, timeoutMs: 10_000 },
      ),
    (page) => page.chains,
  );

/** "hook  a → b → stage" for each chain with plugins, hook names padded. */
export function chainsText(all: readonly Chain[]): string {
  const chains = all.filter(({ links }) => links.length > 0);
  const room = Math.max(0, ...chains.map(({ hook }) => hook.length));
  return chains.map((chain) => `${chain.hook.padEnd(room)}  ${chainLine(chain)}\n`).join("");
}

/** Names of plugins in a chain, in order. */
export const order = (chains: readonly Chain[], hook: string): readonly string[] =>
  chains.find((chain) => chain.hook === hook)?.links.map(({ plugin }) => plugin) ?? [];
