import { constants } from "node:os";
import { basename } from "node:path";
import { DatapathError } from "../errors.ts";
import type { Program, ProgramInfo, TestRunInput, TestRunResult } from "../types.ts";
import { checked } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { requireKind } from "./fd-kind.ts";
import { bpf_obj_get, bpf_obj_pin, bpf_prog_get_fd_by_id } from "./ffi/common.ts";
import { programId, programInfo } from "./object-info.ts";
import { testRun } from "./test-run.ts";

const { ENOENT } = constants.errno;
const KERNEL_NAME_BYTES = 15;

/** A loaded program of the kernel's, held by its descriptor. */
export class KernelProgram implements Program {
  readonly id: number;
  readonly name: string;
  /** How errors name it. */
  readonly label: string;
  readonly #fd: OwnedFd;

  /** Takes ownership of `fd`. @throws DatapathError */
  constructor(fd: OwnedFd, name: string) {
    this.#fd = fd;
    this.name = name;
    this.label = `program ${name}`;
    this.id = programId(fd.number, this.label);
  }

  /** The descriptor. @throws DatapathError when the program is closed */
  get fd(): number {
    return this.#fd.number;
  }

  info(): ProgramInfo {
    return programInfo(this.fd, this.label);
  }

  pin(path: string): void {
    checked(bpf_obj_pin(this.fd, path), "pin", `${this.label} at ${path}`);
  }

  testRun(input: TestRunInput): TestRunResult {
    return testRun(this.fd, this.label, input);
  }

  close(): void {
    this.#fd.close();
  }
}

/** The program pinned at `path`, or undefined when nothing is there. @throws DatapathError */
export function openPinnedProgram(path: string): KernelProgram | undefined {
  const object = `program pinned at ${path}`;
  const fd = bpf_obj_get(path);
  if (fd === -ENOENT) return undefined;
  const owned = new OwnedFd(checked(fd, "open", object), object);
  return closingOnFailure(owned, () => {
    requireKind(owned.number, "program", path);
    return new KernelProgram(owned, fullName(owned.number, basename(path)));
  });
}

/** The loaded program of this id, or undefined when there is none any more. @throws DatapathError */
export function programById(id: number): KernelProgram | undefined {
  const object = `program ${id}`;
  const fd = bpf_prog_get_fd_by_id(id);
  if (fd === -ENOENT) return undefined;
  const owned = new OwnedFd(checked(fd, "open", object), object);
  return closingOnFailure(owned, () => new KernelProgram(owned, programInfo(owned.number, object).name));
}

/** The kernel program behind the interface. @throws DatapathError for a program of another datapath (the fake's) */
export function asKernelProgram(program: Program): KernelProgram {
  if (program instanceof KernelProgram) return program;
  throw new DatapathError({
    operation: "use",
    object: `program ${program.name}`,
    detail: "it is not a kernel program",
    status: "INVALID_ARGUMENT",
  });
}

/** The kernel keeps 15 bytes of a name; the pin's name completes it when it begins the same way. */
function fullName(fd: number, pinName: string): string {
  const { name } = programInfo(fd, `program pinned as ${pinName}`);
  return name.length === KERNEL_NAME_BYTES && pinName.startsWith(name) ? pinName : name;
}

function closingOnFailure<T>(fd: OwnedFd, action: () => T): T {
  try {
    return action();
  } catch (error) {
    fd.close();
    throw error;
  }
}
