import { DatapathError } from "../errors.ts";
import type { Program, ProgramInfo, TestRunResult } from "../types.ts";
import { failure } from "./errno.ts";
import { Handle, type Handles } from "./handles.ts";
import type { FakeKernel } from "./kernel.ts";
import type { ProgramObject } from "./objects.ts";

/** An open program of a fake kernel. */
export class FakeProgram implements Program {
  readonly id: number;
  readonly name: string;
  readonly #kernel: FakeKernel;
  readonly #handle: Handle<ProgramObject>;

  constructor(kernel: FakeKernel, handles: Handles, program: ProgramObject) {
    this.#kernel = kernel;
    this.id = program.id;
    this.name = program.source.name;
    program.hold();
    this.#handle = new Handle(program, `program ${this.name}`, handles, (target) => target.release());
  }

  /** @throws DatapathError after `close` */
  get object(): ProgramObject {
    return this.#handle.target;
  }

  info(): ProgramInfo {
    return this.object.info();
  }

  pin(path: string): void {
    this.#kernel.faults.check("pin", path);
    this.#kernel.pins.add(path, { kind: "program", object: this.object });
  }

  /** Always fails: no packet ever passes a fake datapath. */
  testRun(): TestRunResult {
    throw failure(
      "test run",
      `program ${this.name}`,
      "EOPNOTSUPP",
      "programs of the fake datapath never run",
    );
  }

  close(): void {
    this.#handle.close();
  }
}

/** @throws DatapathError for a program of another datapath */
export function asFakeProgram(program: Program): FakeProgram {
  if (program instanceof FakeProgram) return program;
  throw new DatapathError({
    operation: "use",
    object: `program ${program.name}`,
    detail: "it is not of a fake datapath",
    status: "INVALID_ARGUMENT",
  });
}
