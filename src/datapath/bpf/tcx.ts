/**
 * TCX links (Linux 6.6): a pinned link keeps a program on an interface without the agent, and replaces it
 * atomically.
 */
import { constants } from "node:os";
import type { Attachment, AttachSpec, Direction, Program } from "../types.ts";
import {
  BPF_LINK_TYPE_TCX,
  BPF_TCX_EGRESS,
  BPF_TCX_INGRESS,
  bpf_prog_query_opts,
  progQueryOpts,
} from "./ffi/link.ts";
import { type LinkPlace, PinnedLink } from "./pinned-link.ts";

const ATTACH_TYPES: Readonly<Record<Direction, number>> = {
  ingress: BPF_TCX_INGRESS,
  egress: BPF_TCX_EGRESS,
};
/** No interface gets this number: the kernel counts up from 1. */
const NO_IFINDEX = 0x7fffffff;

const { EINVAL } = constants.errno;

/**
 * Whether this kernel has TCX. Asks for the programs of an interface that does not exist: a kernel with TCX
 * looks for the interface (ENODEV), one without refuses the attach type (EINVAL). Nothing is attached.
 */
export function hasTcx(): boolean {
  return bpf_prog_query_opts(NO_IFINDEX, BPF_TCX_INGRESS, progQueryOpts()) !== -EINVAL;
}

/** Attaches, or replaces the program of the link pinned for this spec. @throws DatapathError */
export function attachTcx(spec: AttachSpec, program: Program): Attachment {
  return attachment(spec, PinnedLink.attach(placeOf(spec), program));
}

/**
 * As `attachTcx`, on a worker thread: with a new link the kernel waits for a grace period, while it keeps the network's
 * configuration locked (`tcx_link_attach`, kernel/bpf/tcx.c). Workers are in the namespace that the process began in.
 * @throws DatapathError
 */
export async function attachTcxAside(spec: AttachSpec, program: Program): Promise<Attachment> {
  return attachment(spec, await PinnedLink.attachAside(placeOf(spec), spec.ifindex, program));
}

/** Ends the link pinned for this spec, if there is one, in the same way. @throws DatapathError */
export async function detachTcxAside(spec: AttachSpec): Promise<void> {
  await PinnedLink.open(placeOf(spec))?.detachAside();
}

/** The link pinned for this spec; undefined when there is none or its interface is gone. @throws DatapathError */
export function openTcx(spec: AttachSpec): Attachment | undefined {
  const link = PinnedLink.open(placeOf(spec));
  return link === undefined ? undefined : attachment(spec, link);
}

function attachment({ ifindex, direction }: AttachSpec, link: PinnedLink): Attachment {
  return {
    mode: "tcx",
    ifindex,
    direction,
    programId: () => link.programId(),
    update: (program) => link.update(program),
    detach: () => link.detach(),
    close: () => link.close(),
  };
}

/** The target of a TCX link: its interface, 0 once that is gone, and its attach type. */
function placeOf({ ifindex, direction, pinPath }: AttachSpec): LinkPlace {
  const attachType = ATTACH_TYPES[direction];
  return {
    pinPath,
    attachType,
    label: `TCX ${direction} of interface ${ifindex}`,
    fits: ({ type, target }) =>
      type === BPF_LINK_TYPE_TCX &&
      target.readUInt32LE(0) === ifindex &&
      target.readUInt32LE(4) === attachType,
    withTarget: (use) => use(ifindex),
  };
}
