import { setImmediate as nextTurn } from "node:timers/promises";
import type { Datapath } from "../../datapath/index.ts";
import { CALL_POLICY_MAP, CALL_POLICY_SLOT, POLICY_PROGRAM } from "../../datapath/pipeline.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { AttachmentRef } from "../hook-linker/index.ts";
import { type AttachedDevice, type EntryAttacher, type EntryPrograms, isGone } from "./entries.ts";
import { deviceOf, type InstallPlan } from "./install-plan.ts";
import { EntrySwing } from "./swing.ts";

/** What entry programs are swung with. */
export interface SwingParts {
  readonly datapath: Pick<Datapath, "bpf">;
  readonly globals: GlobalMaps;
  readonly entries: EntryAttacher;
  /** Devices of pods that run the pods' programs, or are about to. */
  readonly podDevices: () => Promise<readonly AttachedDevice[]>;
}

/** Devices that are swung in one turn: others' work goes on in between. */
const devicesATurn = 16;

/**
 * Swings every device of a set over to the programs. Local delivery comes first, then the devices: nothing can be sent
 * to a pod before it can be received.
 *
 * @param goBack called when pods' programs could not be swung: makes new devices get the former entry programs again,
 * and returns them; undefined when there are none
 * @returns the devices
 * @throws DatapathError when a step failed; those before it are taken back
 */
export async function swingDevices(
  parts: SwingParts,
  { ref, device }: InstallPlan,
  programs: EntryPrograms,
  goBack: () => EntryPrograms | undefined,
): Promise<readonly AttachedDevice[]> {
  const { datapath, entries, globals, podDevices } = parts;
  const swing = new EntrySwing(datapath.bpf);
  const done = new Set<number>();
  try {
    if (ref.kind === "lxc") {
      const ids = globals.typed<number, number>(CALL_POLICY_MAP);
      swing.slot(globals.raw[CALL_POLICY_MAP]!, ids, CALL_POLICY_SLOT, programs.get(POLICY_PROGRAM)!);
    }
    const devices = device === undefined ? await podDevices() : [deviceOf(ref, device)];
    for (const [index, one] of devices.entries()) {
      if (index > 0 && index % devicesATurn === 0) await nextTurn();
      done.add(one.ifindex);
      ifThere(ref, () => entries.attach(one, programs, swing));
    }
    return devices;
  } catch (error) {
    const errors = [...swing.rollback()];
    // Devices that came meanwhile have what was to be the next generation.
    const former = ref.kind === "lxc" ? goBack() : undefined;
    if (former !== undefined) {
      const late = (await podDevices()).filter(({ ifindex }) => !done.has(ifindex));
      for (const one of late) collectErrors(errors, () => entries.attach(one, former));
    }
    if (errors.length === 0) throw error;
    throw new AggregateError(
      [error, ...errors],
      `${ref.name}: programs are partly replaced: ${String(error)}`,
    );
  } finally {
    swing.close();
  }
}

/** Pods come and go while their programs are replaced; a device of the node must be there. */
export function ifThere({ kind }: AttachmentRef, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (kind !== "lxc" || !isGone(error)) throw error;
  }
}

function collectErrors(errors: Error[], work: () => void): void {
  try {
    work();
  } catch (error) {
    errors.push(error instanceof Error ? error : new Error(String(error)));
  }
}
