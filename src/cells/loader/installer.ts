import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Collection, Datapath, Program, RawMap } from "../../datapath/index.ts";
import { callsMapSpec } from "../../datapath/maps/index.ts";
import {
  CALL_POLICY_MAP,
  CALL_POLICY_SLOT,
  CALLS_MAP,
  entriesOf,
  POLICY_PROGRAM,
} from "../../datapath/pipeline.ts";
import type { AttachmentRef, HookLinker, PreparedChains } from "../hook-linker/index.ts";
import type { StateCollection } from "../state/index.ts";
import type { EntryPrograms } from "./entries.ts";
import { deviceOf, fingerprintOf, type InstallPlan, type InstallRecord, stagesAt } from "./install-plan.ts";
import { ifThere, type SwingParts, swingDevices } from "./swing-devices.ts";
import type { AttachmentRow, LoadedProgram } from "./types.ts";

/** What the installer works with. */
export interface InstallerParts extends SwingParts {
  readonly datapath: Datapath;
  readonly linker: HookLinker;
  readonly records: StateCollection<InstallRecord>;
}

interface Installed {
  readonly record: InstallRecord;
  readonly programs: readonly LoadedProgram[];
  /** Kept for devices to come; empty where there is one device, which holds them. */
  readonly entries: EntryPrograms;
}

/** Puts whole collections in place of running ones, one set of programs at a time. */
export class ProgramInstaller {
  readonly #parts: InstallerParts;
  readonly #installed = new Map<string, Installed>();

  /** Sets that something is being put in place of. */
  readonly #busy = new Set<string>();

  constructor(parts: InstallerParts) {
    this.#parts = parts;
  }

  /**
   * Loads a fresh generation beside the running one and swings the entry programs of its devices over to it. Each
   * packet runs through one generation; the old one is released when the last packet has left it.
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
    const { datapath, entries, globals, linker, records } = this.#parts;
    const { bpf } = datapath;
    const { ref, device } = plan;
    const previous = records.get(ref.name);
    const running = this.#installed.get(ref.name);
    const directory = globals.pins.attachment(ref.name);
    const pin = join(directory, `calls-${randomBytes(4).toString("hex")}`);
    let prepared: PreparedChains | undefined;
    let next: Installed | undefined;
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
      const record: InstallRecord = {
        fingerprint: this.#fingerprint(plan),
        device: device?.name ?? "",
        ifindex: device?.ifindex ?? 0,
        mode: entries.mode(ref.kind),
        calls: pin,
        programs: Object.fromEntries([...collection.programs.values()].map(({ name, id }) => [name, id])),
      };
      next = {
        record,
        programs: describePrograms(ref.name, collection),
        entries: this.#keepEntries(ref, record),
      };
      // From here on new devices get the new programs, so that none is missed while the others are swung.
      this.#installed.set(ref.name, next);
      const devices = await swingDevices(this.#parts, plan, collection.programs, () => {
        if (running !== undefined) this.#installed.set(ref.name, running);
        return running?.entries;
      });
      swung = true;
      closeAll(running?.entries);
      await prepared.commit();
      if (device === undefined || (previous !== undefined && previous.mode !== record.mode)) {
        for (const one of devices) ifThere(ref, () => entries.detachOtherMode(one));
      }
      await records.put(ref.name, record);
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
        if (running === undefined) this.#installed.delete(ref.name);
        else this.#installed.set(ref.name, running);
        closeAll(next?.entries);
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
    if (!this.#runs(plan, record)) return false;
    const entries = this.#keepEntries(ref, record);
    // Without a single pod nobody but the agent that ended held them.
    const lost = ref.kind === "lxc" && entries.size < entriesOf(ref.kind).length;
    const calls = lost ? undefined : datapath.bpf.openPinnedMap(record.calls);
    if (calls === undefined) {
      closeAll(entries);
      return false;
    }
    const programs: LoadedProgram[] = [];
    for (const [name, id] of Object.entries(record.programs)) {
      const program = datapath.bpf.programById(id);
      if (program === undefined) continue;
      const { tag, verifiedInsns, jitedBytes } = program.info();
      programs.push({ attachment: ref.name, name, id, tag, verifiedInsns, jitedBytes });
      program.close();
    }
    closeAll(this.#installed.get(ref.name)?.entries);
    this.#installed.set(ref.name, { record, programs, entries });
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
    return record?.fingerprint === this.#fingerprint(plan) && this.#runs(plan, record);
  }

  /** True while another generation of the set is being put in place. */
  isBusy(name: string): boolean {
    return this.#busy.has(name);
  }

