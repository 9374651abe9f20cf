// Programs at other addresses each time that pairs are built.
//
// The kernel puts translated programs one after the other into memory, the first ones always into the same place. Where a
// program comes to lie matters: on one machine the same program took 140 ns longer for a datagram in one place than in three
// others, and for TCP no longer. Probably branches of the kernel share its entries in the processor's predictor there.

import { join } from "node:path";
import { createKernelDatapath } from "../src/datapath/index.ts";
import { sharedCache } from "./bench-world.ts";
import { bpfSource } from "./hookless.ts";

/** Each takes some 64 KiB. */
const fillersEachTime = 3;

/**
 * Works while programs that are loaded come to lie behind others, of which there are more with each `time`: 0, 1, 2, …
 * @throws CompileError, DatapathError
 */
export async function withProgramsElsewhere<T>(time: number, work: () => Promise<T>): Promise<T> {
  const { compiler, bpf, close } = createKernelDatapath({ cacheDir: sharedCache() });
  const fillers: { close(): void }[] = [];
  try {
    const { object } = await compiler.compile({
      source: join(import.meta.dirname, "bpf/filler.c"),
      includes: [join(bpfSource, "include")],
      defines: {},
    });
    for (let count = time * fillersEachTime; count > 0; count -= 1) fillers.push(bpf.load({ object }));
    return await work();
  } finally {
    for (const filler of fillers) filler.close();
    close();
  }
}
