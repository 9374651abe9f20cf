import { token } from "../../hive/index.ts";
import type { NodeNetwork } from "./types.ts";

/** The node's network facts; complete once the node-config cell has started. */
export const NodeNetworking = token<NodeNetwork>("NodeNetworking");
