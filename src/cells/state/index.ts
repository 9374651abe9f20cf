export { State, StateConfig, stateCell } from "./cell.ts";
export * from "./errors.ts";
export { LmdbStateStore, stateVersion } from "./store.ts";
export type * from "./types.ts";
