import type { AttachMode, Attachment, AttachSpec, Direction, Program } from "../types.ts";
import { Handle, type Handles } from "./handles.ts";
import type { FakeKernel } from "./kernel.ts";
import { InterfaceLink } from "./objects.ts";
import { asFakeProgram } from "./program.ts";

class FakeAttachment implements Attachment {
  readonly mode: AttachMode;
  readonly ifindex: number;
  readonly direction: Direction;
  readonly #kernel: FakeKernel;
  readonly #pinPath: string;
  readonly #handle: Handle<InterfaceLink>;

  constructor(kernel: FakeKernel, handles: Handles, link: InterfaceLink, spec: AttachSpec) {
    this.#kernel = kernel;
    this.mode = spec.mode;
    this.ifindex = spec.ifindex;
    this.direction = spec.direction;
    this.#pinPath = spec.pinPath;
    link.hold();
    const label = `${spec.mode} ${spec.direction} of interface ${spec.ifindex}`;
    this.#handle = new Handle(link, label, handles, (target) => target.release());
  }

  programId(): number {
    return this.#handle.target.program.id;
  }

  update(program: Program): void {
    this.#handle.target.replace(asFakeProgram(program).object);
  }

  detach(): void {
    const link = this.#handle.target;
    if (this.mode === "tcx") this.#kernel.pins.remove(this.#pinPath, false);
    // A filter that is still on its interface is held by it.
    else if (link.ifindex !== 0) link.release();
    link.ifindex = 0;
    this.close();
  }

  close(): void {
    this.#handle.close();
  }
}

/** Attaches, or replaces what this spec attached before. @throws DatapathError ENODEV and what pinning gives */
export function attach(kernel: FakeKernel, handles: Handles, spec: AttachSpec, program: Program): Attachment {
  kernel.faults.check("attach", `${spec.direction} of interface ${spec.ifindex}`);
  const { object } = asFakeProgram(program);
  const existing = find(kernel, spec);
  if (existing !== undefined) {
    existing.replace(object);
    return new FakeAttachment(kernel, handles, existing, spec);
  }
  const link = kernel.createLink(spec, object);
  if (spec.mode === "clsact") {
    link.hold();
    return new FakeAttachment(kernel, handles, link, spec);
  }
  // The pin may be of an interface that is gone.
  if (kernel.pins.get(spec.pinPath)?.kind === "link") kernel.pins.remove(spec.pinPath, false);
  const attachment = new FakeAttachment(kernel, handles, link, spec);
  try {
    kernel.pins.add(spec.pinPath, { kind: "link", object: link });
    return attachment;
  } catch (error) {
    attachment.close();
    throw error;
  }
}

/** What `attach` made earlier with this spec, if its interface is still there. */
export function openAttachment(
  kernel: FakeKernel,
  handles: Handles,
  spec: AttachSpec,
): Attachment | undefined {
  const link = find(kernel, spec);
  return link === undefined ? undefined : new FakeAttachment(kernel, handles, link, spec);
}

function find(kernel: FakeKernel, spec: AttachSpec): InterfaceLink | undefined {
  if (spec.mode === "clsact") return kernel.filterAt(spec.ifindex, spec.direction);
  const pinned = kernel.pins.get(spec.pinPath);
  if (pinned?.kind !== "link") return undefined;
  const { object } = pinned;
  if (!(object instanceof InterfaceLink)) return undefined;
  return object.ifindex === spec.ifindex && object.direction === spec.direction ? object : undefined;
}
