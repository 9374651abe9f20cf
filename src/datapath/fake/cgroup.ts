import { DatapathError } from "../errors.ts";
import type { CgroupAttachment, CgroupAttachSpec, Program } from "../types.ts";
import { Handle, type Handles } from "./handles.ts";
import type { FakeKernel } from "./kernel.ts";
import { CgroupLink } from "./objects.ts";
import { asFakeProgram } from "./program.ts";

/**
 * Attaches, or replaces what this spec attached before. Every directory below a mount is taken for a group.
 * @throws DatapathError off a cgroup2, EINVAL for a program of another type, and what pinning gives
 */
export function attachCgroup(
  kernel: FakeKernel,
  handles: Handles,
  spec: CgroupAttachSpec,
  program: Program,
): CgroupAttachment {
  const object = `${spec.type} of control group ${spec.cgroup}`;
  kernel.faults.check("attachCgroup", object);
  const isGroup = [...kernel.cgroupMounts].some((mount) => `${spec.cgroup}/`.startsWith(`${mount}/`));
  if (!isGroup) {
    throw new DatapathError({
      operation: "use control group",
      object: spec.cgroup,
      detail: "there is no such group on a cgroup2",
      status: "FAILED_PRECONDITION",
    });
  }
  const existing = find(kernel, spec);
  if (existing !== undefined) {
    existing.replace(asFakeProgram(program).object);
    return attachment(kernel, handles, existing, spec);
  }
  const link = kernel.createCgroupLink(spec, asFakeProgram(program).object);
  const attached = attachment(kernel, handles, link, spec);
  try {
    // The pin may be of another group.
    if (kernel.pins.get(spec.pinPath)?.kind === "link") kernel.pins.remove(spec.pinPath, false);
    kernel.pins.add(spec.pinPath, { kind: "link", object: link });
    return attached;
  } catch (error) {
    attached.close();
    throw error;
  }
}

/** What `attachCgroup` made earlier with this spec. */
export function openCgroupAttachment(
  kernel: FakeKernel,
  handles: Handles,
  spec: CgroupAttachSpec,
): CgroupAttachment | undefined {
  const link = find(kernel, spec);
  return link === undefined ? undefined : attachment(kernel, handles, link, spec);
}

function find(kernel: FakeKernel, spec: CgroupAttachSpec): CgroupLink | undefined {
  const pinned = kernel.pins.get(spec.pinPath);
  if (pinned?.kind !== "link" || !(pinned.object instanceof CgroupLink)) return undefined;
  const { object } = pinned;
  return object.cgroup === spec.cgroup && object.type === spec.type ? object : undefined;
}

function attachment(
  kernel: FakeKernel,
  handles: Handles,
  link: CgroupLink,
  { cgroup, type, pinPath }: CgroupAttachSpec,
): CgroupAttachment {
  link.hold();
  const handle = new Handle(link, `${type} of control group ${cgroup}`, handles, (target) =>
    target.release(),
  );
  return {
    cgroup,
    type,
    programId: () => handle.target.program.id,
    update: (program) => handle.target.replace(asFakeProgram(program).object),
    detach() {
      kernel.pins.remove(pinPath, false);
      handle.close();
    },
    close: () => handle.close(),
  };
}
