import { type FieldViolation, invalidArgument } from "../../cells/errors.ts";

/** Collects what is wrong with a request, so that a caller learns of everything at once. */
export class Violations {
  readonly #found: FieldViolation[] = [];

  /** @param field path in the request, in the names of the proto: "spec.policy.rules[0].port" */
  add(field: string, description: string): void {
    this.#found.push({ field, description });
  }

  get empty(): boolean {
    return this.#found.length === 0;
  }

  /** @throws RefusalError INVALID_ARGUMENT with every violation, if there are any */
  throwIfAny(): void {
    if (this.#found.length > 0) throw invalidArgument(this.#found);
  }
}

/** Runs a reader of a request and refuses the request when it found anything wrong. */
export function validated<T>(read: (violations: Violations) => T): T {
  const violations = new Violations();
  const value = read(violations);
  violations.throwIfAny();
  return value;
}

/** A value as it appears in a message: quoted, and cut off where somebody sent a novel. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
}
