export { Identities, IdentityConfig, identityCell } from "./cell.ts";
export { canonicalLabels, includesLabels, labelViolations } from "./labels.ts";
export { reservedIdentity, reservedNames } from "./reserved.ts";
export * from "./types.ts";
