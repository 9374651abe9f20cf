/**
 * Filters on a clsact qdisc, for kernels without TCX. One filter an interface and direction, at a fixed place,
 * so that a restarted agent finds and replaces its own.
 */
import { constants } from "node:os";
import { DatapathError } from "../errors.ts";
import type { Attachment, AttachSpec, Direction, Program } from "../types.ts";
import {
  BPF_TC_EGRESS,
  BPF_TC_F_REPLACE,
  BPF_TC_INGRESS,
  bpf_tc_attach,
  bpf_tc_detach,
  bpf_tc_hook_create,
  bpf_tc_hook_destroy,
  bpf_tc_query,
  tcHook,
  tcOpts,
  tcProgramId,
} from "./ffi/tc.ts";
import { withMessages } from "./messages.ts";
import { asKernelProgram } from "./program.ts";
import { hasTcFilters } from "./tc-filters.ts";

const ATTACH_POINTS: Readonly<Record<Direction, number>> = { ingress: BPF_TC_INGRESS, egress: BPF_TC_EGRESS };
/** First in line, before filters of others. */
const PLACE = { handle: 1, priority: 1 } as const;

const { EEXIST, ENOENT, ENODEV, EINVAL } = constants.errno;

/** Attaches, replacing the filter that is there. @throws DatapathError */
export function attachClsact(spec: AttachSpec, program: Program): Attachment {
  const hook = hookOf(spec);
  const created = withMessages(() => bpf_tc_hook_create(hook));
  if (created.result !== -EEXIST) require0(created, "create clsact qdisc for", spec);
  const attachment = new ClsactAttachment(spec);
  attachment.update(program);
  return attachment;
}

/** The filter at our place; undefined when there is none. @throws DatapathError */
export function openClsact(spec: AttachSpec): Attachment | undefined {
  return queryProgramId(spec) === undefined ? undefined : new ClsactAttachment(spec);
}

class ClsactAttachment implements Attachment {
  readonly mode = "clsact";
  readonly ifindex: number;
  readonly direction: Direction;
  readonly #spec: AttachSpec;

  constructor(spec: AttachSpec) {
    this.#spec = spec;
    this.ifindex = spec.ifindex;
    this.direction = spec.direction;
  }

  programId(): number {
    const id = queryProgramId(this.#spec);
    if (id !== undefined) return id;
    throw new DatapathError({ operation: "find filter on", object: label(this.#spec), errno: ENOENT });
  }

  update(program: Program): void {
    const { fd, label: name } = asKernelProgram(program);
    const options = tcOpts({ ...PLACE, programFd: fd, flags: BPF_TC_F_REPLACE });
    const attached = withMessages(() => bpf_tc_attach(hookOf(this.#spec), options));
    require0(attached, `attach ${name} to`, this.#spec);
  }

  detach(): void {
    const detached = withMessages(() => bpf_tc_detach(hookOf(this.#spec), tcOpts(PLACE)));
    if (isGone(detached.result)) return;
    require0(detached, "detach from", this.#spec);
    // The qdisc is shared with whoever else has filters on the interface: it goes with the last filter only.
    if (!hasTcFilters(this.#spec.ifindex)) destroyQdisc(this.#spec);
  }

  /** Nothing to close: the filter belongs to the interface. */
  close(): void {}
}

function queryProgramId(spec: AttachSpec): number | undefined {
  const options = tcOpts(PLACE);
  const queried = withMessages(() => bpf_tc_query(hookOf(spec), options));
  if (isGone(queried.result)) return undefined;
  require0(queried, "query", spec);
  return tcProgramId(options);
}

function destroyQdisc(spec: AttachSpec): void {
  // Both directions at once mean the qdisc itself.
  const hook = tcHook(spec.ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
  const destroyed = withMessages(() => bpf_tc_hook_destroy(hook));
  if (!isGone(destroyed.result)) require0(destroyed, "remove clsact qdisc of", spec);
}

/** No filter at the place, no qdisc (EINVAL from the kernel: "Parent Qdisc doesn't exists"), or no interface. */
function isGone(result: number): boolean {
  return result === -ENOENT || result === -EINVAL || result === -ENODEV;
}

function require0(
  call: { readonly result: number; readonly messages: readonly string[] },
  operation: string,
  spec: AttachSpec,
): void {
  if (call.result === 0) return;
  const detail = call.messages.join("; ");
  throw new DatapathError({ operation, object: label(spec), errno: -call.result, detail });
}

function hookOf(spec: AttachSpec): Buffer {
  return tcHook(spec.ifindex, ATTACH_POINTS[spec.direction]);
}

function label(spec: AttachSpec): string {
  return `clsact ${spec.direction} of interface ${spec.ifindex}`;
}
