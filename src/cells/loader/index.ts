export { LoaderConfig, loaderCell } from "./cell.ts";
export { Loading } from "./tokens.ts";
export type * from "./types.ts";
