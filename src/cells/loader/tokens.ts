import { token } from "../../hive/index.ts";
import type { Loader } from "./types.ts";

/** Loads and attaches the core's programs. */
export const Loading = token<Loader>("Loading");
