/**
 * TCX links (Linux 6.6): a pinned link keeps a program on an interface without the agent, and replaces it
 * atomically.
 */
import { unlinkSync } from "node:fs";
import { constants } from "node:os";
import { DatapathError } from "../errors.ts";
import type { Attachment, AttachSpec, Direction, Program } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { requireKind } from "./fd-kind.ts";
import { bpf_obj_get, bpf_obj_pin } from "./ffi/common.ts";
import {
  BPF_LINK_TYPE_TCX,
  BPF_TCX_EGRESS,
  BPF_TCX_INGRESS,
  bpf_link_create,
  bpf_link_detach,
  bpf_link_update,
  bpf_prog_query_opts,
  progQueryOpts,
} from "./ffi/link.ts";
import { type LinkInfo, linkInfo } from "./object-info.ts";
import { asKernelProgram } from "./program.ts";

const ATTACH_TYPES: Readonly<Record<Direction, number>> = {
  ingress: BPF_TCX_INGRESS,
  egress: BPF_TCX_EGRESS,
};
/** No interface gets this number: the kernel counts up from 1. */
const NO_IFINDEX = 0x7fffffff;

const { ENOENT, EINVAL, ENOLINK } = constants.errno;

/**
 * Whether this kernel has TCX. Asks for the programs of an interface that does not exist: a kernel with TCX
 * looks for the interface (ENODEV), one without refuses the attach type (EINVAL). Nothing is attached.
 */
export function hasTcx(): boolean {
  return bpf_prog_query_opts(NO_IFINDEX, BPF_TCX_INGRESS, progQueryOpts()) !== -EINVAL;
}

/** Attaches, or replaces the program of the link pinned for this spec. @throws DatapathError */
export function attachTcx(spec: AttachSpec, program: Program): Attachment {
  const pinned = openPin(spec);
  if (pinned === undefined) return create(spec, program);
  if (pinned.fits) {
    const attachment = new TcxAttachment(spec, pinned.fd);
    try {
      attachment.update(program);
      return attachment;
    } catch (error) {
      attachment.close();
      throw error;
    }
  }
  // The pin is of an interface that is gone, or of another one: the new link takes its place.
  try {
    detachLink(pinned.fd, label(spec));
    unpin(spec.pinPath);
  } finally {
    pinned.fd.close();
  }
  return create(spec, program);
}

/** The link pinned for this spec; undefined when there is none or its interface is gone. @throws DatapathError */
export function openTcx(spec: AttachSpec): Attachment | undefined {
  const pinned = openPin(spec);
  if (pinned === undefined) return undefined;
  if (pinned.fits) return new TcxAttachment(spec, pinned.fd);
  pinned.fd.close();
  return undefined;
}

class TcxAttachment implements Attachment {
  readonly mode = "tcx";
  readonly ifindex: number;
  readonly direction: Direction;
  readonly #spec: AttachSpec;
  readonly #fd: OwnedFd;

  constructor(spec: AttachSpec, fd: OwnedFd) {
    this.#spec = spec;
    this.#fd = fd;
    this.ifindex = spec.ifindex;
    this.direction = spec.direction;
  }

  programId(): number {
    return linkInfo(this.#fd.number, label(this.#spec)).programId;
  }

  update(program: Program): void {
    const { fd, label: name } = asKernelProgram(program);
    checked(bpf_link_update(this.#fd.number, fd, null), `replace with ${name} on`, label(this.#spec));
  }

  detach(): void {
    detachLink(this.#fd, label(this.#spec));
    unpin(this.#spec.pinPath);
    this.close();
  }

  close(): void {
    this.#fd.close();
  }
}

function create(spec: AttachSpec, program: Program): Attachment {
  const { fd: programFd, label: name } = asKernelProgram(program);
  const object = label(spec);
  const result = bpf_link_create(programFd, spec.ifindex, ATTACH_TYPES[spec.direction], null);
  const fd = new OwnedFd(checked(result, `attach ${name} to`, object), object);
  try {
    checked(bpf_obj_pin(fd.number, spec.pinPath), "pin link of", `${object} at ${spec.pinPath}`);
    return new TcxAttachment(spec, fd);
  } catch (error) {
    // Closing the last reference detaches: a failed attach leaves nothing behind.
    fd.close();
    throw error;
  }
}

/**
 * `fits`: the link is alive and on this spec's interface and direction. A link whose interface was deleted
 * stays pinned with ifindex 0 and can never be attached again.
 */
function openPin(spec: AttachSpec): { readonly fd: OwnedFd; readonly fits: boolean } | undefined {
  const object = `link pinned at ${spec.pinPath}`;
  const result = bpf_obj_get(spec.pinPath);
  if (result === -ENOENT) return undefined;
  const fd = new OwnedFd(checked(result, "open", object), object);
  try {
    requireKind(fd.number, "link", spec.pinPath);
    return { fd, fits: fitsSpec(linkInfo(fd.number, object), spec) };
  } catch (error) {
    fd.close();
    throw error;
  }
}

function fitsSpec(info: LinkInfo, spec: AttachSpec): boolean {
  return (
    info.type === BPF_LINK_TYPE_TCX &&
    info.ifindex === spec.ifindex &&
    info.attachType === ATTACH_TYPES[spec.direction]
  );
}

function detachLink(fd: OwnedFd, object: string): void {
  const result = bpf_link_detach(fd.number);
  // ENOLINK: the interface went first and took the attachment with it.
  if (result !== -ENOLINK) checked(result, "detach from", object);
}

function unpin(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw DatapathError.from(error, "unpin", path);
  }
}

function label(spec: AttachSpec): string {
  return `TCX ${spec.direction} of interface ${spec.ifindex}`;
}
