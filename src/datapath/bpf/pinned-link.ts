/** BPF links that stay when the agent goes: made, found again and ended by the path of their pin. */
import { unlinkSync } from "node:fs";
import { constants } from "node:os";
import { DatapathError } from "../errors.ts";
import type { Closeable, Program } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { requireKind } from "./fd-kind.ts";
import { callAsync } from "./ffi/async.ts";
import { bpf_obj_get, bpf_obj_pin } from "./ffi/common.ts";
import { bpf_link_create, bpf_link_detach, bpf_link_update } from "./ffi/link.ts";
import { type LinkInfo, linkInfo } from "./object-info.ts";
import { asKernelProgram } from "./program.ts";

const { ENOENT, ENOLINK } = constants.errno;

/** Where a link belongs. */
export interface LinkPlace {
  readonly pinPath: string;
  /** How errors name the place: "TCX ingress of interface 3". */
  readonly label: string;
  /** `enum bpf_attach_type`. */
  readonly attachType: number;
  /** False for a link that is somewhere else, or whose target is gone: such a link can never be attached again. */
  fits(info: LinkInfo): boolean;
  /** Calls `use` with what `bpf_link_create` takes as its target: an ifindex, or a descriptor open meanwhile. */
  withTarget<T>(use: (target: number) => T): T;
}

/** A link, by its descriptor. */
export class PinnedLink implements Closeable {
  readonly #place: LinkPlace;
  readonly #fd: OwnedFd;

  private constructor(place: LinkPlace, fd: OwnedFd) {
    this.#place = place;
    this.#fd = fd;
  }

  /** Attaches, or replaces the program of the link pinned for this place. @throws DatapathError */
  static attach(place: LinkPlace, program: Program): PinnedLink {
    const { link, fits } = PinnedLink.#former(place);
    if (link !== undefined && fits) return link.#updated(program);
    // The pin is of what is gone or elsewhere: the new link takes its place.
    link?.detach();
    const { fd, label: name } = asKernelProgram(program);
    const { attachType, label } = place;
    const result = place.withTarget((target) => bpf_link_create(fd, target, attachType, null));
    return PinnedLink.#pin(place, checked(result, `attach ${name} to`, label));
  }

  /**
   * As `attach`, with what the kernel waits for done on a worker thread.
   * @param target what `bpf_link_create` takes; to be kept open, where it is a descriptor, until this settles
   * @throws DatapathError
   */
  static async attachAside(place: LinkPlace, target: number, program: Program): Promise<PinnedLink> {
    const { link, fits } = PinnedLink.#former(place);
    if (link !== undefined && fits) return link.#updated(program);
    await link?.detachAside();
    const { fd, label: name } = asKernelProgram(program);
    const { attachType, label } = place;
    // The program may be let go of meanwhile.
    const held = OwnedFd.duplicate(fd, name);
    try {
      const result = await callAsync(bpf_link_create, held.number, target, attachType, null);
      return PinnedLink.#pin(place, checked(result, `attach ${name} to`, label));
    } finally {
      held.close();
    }
  }

  /** The link pinned for this place; undefined when there is none or its target is gone. @throws DatapathError */
  static open(place: LinkPlace): PinnedLink | undefined {
    const pinned = openPin(place);
    if (pinned === undefined) return undefined;
    if (pinned.fits) return new PinnedLink(place, pinned.fd);
    pinned.fd.close();
    return undefined;
  }

  static #former(place: LinkPlace): { readonly link: PinnedLink | undefined; readonly fits: boolean } {
    const pinned = openPin(place);
    if (pinned === undefined) return { link: undefined, fits: false };
    return { link: new PinnedLink(place, pinned.fd), fits: pinned.fits };
  }

  /** Takes over the descriptor of a new link, whatever comes of it. */
  static #pin(place: LinkPlace, linkFd: number): PinnedLink {
    const { label, pinPath } = place;
    const fd = new OwnedFd(linkFd, label);
    try {
      checked(bpf_obj_pin(fd.number, pinPath), "pin link of", `${label} at ${pinPath}`);
      return new PinnedLink(place, fd);
    } catch (error) {
      // Closing the last reference detaches: a failed attach leaves nothing behind.
      fd.close();
      throw error;
    }
  }

  #updated(program: Program): PinnedLink {
    try {
      this.update(program);
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  programId(): number {
    return linkInfo(this.#fd.number, this.#place.label).programId;
  }

  update(program: Program): void {
    const { fd, label: name } = asKernelProgram(program);
    checked(bpf_link_update(this.#fd.number, fd, null), `replace with ${name} on`, this.#place.label);
  }

  /** Ends the link, pin and handle included. @throws DatapathError */
  detach(): void {
    try {
      this.#ended(bpf_link_detach(this.#fd.number));
    } finally {
      this.close();
    }
  }

  /** As `detach`, with what the kernel waits for done on a worker thread. @throws DatapathError */
  async detachAside(): Promise<void> {
    try {
      this.#ended(await callAsync(bpf_link_detach, this.#fd.number));
    } finally {
      this.close();
    }
  }

  #ended(result: number): void {
    const { label, pinPath } = this.#place;
    // ENOLINK: the target went first and took the attachment with it.
    if (result !== -ENOLINK) checked(result, "detach from", label);
    unpin(pinPath);
  }

  close(): void {
    this.#fd.close();
  }
}

function openPin(place: LinkPlace): { readonly fd: OwnedFd; readonly fits: boolean } | undefined {
  const object = `link pinned at ${place.pinPath}`;
  const result = bpf_obj_get(place.pinPath);
  if (result === -ENOENT) return undefined;
  const fd = new OwnedFd(checked(result, "open", object), object);
  try {
    requireKind(fd.number, "link", place.pinPath);
    return { fd, fits: place.fits(linkInfo(fd.number, object)) };
  } catch (error) {
    fd.close();
    throw error;
  }
}

function unpin(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw DatapathError.from(error, "unpin", path);
  }
}
