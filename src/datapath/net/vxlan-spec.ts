import { DatapathError } from "../errors.ts";
import type { VxlanSpec } from "../types.ts";
import { checkLinkName } from "./link-name.ts";

/** @throws DatapathError INVALID_ARGUMENT */
export function checkVxlanSpec(spec: VxlanSpec): void {
  checkLinkName("create VXLAN device", spec.name);
  if (Number.isInteger(spec.port) && spec.port > 0 && spec.port <= 0xffff) return;
  throw new DatapathError({
    operation: "create VXLAN device",
    object: spec.name,
    detail: `port ${spec.port} is not from 1 to 65535`,
    status: "INVALID_ARGUMENT",
  });
}
