import { join } from "node:path";
import {
  type AttachMode,
  type AttachSpec,
  type BpfOps,
  DatapathError,
  type Program,
} from "../../datapath/index.ts";
import { type AttachmentKind, type EntryProgram, entriesOf } from "../../datapath/pipeline.ts";
import type { PinLayout } from "../datapath/index.ts";
import type { EntrySwing } from "./swing.ts";

/** A device with programs. */
export interface AttachedDevice {
  /** "lxc-12", "netdev-eth0": also the directory of its pinned links. */
  readonly attachment: string;
  readonly kind: AttachmentKind;
  readonly ifindex: number;
}

/** Entry programs by C name. */
export type EntryPrograms = ReadonlyMap<string, Program>;

/** How devices are attached to: pods' may differ from all others. */
export interface AttachModes {
  readonly pods: AttachMode;
  readonly node: AttachMode;
}

/** The kernel keeps so much of a program's name: BPF_OBJ_NAME_LEN less its end. */
const kernelNameLength = 15;

type Ops = Pick<BpfOps, "attach" | "makePinDirectory" | "openAttachment" | "programById" | "unpin">;

/** Hangs entry programs on devices. */
export class EntryAttacher {
  readonly #bpf: Ops;
  readonly #pins: Pick<PinLayout, "attachment">;
  readonly #modes: AttachModes;

  constructor(bpf: Ops, pins: Pick<PinLayout, "attachment">, modes: AttachModes) {
    this.#bpf = bpf;
    this.#pins = pins;
    this.#modes = modes;
  }

  mode(kind: AttachmentKind): AttachMode {
    return kind === "lxc" ? this.#modes.pods : this.#modes.node;
  }

  /**
   * Attaches, or replaces what was attached there before, in whichever mode. A packet meets the old program or the
   * new one; of two modes TCX runs first and ends the packet's way, so none meets both.
   *
   * @param swing where to note how to take it back
   * @throws DatapathError
   */
  attach(device: AttachedDevice, programs: EntryPrograms, swing?: EntrySwing): void {
    const mode = this.mode(device.kind);
    if (mode === "tcx") this.#bpf.makePinDirectory(this.#pins.attachment(device.attachment));
    for (const entry of entriesOf(device.kind)) {
      const program = programs.get(entry.program);
      if (program === undefined) throw new Error(`${device.attachment}: ${entry.program} is not loaded`);
      const spec = this.#spec(device, entry, mode);
      if (swing === undefined) this.#bpf.attach(spec, program).close();
      else swing.attach(spec, program);
    }
  }

  /** Ends what an agent attached that was told to attach otherwise; after `attach`. @throws DatapathError */
  detachOtherMode(device: AttachedDevice): void {
    this.#detach(device, this.mode(device.kind) === "tcx" ? "clsact" : "tcx");
  }

  /** Ends what is attached, in whichever mode; harmless for a device that is gone. @throws DatapathError */
  detach(device: AttachedDevice): void {
    this.#detach(device, "tcx");
    this.#detach(device, "clsact");
    if (device.kind === "lxc") this.#bpf.unpin(this.#pins.attachment(device.attachment), true);
  }

  /** True when the programs with these ids, by C name, are what packets meet at the device. */
  runs(device: AttachedDevice, ids: Readonly<Record<string, number>>): boolean {
    return entriesOf(device.kind).every((entry) => {
      const attachment = this.#bpf.openAttachment(this.#spec(device, entry, this.mode(device.kind)));
      const id = attachment?.programId();
      attachment?.close();
      return id !== undefined && id === ids[entry.program];
    });
  }

  #detach(device: AttachedDevice, mode: AttachMode): void {
    for (const entry of entriesOf(device.kind)) {
      const spec = this.#spec(device, entry, mode);
      const attachment = this.#bpf.openAttachment(spec);
      // A filter is found by its place alone, where somebody else's may be.
      if (attachment !== undefined && (mode === "tcx" || this.#isOurs(attachment.programId(), entry))) {
        attachment.detach();
      } else attachment?.close();
      if (mode === "tcx") this.#bpf.unpin(spec.pinPath);
    }
  }

  #isOurs(id: number, { program: name }: EntryProgram): boolean {
    const program = this.#bpf.programById(id);
    try {
      return program?.info().name === name.slice(0, kernelNameLength);
    } finally {
      program?.close();
    }
  }

  #spec({ attachment, ifindex }: AttachedDevice, { direction }: EntryProgram, mode: AttachMode): AttachSpec {
    return {
      ifindex,
      direction,
      mode,
      pinPath: join(this.#pins.attachment(attachment), `link-${direction}`),
    };
  }
}

/** True for what a call says of a device that was taken away meanwhile. */
export const isGone = (error: unknown): boolean =>
  error instanceof DatapathError && (error.errnoName === "ENODEV" || error.errnoName === "ENXIO");
