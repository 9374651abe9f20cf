export {
  attachmentEndpoint,
  attachmentKind,
  endpointAttachment,
  podPrograms,
  programsAt,
} from "./attachment-names.ts";
export { hookLinkerCell } from "./cell.ts";
export { CycleError } from "./order.ts";
export { HookLinking } from "./tokens.ts";
export type * from "./types.ts";
