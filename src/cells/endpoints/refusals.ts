import { DatapathError } from "../../datapath/index.ts";
import { failedPrecondition, RefusalError } from "../errors.ts";

/** Failures of the kernel as refusals, with the object they concern; anything unexpected passes as it is. */
export function asRefusal(error: unknown, what: string): Error {
  if (error instanceof RefusalError) return error;
  if (error instanceof DatapathError) return failedPrecondition(`${what}: ${error.message}`, error);
  return error instanceof Error ? error : new Error(`${what}: ${String(error)}`);
}
