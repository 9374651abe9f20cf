import { join } from "node:path";
import type { CgroupAttachType, Datapath } from "../../datapath/index.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { StateCollection } from "../state/index.ts";
import type { SocketPlan, SocketRecord } from "./types.ts";

/**
 * Programs of bpf_sock.c by the calls they see, in the order of attaching: what shows a backend as its service comes
 * before what leads a socket to one, so that no socket ever hears from an address it did not ask.
 */
export const SOCKET_PROGRAMS = [
  ["recvmsg4", "cil_sock4_recvmsg"],
  ["recvmsg6", "cil_sock6_recvmsg"],
  ["getpeername4", "cil_sock4_getpeername"],
  ["getpeername6", "cil_sock6_getpeername"],
  ["sendmsg4", "cil_sock4_sendmsg"],
  ["sendmsg6", "cil_sock6_sendmsg"],
  ["connect4", "cil_sock4_connect"],
  ["connect6", "cil_sock6_connect"],
] as const satisfies readonly (readonly [CgroupAttachType, string])[];

/** Key of the only record. */
const RECORD = "attachment";

export interface AttacherParts {
  readonly datapath: Datapath;
  readonly globals: GlobalMaps;
  readonly records: StateCollection<SocketRecord>;
}

/** Keeps the programs of one control group in place, over restarts of the agent. */
export class SocketAttacher {
  readonly #parts: AttacherParts;

  constructor(parts: AttacherParts) {
    this.#parts = parts;
  }

  /**
   * Makes the group's sockets run what the plan says. Programs that do already stay as they are; others are replaced
   * one by one, without a moment in which a call meets none.
   *
   * @returns whether anything had to change
   * @throws VerifierError, DatapathError; what ran before still runs, in part the new programs. StateWriteError: they
   * run, and the next agent will replace them
   */
  async apply(plan: SocketPlan): Promise<boolean> {
    const { datapath, globals, records } = this.#parts;
    const fingerprint = fingerprintOf(plan);
    if (this.#runs(plan, fingerprint)) return false;
    const { bpf } = datapath;
    bpf.makePinDirectory(globals.pins.sockets);
    const collection = bpf.load({
      object: plan.template.object,
      programs: SOCKET_PROGRAMS.map(([, program]) => program),
      constants: plan.constants,
      maps: globals.raw,
    });
    const programs: Record<string, number> = {};
    try {
      for (const [type, name] of SOCKET_PROGRAMS) {
        const program = collection.programs.get(name)!;
        bpf.attachCgroup(this.#spec(plan.cgroup, type), program).close();
        programs[type] = program.id;
      }
    } finally {
      collection.close();
    }
    await records.put(RECORD, { fingerprint, programs });
    return true;
  }

  /** Ends what an earlier run attached. True when there was something. @throws DatapathError, StateWriteError */
  async remove(): Promise<boolean> {
    const { datapath, globals, records } = this.#parts;
    const known = records.get(RECORD) !== undefined;
    if (!known && datapath.bpf.listPins(globals.pins.sockets).length === 0) return false;
    // A link ends with its pin. No socket is to be led to a backend by what cannot be shown as the service any more.
    for (const [type] of SOCKET_PROGRAMS.toReversed()) datapath.bpf.unpin(join(globals.pins.sockets, type));
    datapath.bpf.unpin(globals.pins.sockets);
    if (known) await records.delete(RECORD);
    return true;
  }

  #runs(plan: SocketPlan, fingerprint: string): boolean {
    const record = this.#parts.records.get(RECORD);
    if (record?.fingerprint !== fingerprint) return false;
    return SOCKET_PROGRAMS.every(([type]) => {
      const attachment = this.#parts.datapath.bpf.openCgroupAttachment(this.#spec(plan.cgroup, type));
      if (attachment === undefined) return false;
      try {
        return attachment.programId() === record.programs[type];
      } finally {
        attachment.close();
      }
    });
  }

  #spec(cgroup: string, type: CgroupAttachType) {
    return { cgroup, type, pinPath: join(this.#parts.globals.pins.sockets, type) };
  }
}

function fingerprintOf({ cgroup, template, constants }: SocketPlan): string {
  const values = Object.entries(constants).map(([name, value]) => [
    name,
    Buffer.isBuffer(value) ? value.toString("hex") : `${value}`,
  ]);
  return JSON.stringify([template.digest, cgroup, values.sort()]);
}
