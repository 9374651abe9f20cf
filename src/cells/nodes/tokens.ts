import { token } from "../../hive/index.ts";
import type { NodeList } from "./types.ts";

/** The nodes of the cluster; complete as far as known once the nodes cell has started. */
export const Nodes = token<NodeList>("Nodes");
