/**
 * The static shape of the datapath in `bpf/`: entry programs, the stages they tail-call, and the arrows between stages
 * that are hook points. The mirror of bpf/lib/slots.h; hook names are also the contract with plugin authors.
 */
import { OBJECT_KINDS, PIPELINE } from "./pipeline/objects.ts";
import type { AttachmentKind, EntryProgram, HookPoint, PipelineObject } from "./pipeline/types.ts";

export * from "./pipeline/names.ts";
export { OBJECT_KINDS, PIPELINE } from "./pipeline/objects.ts";
export * from "./pipeline/paths.ts";
export type * from "./pipeline/types.ts";

/** Every hook point, in the order of the objects and slots. */
export const HOOK_POINTS: readonly HookPoint[] = OBJECT_KINDS.flatMap((kind) => PIPELINE[kind].hooks);

const HOOK_BY_NAME: ReadonlyMap<string, HookPoint> = new Map(HOOK_POINTS.map((hook) => [hook.name, hook]));

/** The hook point of that name, or undefined. */
export function hookPoint(name: string): HookPoint | undefined {
  return HOOK_BY_NAME.get(name);
}

/** Hook points that instances on this kind of attachment hold. */
export function hooksOf(attachment: AttachmentKind): readonly HookPoint[] {
  return HOOK_POINTS.filter((hook) => hook.attachment === attachment);
}

/** The object whose programs run on this kind of attachment. */
export function objectOf(attachment: AttachmentKind): PipelineObject {
  return PIPELINE[attachment === "netdev" ? "host" : attachment];
}

/** Entry programs of this kind of attachment. */
export function entriesOf(attachment: AttachmentKind): readonly EntryProgram[] {
  return objectOf(attachment).entries.filter((entry) => entry.attachment === attachment);
}
