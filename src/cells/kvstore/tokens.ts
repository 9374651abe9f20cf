import { token } from "../../hive/index.ts";
import type { SharedCollections } from "./types.ts";

/** Collections of rows that all nodes see. Open them in constructors; usable once the kvstore cell has started. */
export const SharedState = token<SharedCollections>("SharedState");
