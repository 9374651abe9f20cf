import { token } from "../../hive/index.ts";
import type { HookLinker } from "./types.ts";

/** Links plugins into running datapaths. */
export const HookLinking = token<HookLinker>("HookLinking");
