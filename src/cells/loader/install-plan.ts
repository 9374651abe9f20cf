import type { AttachMode, CompileResult } from "../../datapath/index.ts";
import { objectOf, type Stage } from "../../datapath/pipeline.ts";
import type { AttachmentRef } from "../hook-linker/index.ts";
import type { AttachedDevice } from "./entries.ts";

/** Everything that decides what one set of programs does. */
export interface InstallPlan {
  readonly ref: AttachmentRef;
  /** The one device of the set; undefined for that of all pods. */
  readonly device: { readonly name: string; readonly ifindex: number } | undefined;
  readonly template: CompileResult;
  readonly constants: Readonly<Record<string, number | bigint | Buffer>>;
}

/** What is kept on disk of an installation, so that a restarted agent can tell whether it may stay. */
export interface InstallRecord {
  readonly fingerprint: string;
  /** Empty for the programs of all pods. */
  readonly device: string;
  /** 0 for the programs of all pods. */
  readonly ifindex: number;
  readonly mode: AttachMode;
  /** Pin of the stages' PROG_ARRAY. */
  readonly calls: string;
  /** Program ids by C name: entries, stages and the policy program. */
  readonly programs: Readonly<Record<string, number>>;
}

/**
 * What two plans have alike that make the same programs at the same place.
 *
 * @param mode how the plan's device is attached to
 */
export function fingerprintOf({ ref, device, template, constants }: InstallPlan, mode: AttachMode): string {
  const values = Object.entries(constants).map(([name, value]) => [
    name,
    Buffer.isBuffer(value) ? value.toString("hex") : `${value}`,
  ]);
  // Pods' devices are compared one by one.
  const place = device === undefined ? [] : [device.ifindex, mode];
  return JSON.stringify([template.digest, ...place, ref.families, values.sort()]);
}

/** The stages of an attachment: those of an IP version that is off are not loaded. */
export const stagesAt = ({ kind, families }: AttachmentRef): readonly Stage[] =>
  objectOf(kind).stages.filter(({ family }) => families.includes(family));

/** A device as programs are attached to it. */
export const deviceOf = (
  { name, kind }: Pick<AttachmentRef, "name" | "kind">,
  { ifindex }: { readonly ifindex: number },
): AttachedDevice => ({ attachment: name, kind, ifindex });
