// The datapath without hook points: the same sources, with each jump to a hook point redirected to the stage behind it,
// and without a place for plugins' counters.

import { cp, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

/** The datapath's sources. */
export const bpfSource = resolve(import.meta.dirname, "../bpf");

/** Hook point of a pod → the stage that follows it, as bpf/lib/slots.h calls them. */
const stageBehind: Readonly<Record<string, string>> = {
  from_container_pre_service: "SERVICE",
  from_container_pre_ct: "CT_EGRESS",
  from_container_pre_policy: "POLICY_EGRESS",
  from_container_pre_forward: "FORWARD",
  to_container_pre_ct: "CT_INGRESS",
  to_container_pre_policy: "POLICY_INGRESS",
  to_container_pre_deliver: "DELIVER",
};

/** @throws Error when the words are not there */
async function replaceOnce(file: string, words: string, by: string): Promise<void> {
  const text = await readFile(file, "utf8");
  if (!text.includes(words)) throw new Error(`${file} has no ${words.trim()}`);
  await writeFile(file, text.replace(words, by));
}

/**
 * Writes such a copy of the sources to `directory`. An agent started with it as `--bpf-source` takes no plugins.
 * @throws Error when a hook point is not where it is expected
 */
export async function writeHooklessSource(directory: string): Promise<void> {
  await cp(bpfSource, directory, { recursive: true });
  const file = join(directory, "include/waggle/hooks.h");
  let text = await readFile(file, "utf8");
  for (const [hook, stage] of Object.entries(stageBehind)) {
    for (const family of [4, 6]) {
      const name = `${hook}_v${family}`;
      const slot = new RegExp(`^(#define WAGGLE_SLOT_${name}) \\d+$`, "m");
      if (!slot.test(text)) throw new Error(`${file} has no slot of ${name}`);
      text = text.replace(slot, `$1 SLOT_LXC_${stage}_V${family}`);
    }
  }
  await writeFile(file, text);
  await replaceOnce(
    join(directory, "lib/pod.h"),
    "\tctx->cb[HOOK_STATS_CB] = pod->stats_base;\n",
    "\t(void)ctx, (void)pod;\n",
  );
  await replaceOnce(
    join(directory, "lib/idle.h"),
    "\treturn idle ? *(const volatile __u64 *)idle : 0;\n",
    "\treturn idle ? ~0ULL : 0;\n",
  );
}
