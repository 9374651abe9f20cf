import { join } from "node:path";
import {
  type AttachMode,
  type AttachSpec,
  type BpfOps,
  DatapathError,
  type Direction,
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
  /** Pods that stay get a TCX link besides, for what they send. */
  readonly podLinks: boolean;
}

/** What most packets of a pod meet: redirected ones never pass the other direction of a device. */
const linkedDirection = "ingress";

/** The kernel keeps so much of a program's name: BPF_OBJ_NAME_LEN less its end. */
const kernelNameLength = 15;

type Ops = Pick<
  BpfOps,
  "attach" | "attachAside" | "detachAside" | "makePinDirectory" | "openAttachment" | "programById" | "unpin"
>;

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

  /** Whether pods get links beside their filters: see `link`. */
  get linksPods(): boolean {
    return this.#modes.podLinks;
  }

  /** How packets in each direction meet their program: first of all in a link, where a device has both. */
  modesAt(device: AttachedDevice): Readonly<Record<Direction, AttachMode>> {
    const mode = this.mode(device.kind);
    return { ingress: this.hasLink(device) ? "tcx" : mode, egress: mode };
  }

  /** True when a pod's device has a link beside its filters. @throws DatapathError */
  hasLink(device: AttachedDevice): boolean {
    return this.#linkedId(device) !== undefined;
  }

  /**
   * Gives a pod's device a link beside its filter, off the event loop: programs of TCX links run first and end the
   * packet's way, so that none meets both.
   * @throws DatapathError
   */
  async link(device: AttachedDevice, programs: EntryPrograms): Promise<void> {
    this.#bpf.makePinDirectory(this.#pins.attachment(device.attachment));
    const program = programOf(device, linkedEntry(device), programs);
    (await this.#bpf.attachAside(this.#linkSpec(device), program)).close();
  }

  /** Ends what `link` made, off the event loop; the filter holds. @throws DatapathError */
  unlink(device: AttachedDevice): Promise<void> {
    return this.#bpf.detachAside(this.#linkSpec(device));
  }

  /** Removes what is pinned for a device. @throws DatapathError */
  dropPins({ attachment }: AttachedDevice): void {
    this.#bpf.unpin(this.#pins.attachment(attachment), true);
  }

  /**
   * Attaches, or replaces what was attached there before, in whichever mode. A packet meets the old program or the
   * new one; of two modes TCX runs first and ends the packet's way, so none meets both. A pod's link gets its program
   * as well, which the kernel does not wait for; one that is not there is not made.
   *
   * @param swing where to note how to take it back
   * @throws DatapathError
   */
  attach(device: AttachedDevice, programs: EntryPrograms, swing?: EntrySwing): void {
    const mode = this.mode(device.kind);
    if (mode === "tcx") this.#bpf.makePinDirectory(this.#pins.attachment(device.attachment));
    for (const entry of entriesOf(device.kind)) {
      const program = programOf(device, entry, programs);
      const spec = this.#spec(device, entry, mode);
      if (swing === undefined) this.#bpf.attach(spec, program).close();
      else swing.attach(spec, program);
    }
    if (this.#isLinked(device)) this.#renew(device, programOf(device, linkedEntry(device), programs), swing);
  }

  #renew(device: AttachedDevice, program: Program, swing: EntrySwing | undefined): void {
    const spec = this.#linkSpec(device);
    if (swing !== undefined) {
      swing.update(spec, program);
      return;
    }
    const link = this.#bpf.openAttachment(spec);
    try {
      link?.update(program);
    } finally {
      link?.close();
    }
  }

  /** Ends what an agent attached that was told to attach otherwise; after `attach`. @throws DatapathError */
  detachOtherMode(device: AttachedDevice): void {
    this.#detach(device, this.mode(device.kind) === "tcx" ? "clsact" : "tcx", this.#isLinked(device));
  }

  /** Ends what is attached, in whichever mode; harmless for a device that is gone. @throws DatapathError */
  detach(device: AttachedDevice): void {
    this.#detach(device, "tcx");
    this.#detach(device, "clsact");
    if (device.kind === "lxc") this.dropPins(device);
  }

  /** True when the programs with these ids, by C name, are what packets meet at the device. */
  runs(device: AttachedDevice, ids: Readonly<Record<string, number>>): boolean {
    const linked = this.#linkedId(device);
    if (linked !== undefined && linked !== ids[linkedEntry(device).program]) return false;
    return entriesOf(device.kind).every((entry) => {
      const id = this.#idAt(this.#spec(device, entry, this.mode(device.kind)));
      return id !== undefined && id === ids[entry.program];
    });
  }

  #idAt(spec: AttachSpec): number | undefined {
    const attachment = this.#bpf.openAttachment(spec);
    try {
      return attachment?.programId();
    } finally {
      attachment?.close();
    }
  }

  #linkedId(device: AttachedDevice): number | undefined {
    return this.#isLinked(device) ? this.#idAt(this.#linkSpec(device)) : undefined;
  }

  /** Whether devices of this kind get links beside their filters. */
  #isLinked({ kind }: AttachedDevice): boolean {
    return kind === "lxc" && this.linksPods;
  }

  /** @param keepLink leave alone what `link` makes */
  #detach(device: AttachedDevice, mode: AttachMode, keepLink = false): void {
    for (const entry of entriesOf(device.kind)) {
      if (keepLink && entry.direction === linkedDirection) continue;
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

  #linkSpec(device: AttachedDevice): AttachSpec {
    return this.#spec(device, linkedEntry(device), "tcx");
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

function linkedEntry({ kind }: AttachedDevice): EntryProgram {
  return entriesOf(kind).find(({ direction }) => direction === linkedDirection)!;
}

function programOf(
  { attachment }: AttachedDevice,
  { program: name }: EntryProgram,
  all: EntryPrograms,
): Program {
  const program = all.get(name);
  if (program === undefined) throw new Error(`${attachment}: ${name} is not loaded`);
  return program;
}

/** ENOLINK is a link's word for it. */
const goneErrors: readonly (string | undefined)[] = ["ENODEV", "ENXIO", "ENOLINK"];

/** True for what a call says of a device that was taken away meanwhile. */
export const isGone = (error: unknown): boolean =>
  error instanceof DatapathError && goneErrors.includes(error.errnoName);
