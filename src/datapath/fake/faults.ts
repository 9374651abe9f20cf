import type { BpfOps, NetOps, RawMap } from "../types.ts";
import { type ErrnoName, failure } from "./errno.ts";

/** Calls that can be made to fail: methods of the datapath's interfaces by name. */
export type FaultOperation =
  | keyof BpfOps
  | keyof NetOps
  | keyof Pick<
      RawMap,
      "update" | "lookup" | "delete" | "updateBatch" | "deleteBatch" | "keys" | "entries" | "pin"
    >
  | "compile"
  | "openNamespace";

export interface FaultOptions {
  /** How many calls fail; 1 unless told. */
  readonly times?: number;
  /** Only calls on objects (map, program, path, interface) whose name contains this. */
  readonly object?: string;
}

interface Fault {
  readonly cause: ErrnoName | Error;
  readonly object: string | undefined;
  left: number;
}

/** Failures to come. */
export class Faults {
  readonly #faults = new Map<FaultOperation, Fault[]>();

  /** Makes the next calls fail, with an errno or with an error of one's own, such as a VerifierError. */
  failNext(operation: FaultOperation, cause: ErrnoName | Error, options: FaultOptions = {}): void {
    const fault: Fault = { cause, object: options.object, left: options.times ?? 1 };
    this.#faults.set(operation, [...(this.#faults.get(operation) ?? []), fault]);
  }

  /** Called by every operation before it does anything. @throws the failure that was asked for */
  check(operation: FaultOperation, object: string): void {
    const faults = this.#faults.get(operation);
    const fault = faults?.find((f) => f.object === undefined || object.includes(f.object));
    if (faults === undefined || fault === undefined) return;
    fault.left--;
    if (fault.left <= 0) {
      this.#faults.set(
        operation,
        faults.filter((f) => f !== fault),
      );
    }
    throw fault.cause instanceof Error ? fault.cause : failure(operation, object, fault.cause, "injected");
  }

  /** Forgets all failures that have not happened. */
  clear(): void {
    this.#faults.clear();
  }
}
