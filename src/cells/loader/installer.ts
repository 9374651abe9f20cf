import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type {
  AttachMode,
  Attachment,
  AttachSpec,
  Collection,
  CompileResult,
  Datapath,
  RawMap,
} from "../../datapath/index.ts";
import { callsMapSpec } from "../../datapath/maps/index.ts";
import {
  CALL_POLICY_MAP,
  CALLS_MAP,
  type EntryProgram,
  entriesOf,
  objectOf,
  POLICY_PROGRAM,
  type Stage,
} from "../../datapath/pipeline.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { AttachmentRef, HookLinker, PreparedChains } from "../hook-linker/index.ts";
import type { StateCollection } from "../state/index.ts";
import { EntrySwing } from "./swing.ts";
import type { LoadedProgram } from "./types.ts";

/** Everything that decides what runs at one attachment. */
export interface InstallPlan {
  readonly ref: AttachmentRef;
  readonly device: string;
  readonly ifindex: number;
  readonly template: CompileResult;
  readonly constants: Readonly<Record<string, number | bigint | Buffer>>;
  /** Maps of the attachment's own, by C name. */
  readonly maps: Readonly<Record<string, RawMap>>;
}

/** What is kept on disk of an installation, so that a restarted agent can tell whether it may stay. */
export interface InstallRecord {
  readonly fingerprint: string;
  readonly device: string;
  readonly ifindex: number;
  readonly mode: AttachMode;
  /** Pin of the stages' PROG_ARRAY. */
  readonly calls: string;
  /** Program ids by C name: entries, stages and the policy program. */
  readonly programs: Readonly<Record<string, number>>;
}

/** What the installer works with. */
export interface InstallerParts {
  readonly datapath: Datapath;
  readonly globals: GlobalMaps;
  readonly linker: HookLinker;
  readonly records: StateCollection<InstallRecord>;
  readonly mode: AttachMode;
}

/** Puts whole collections in place of running ones, one attachment at a time. */
export class AttachmentInstaller {
  readonly #parts: InstallerParts;
  readonly #installed = new Map<
    string,
    { readonly record: InstallRecord; readonly programs: LoadedProgram[] }
  >();

  /** Attachments that something is being put in place at. */
  readonly #busy = new Set<string>();

  constructor(parts: InstallerParts) {
    this.#parts = parts;
  }

  /**
   * Loads a fresh generation beside the running one and swings the entry programs over to it. Each packet runs
   * through one generation; the old one is released when the last packet has left it.
   *
   * @throws RefusalError, VerifierError, DatapathError; what ran before still runs. StateWriteError: the new
   * generation runs, and the next agent will replace it
   */
  async install(plan: InstallPlan): Promise<void> {
    this.#busy.add(plan.ref.name);
    try {
      await this.#install(plan);
    } finally {
      this.#busy.delete(plan.ref.name);
    }
  }

  async #install(plan: InstallPlan): Promise<void> {
    const { datapath, linker } = this.#parts;
    const calls = datapath.bpf.createMap(callsMapSpec);
    let loaded: Collection;
    try {
      // Aside, and before it is anybody's turn: the verifier's work is nearly all there is.
      loaded = await this.#load(plan, calls);
    } catch (error) {
      calls.close();
      throw error;
    }
    const { release, replaced } = await linker.exclusive(() => this.#replace(plan, calls, loaded));
    if (!replaced) return;
    await datapath.bpf.quiesce();
    // Exclusively: chains that a change of plugins has just built are pinned, too, and belong to nobody yet.
    await linker.exclusive(async () => release());
  }