  /** What runs of the set, for devices that are to get it, or undefined when nothing does that this agent knows. */
  running(name: string): Pick<Installed, "record" | "entries"> | undefined {
    return this.#installed.get(name);
  }

  /** Detaches and forgets; harmless for a set whose device is gone, or that never was. */
  async uninstall(ref: Pick<AttachmentRef, "name" | "kind">): Promise<void> {
    const { datapath, entries, globals, linker, records } = this.#parts;
    const record = records.get(ref.name);
    await linker.exclusive(async () => {
      if (record !== undefined && record.ifindex !== 0) entries.detach(deviceOf(ref, record));
      await linker.remove(ref.name);
      datapath.bpf.unpin(globals.pins.attachment(ref.name), true);
      await records.delete(ref.name);
      closeAll(this.#installed.get(ref.name)?.entries);
      this.#installed.delete(ref.name);
    });
  }

  /** Forgets a set that has nothing attached any more. */
  async forget(name: string): Promise<void> {
    if (this.#parts.records.get(name) !== undefined) await this.#parts.records.delete(name);
  }

  /** Names of everything installed by this agent or one before it. */
  known(): readonly string[] {
    const pinned = this.#parts.datapath.bpf.listPins(this.#parts.globals.pins.attachments);
    return [...new Set([...this.#parts.records.all().map(({ key }) => key), ...pinned])];
  }

  programs(): readonly LoadedProgram[] {
    return [...this.#installed.values()].flatMap(({ programs }) => programs);
  }

  /** The devices that have a set of their own. */
  attachments(): readonly AttachmentRow[] {
    return [...this.#installed].flatMap(
      ([
        name,
        {
          record: { ifindex, device, mode },
        },
      ]) => (ifindex === 0 ? [] : [{ name, ifindex, device, ingress: mode, egress: mode }]),
    );
  }

  /** Closes every handle; what runs goes on. */
  close(): void {
    for (const { entries } of this.#installed.values()) closeAll(entries);
    this.#installed.clear();
  }

  #load(plan: InstallPlan, calls: RawMap): Promise<Collection> {
    const { kind } = plan.ref;
    const entries = entriesOf(kind).map(({ program }) => program);
    const stages = stagesAt(plan.ref).map(({ program }) => program);
    return this.#parts.datapath.bpf.loadAside({
      object: plan.template.object,
      programs: [...entries, ...stages, ...(kind === "lxc" ? [POLICY_PROGRAM] : [])],
      constants: plan.constants,
      maps: { ...this.#parts.globals.raw, [CALLS_MAP]: calls },
    });
  }

  /** The pods' entry programs are needed as long as pods may come; those of other devices are held by their device. */
  #keepEntries({ kind }: AttachmentRef, record: InstallRecord): EntryPrograms {
    const kept = new Map<string, Program>();
    if (kind !== "lxc") return kept;
    for (const { program: name } of entriesOf(kind)) {
      const id = record.programs[name];
      const program = id === undefined ? undefined : this.#parts.datapath.bpf.programById(id);
      if (program !== undefined) kept.set(name, program);
    }
    return kept;
  }

  #runs({ ref, device }: InstallPlan, record: InstallRecord): boolean {
    if (device !== undefined) return this.#parts.entries.runs(deviceOf(ref, record), record.programs);
    const policy = this.#parts.globals.typed<number, number>(CALL_POLICY_MAP).lookup(CALL_POLICY_SLOT);
    return policy !== undefined && policy === record.programs[POLICY_PROGRAM];
  }

  #dropStalePins(name: string, keep: string): void {
    const directory = this.#parts.globals.pins.attachment(name);
    for (const pin of this.#parts.datapath.bpf.listPins(directory)) {
      const path = join(directory, pin);
      if (pin.startsWith("calls-") && path !== keep) this.#parts.datapath.bpf.unpin(path);
    }
  }

  #fingerprint(plan: InstallPlan): string {
    return fingerprintOf(plan, this.#parts.entries.mode(plan.ref.kind));
  }
}

function closeAll(programs: EntryPrograms | undefined): void {
  for (const program of programs?.values() ?? []) program.close();
}

function describePrograms(attachment: string, { programs }: Collection): LoadedProgram[] {
  return [...programs.values()].map((program) => {
    const { tag, verifiedInsns, jitedBytes } = program.info();
    return { attachment, name: program.name, id: program.id, tag, verifiedInsns, jitedBytes };
  });
}
