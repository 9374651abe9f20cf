import type { AttachmentKind } from "../../datapath/pipeline.ts";

/** The programs that run at all pods' devices, as an attachment: their chains, and where they are pinned. */
export const podPrograms = "lxc";

/** Name of one pod's attachment: what its counters are found under. */
export const endpointAttachment = (id: number): string => `${podPrograms}-${id}`;

/** Endpoint id of an attachment's name, or undefined for all others. */
export function attachmentEndpoint(name: string): number | undefined {
  const match = /^lxc-(\d+)$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** The attachment whose programs and chains run there: one for all pods, and each other device's own. */
export function programsAt(attachment: string): string {
  return attachmentEndpoint(attachment) === undefined ? attachment : podPrograms;
}

/** Attachments are named `<kind>-<device or id>`. */
export function attachmentKind(name: string): AttachmentKind {
  if (programsAt(name) === podPrograms) return "lxc";
  const kind = (["host", "overlay"] as const).find((candidate) => name.startsWith(`${candidate}-`));
  return kind ?? "netdev";
}
