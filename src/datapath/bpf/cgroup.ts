/** Programs of control groups, which see calls of the sockets in them: links that stay without the agent. */
import { closeSync, openSync, statSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import { type CgroupAttachment, type CgroupAttachSpec, CgroupAttachType, type Program } from "../types.ts";
import { requireCgroup2 } from "./cgroupfs.ts";
import { BPF_LINK_TYPE_CGROUP } from "./ffi/link.ts";
import { type LinkPlace, PinnedLink } from "./pinned-link.ts";

/** Attaches, or replaces the program of the link pinned for this spec. @throws DatapathError */
export function attachCgroup(spec: CgroupAttachSpec, program: Program): CgroupAttachment {
  requireCgroup2(spec.cgroup);
  return attachment(spec, PinnedLink.attach(placeOf(spec), program));
}

/** The link pinned for this spec; undefined when there is none or its group is gone. @throws DatapathError */
export function openCgroupAttachment(spec: CgroupAttachSpec): CgroupAttachment | undefined {
  const link = PinnedLink.open(placeOf(spec));
  return link === undefined ? undefined : attachment(spec, link);
}

function attachment({ cgroup, type }: CgroupAttachSpec, link: PinnedLink): CgroupAttachment {
  return {
    cgroup,
    type,
    programId: () => link.programId(),
    update: (program) => link.update(program),
    detach: () => link.detach(),
    close: () => link.close(),
  };
}

/** The target of such a link: the group's id, 0 once it is gone, and its attach type. */
function placeOf({ cgroup, type, pinPath }: CgroupAttachSpec): LinkPlace {
  const attachType = CgroupAttachType[type];
  return {
    pinPath,
    attachType,
    label: `${type} of control group ${cgroup}`,
    fits: (info) =>
      info.type === BPF_LINK_TYPE_CGROUP &&
      info.target.readBigUInt64LE(0) === cgroupId(cgroup) &&
      info.target.readUInt32LE(8) === attachType,
    withTarget: (use) => withDirectory(cgroup, use),
  };
}

/** The group's id is its inode's number, whichever mount it is looked at through. Undefined for an absent one. */
function cgroupId(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function withDirectory<T>(path: string, use: (fd: number) => T): T {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw DatapathError.from(error, "open control group", path);
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