  /** Takes over `calls` and `collection`, whatever comes of it. */
  async #replace(
    plan: InstallPlan,
    calls: RawMap,
    collection: Collection,
  ): Promise<{ release(): void; replaced: boolean }> {
    const { datapath, globals, linker, records, mode } = this.#parts;
    const { bpf } = datapath;
    const { ref, ifindex, device } = plan;
    const previous = records.get(ref.name);
    const directory = globals.pins.attachment(ref.name);
    const pin = join(directory, `calls-${randomBytes(4).toString("hex")}`);
    let prepared: PreparedChains | undefined;
    let swung = false;
    try {
      bpf.makePinDirectory(directory);
      const replaced = previous !== undefined || bpf.listPins(directory).length > 0;
      for (const { slot, program } of stagesAt(ref)) {
        bpf.setProgram(calls, slot, collection.programs.get(program)!);
      }
      prepared = await linker.prepare(ref, calls, collection.programs);
      // The pin keeps the array filled: the kernel empties a PROG_ARRAY that user space has let go of.
      calls.pin(pin);
      this.#swing(plan, collection);
      swung = true;
      await prepared.commit();
      if (previous !== undefined && previous.mode !== mode) this.#detachOtherMode(ref, previous);
      const record: InstallRecord = {
        fingerprint: this.#fingerprint(plan),
        device,
        ifindex,
        mode,
        calls: pin,
        programs: Object.fromEntries([...collection.programs.values()].map(({ name, id }) => [name, id])),
      };
      await records.put(ref.name, record);
      this.#installed.set(ref.name, { record, programs: describePrograms(ref.name, collection) });
      const { release } = prepared;
      return {
        replaced,
        release: () => {
          release();
          this.#dropStalePins(ref.name, pin);
        },
      };
    } catch (error) {
      if (!swung) {
        prepared?.abort();
        bpf.unpin(pin);
        calls.close();
      }
      throw error;
    } finally {
      collection.close();
    }
  }

  /** True when what is pinned and attached is what `install` would make; then it is taken over as it is. */
  async adopt(plan: InstallPlan): Promise<boolean> {
    const { datapath, linker, records } = this.#parts;
    const { ref } = plan;
    const record = records.get(ref.name);
    if (record === undefined || record.fingerprint !== this.#fingerprint(plan)) return false;
    if (!this.#runs(ref, record)) return false;
    const calls = datapath.bpf.openPinnedMap(record.calls);
    if (calls === undefined) return false;
    const programs: LoadedProgram[] = [];
    for (const [name, id] of Object.entries(record.programs)) {
      const program = datapath.bpf.programById(id);
      if (program === undefined) continue;
      const { tag, verifiedInsns, jitedBytes } = program.info();
      programs.push({ attachment: ref.name, name, id, tag, verifiedInsns, jitedBytes });
      program.close();
    }
    this.#installed.set(ref.name, { record, programs });
    // Chains that cannot be brought up to date are the caller's to report; the core's programs run in any case.
    await linker.exclusive(() => linker.adopt(ref, calls));
    this.#dropStalePins(ref.name, record.calls);
    return true;
  }

  /**
   * True when this agent has put the plan in place and nobody has taken any of it away since. What is being replaced
   * at the moment is neither the one thing nor the other, and in good hands.
   */
  holds(plan: InstallPlan): boolean {
    if (this.#busy.has(plan.ref.name)) return true;
    const record = this.#installed.get(plan.ref.name)?.record;
    return record?.fingerprint === this.#fingerprint(plan) && this.#runs(plan.ref, record);
  }

  /** Detaches and forgets; harmless for an attachment whose device is gone, or that never was. */
  async uninstall(ref: Pick<AttachmentRef, "name" | "kind" | "endpointId">): Promise<void> {
    const { datapath, globals, linker, records } = this.#parts;
    const record = records.get(ref.name);
    await linker.exclusive(async () => {
      if (record !== undefined) {
        for (const entry of entriesOf(ref.kind)) {
          datapath.bpf
            .openAttachment(this.#attachSpec(ref.name, record.ifindex, entry, record.mode))
            ?.detach();
        }
      }
      if (ref.kind === "lxc") datapath.bpf.clearProgram(globals.raw[CALL_POLICY_MAP]!, ref.endpointId);
      await linker.remove(ref.name);
      datapath.bpf.unpin(globals.pins.attachment(ref.name), true);
      await records.delete(ref.name);
      this.#installed.delete(ref.name);
    });
  }

  /** Names of everything installed by this agent or one before it. */
  known(): readonly string[] {
    const pinned = this.#parts.datapath.bpf.listPins(this.#parts.globals.pins.attachments);
    return [...new Set([...this.#parts.records.all().map(({ key }) => key), ...pinned])];
  }

  programs(): readonly LoadedProgram[] {
    return [...this.#installed.values()].flatMap(({ programs }) => programs);
  }

  attachments(): readonly { readonly name: string; readonly ifindex: number; readonly device: string }[] {
    return [...this.#installed].map(([name, { record }]) => ({
      name,
      ifindex: record.ifindex,
      device: record.device,
    }));
  }

  #load(plan: InstallPlan, calls: RawMap): Promise<Collection> {
    const { kind } = plan.ref;
    const entries = entriesOf(kind).map(({ program }) => program);
    const stages = stagesAt(plan.ref).map(({ program }) => program);
    return this.#parts.datapath.bpf.loadAside({
      object: plan.template.object,
      programs: [...entries, ...stages, ...(kind === "lxc" ? [POLICY_PROGRAM] : [])],
      constants: plan.constants,
      maps: { ...this.#parts.globals.raw, ...plan.maps, [CALLS_MAP]: calls },
    });
  }

  /**
   * Local delivery first, then the device: nothing can be sent to a pod before it can be received.
   * @throws DatapathError when a step failed; those before it are taken back
   */
  #swing({ ref, ifindex }: InstallPlan, { programs }: Collection): void {
    const { datapath, globals, mode } = this.#parts;
    const swing = new EntrySwing(datapath.bpf);
    try {
      if (ref.kind === "lxc") {
        const ids = globals.typed<number, number>(CALL_POLICY_MAP);
        swing.slot(globals.raw[CALL_POLICY_MAP]!, ids, ref.endpointId, programs.get(POLICY_PROGRAM)!);
      }
      for (const entry of entriesOf(ref.kind)) {
        swing.attach(this.#attachSpec(ref.name, ifindex, entry, mode), programs.get(entry.program)!);
      }
    } catch (error) {
      const errors = swing.rollback();
      if (errors.length === 0) throw error;
      throw new AggregateError(
        [error, ...errors],
        `${ref.name}: programs are partly replaced: ${String(error)}`,
      );
    } finally {
      swing.close();
    }
  }

  /** What an agent attached that was told to attach otherwise. TCX runs first, so packets never miss a program. */
  #detachOtherMode(ref: AttachmentRef, { ifindex, mode }: InstallRecord): void {
    const { bpf } = this.#parts.datapath;
    for (const entry of entriesOf(ref.kind)) {
      const spec = this.#attachSpec(ref.name, ifindex, entry, mode);
      bpf.openAttachment(spec)?.detach();
      if (mode === "tcx") bpf.unpin(spec.pinPath);
    }
  }

  #runs(ref: Pick<AttachmentRef, "name" | "kind" | "endpointId">, record: InstallRecord): boolean {
    const { bpf } = this.#parts.datapath;
    const attached = entriesOf(ref.kind).every((entry) => {
      const attachment: Attachment | undefined = bpf.openAttachment(
        this.#attachSpec(ref.name, record.ifindex, entry, record.mode),
      );
      const id = attachment?.programId();
      attachment?.close();
      return id !== undefined && id === record.programs[entry.program];
    });
    if (!attached || ref.kind !== "lxc") return attached;
    const policy = this.#parts.globals.typed<number, number>(CALL_POLICY_MAP).lookup(ref.endpointId);
    return policy === record.programs[POLICY_PROGRAM];
  }

  #attachSpec(name: string, ifindex: number, entry: EntryProgram, mode: AttachMode): AttachSpec {
    const pinPath = join(this.#parts.globals.pins.attachment(name), `link-${entry.direction}`);
    return { ifindex, direction: entry.direction, mode, pinPath };
  }

  #dropStalePins(name: string, keep: string): void {
    const directory = this.#parts.globals.pins.attachment(name);
    for (const pin of this.#parts.datapath.bpf.listPins(directory)) {
      const path = join(directory, pin);
      if (pin.startsWith("calls-") && path !== keep) this.#parts.datapath.bpf.unpin(path);
    }
  }

  #fingerprint(plan: InstallPlan): string {
    const constants = Object.entries(plan.constants).map(([name, value]) => [
      name,
      Buffer.isBuffer(value) ? value.toString("hex") : `${value}`,
    ]);
    return JSON.stringify([plan.template.digest, plan.ifindex, this.#parts.mode, constants.sort()]);
  }
}

/** The stages of an attachment: those of an IP version that is off are not loaded. */
const stagesAt = ({ kind, families }: AttachmentRef): readonly Stage[] =>
  objectOf(kind).stages.filter(({ family }) => families.includes(family));

function describePrograms(attachment: string, { programs }: Collection): LoadedProgram[] {
  return [...programs.values()].map((program) => {
    const { tag, verifiedInsns, jitedBytes } = program.info();
    return { attachment, name: program.name, id: program.id, tag, verifiedInsns, jitedBytes };
  });
}
