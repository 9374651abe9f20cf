import type { Datapath, Program, RawMap } from "../../datapath/index.ts";
import { objectOf } from "../../datapath/pipeline.ts";
import type { BuiltChain } from "./builder.ts";
import { knownHook } from "./plan.ts";
import type { AttachmentRef, Chain } from "./types.ts";

/** What is kept on disk of a chain, so that a restarted agent can tell whether it may stay. */
export interface ChainRecord {
  readonly chain: Chain;
  readonly fingerprint: string;
  readonly pin: string | undefined;
}

/** The chains of one attachment as packets meet them now. */
export class Attached {
  readonly ref: AttachmentRef;
  readonly calls: RawMap;
  readonly #datapath: Datapath;
  readonly #chains = new Map<string, ChainRecord>();

  constructor(datapath: Datapath, ref: AttachmentRef, calls: RawMap) {
    this.#datapath = datapath;
    this.ref = ref;
    this.calls = calls;
  }

  get records(): readonly ChainRecord[] {
    return [...this.#chains.values()];
  }

  record(hook: string): ChainRecord | undefined {
    return this.#chains.get(hook);
  }

  /** Notes a chain that is in place. */
  note(record: ChainRecord): void {
    this.#chains.set(record.chain.hook, record);
  }

  /** One map update: packets meet the old chain before it and the new one after it. */
  swing(built: BuiltChain): void {
    this.#datapath.bpf.setProgram(this.calls, knownHook(built.chain.hook).slot, built.first);
    this.note(built);
  }

  /** The stage a hook leads to, as the running collection has it. The caller closes it. */
  target(hook: string): Program {
    const { target } = knownHook(hook);
    const stage = objectOf(this.ref.kind).stages.find(({ program }) => program === target);
    const id = stage && this.#datapath.bpf.programIds(this.calls).get(stage.slot);
    const program = id === undefined ? undefined : this.#datapath.bpf.programById(id);
    if (program === undefined) throw new Error(`${this.ref.name}: stage ${target} is not loaded`);
    return program;
  }

  /** True when the kernel runs what the record says: after a crash between swing and record it does not. */
  runs(record: ChainRecord): boolean {
    const ids = this.#datapath.bpf.programIds(this.calls);
    const { slot, target } = knownHook(record.chain.hook);
    const stage = objectOf(this.ref.kind).stages.find(({ program }) => program === target);
    const expected = record.chain.links[0]?.programId ?? (stage && ids.get(stage.slot));
    if (expected === undefined || ids.get(slot) !== expected) return false;
    if (record.pin === undefined) return record.chain.links.length === 0;
    const array = this.#datapath.bpf.openPinnedMap(record.pin);
    if (array === undefined) return false;
    try {
      const linked = this.#datapath.bpf.programIds(array);
      return record.chain.links.every(({ programId }, index) => linked.get(index) === programId);
    } finally {
      array.close();
    }
  }
}
