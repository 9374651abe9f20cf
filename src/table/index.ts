export { Database } from "./database.ts";
export { type Derivation, type DeriveOptions, derive } from "./derive.ts";
export * from "./errors.ts";
export { Reconciler } from "./reconciler/reconciler.ts";
export type * from "./reconciler/types.ts";
export type * from "./types.ts";
