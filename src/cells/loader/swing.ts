import type { Attachment, AttachSpec, BpfMap, BpfOps, Program, RawMap } from "../../datapath/index.ts";

type SwingOps = Pick<BpfOps, "attach" | "clearProgram" | "openAttachment" | "programById" | "setProgram">;

/**
 * Puts a generation's entry programs in the place of those that run, one after the other. The old ones are held
 * until `close`, so that a failure half-way can be taken back: packets must not enter a generation that is about
 * to be let go of.
 */
export class EntrySwing {
  readonly #bpf: SwingOps;
  readonly #undo: (() => void)[] = [];
  readonly #held: Program[] = [];

  constructor(bpf: SwingOps) {
    this.#bpf = bpf;
  }

  /** Makes the slot of a PROG_ARRAY hold the program. `ids` is the same array, read as program ids. */
  slot(array: RawMap, ids: BpfMap<number, number>, slot: number, program: Program): void {
    const old = this.#hold(ids.lookup(slot));
    this.#undo.push(() =>
      old === undefined ? this.#bpf.clearProgram(array, slot) : this.#bpf.setProgram(array, slot, old),
    );
    this.#bpf.setProgram(array, slot, program);
  }

  /** Attaches the program, in the place of what this spec attached before. */
  attach(spec: AttachSpec, program: Program): void {
    const attached = this.#bpf.openAttachment(spec);
    const old = this.#hold(attached?.programId());
    attached?.close();
    this.#undo.push(() => {
      if (old === undefined) this.#bpf.openAttachment(spec)?.detach();
      else this.#bpf.attach(spec, old).close();
    });
    this.#bpf.attach(spec, program).close();
  }

  /** Replaces the program of what is attached there; nothing is attached where there is nothing. */
  update(spec: AttachSpec, program: Program): void {
    const old = this.#hold(this.#withAttached(spec, (attached) => attached.programId()));
    if (old === undefined) return;
    this.#undo.push(() => this.#withAttached(spec, (attached) => attached.update(old)));
    this.#withAttached(spec, (attached) => attached.update(program));
  }

  #withAttached<T>(spec: AttachSpec, use: (attached: Attachment) => T): T | undefined {
    const attached = this.#bpf.openAttachment(spec);
    try {
      return attached === undefined ? undefined : use(attached);
    } finally {
      attached?.close();
    }
  }

  /** Takes everything back, newest first; returns what could not be. */
  rollback(): readonly Error[] {
    const errors: Error[] = [];
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        undo();
      } catch (error) {
        errors.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
    return errors;
  }

  /** Lets go of the old programs. */
  close(): void {
    for (const program of this.#held.splice(0)) program.close();
  }

  #hold(id: number | undefined): Program | undefined {
    const program = id === undefined ? undefined : this.#bpf.programById(id);
    if (program !== undefined) this.#held.push(program);
    return program;
  }
}
