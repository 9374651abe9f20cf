import { token } from "../../hive/index.ts";
import type { PluginRegistry } from "./types.ts";

/** Registers, enables and configures plugins. */
export const Plugins = token<PluginRegistry>("Plugins");
