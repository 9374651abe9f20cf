// The bare hop, as C alone has it: see bpf/bare_chain.c.

import { join } from "node:path";
import type { Closeable, Datapath, Program } from "../src/datapath/index.ts";
import { bpfSource } from "./hookless.ts";

/** A chain that is entered through `entry`. */
export interface BareChain extends Closeable {
  readonly entry: Program;
}

/** Loads a chain of so many links. @throws CompileError, VerifierError, DatapathError */
export async function loadBareChain({ bpf, compiler }: Datapath, links: number): Promise<BareChain> {
  const { object } = await compiler.compile({
    source: join(import.meta.dirname, "bpf/bare_chain.c"),
    includes: [join(bpfSource, "include")],
    defines: {},
  });
  const open: Closeable[] = [];
  try {
    const core = bpf.load({ object, programs: ["bare_entry", "bare_end"] });
    open.push(core);
    const maps = { chain: core.maps.get("chain")!, counters: core.maps.get("counters")! };
    for (let link = 0; link < links; link += 1) {
      const constants = { cfg_slot: link, cfg_pos: link + 1 };
      const one = bpf.load({ object, programs: ["bare_link"], constants, maps });
      open.push(one);
      bpf.setProgram(maps.chain, link, one.programs.get("bare_link")!);
    }
    bpf.setProgram(maps.chain, links, core.programs.get("bare_end")!);
    return {
      entry: core.programs.get("bare_entry")!,
      close: () => {
        for (const one of open.toReversed()) one.close();
      },
    };
  } catch (error) {
    for (const one of open.toReversed()) one.close();
    throw error;
  }
}
