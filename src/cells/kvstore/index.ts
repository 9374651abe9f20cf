export { SharedState } from "./tokens.ts";
export type * from "./types.ts";
