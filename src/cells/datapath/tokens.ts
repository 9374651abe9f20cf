import type { Datapath } from "../../datapath/index.ts";
import { group, token } from "../../hive/index.ts";
import type { ReconciledMap } from "./entry-states.ts";
import type { GlobalMaps, PodFamilies, Templates } from "./types.ts";

/** The kernel, or the fake of it. */
export const DatapathToken = token<Datapath>("Datapath");
/** Usable once the datapath cell has started. */
export const GlobalMapsToken = token<GlobalMaps>("GlobalMaps");
/** Usable once the datapath cell has started. */
export const TemplatesToken = token<Templates>("Templates");
/** Maps whose entries are made from tables. Contribute yours, and listings of it tell how its entries stand. */
export const ReconciledMaps = group<ReconciledMap>("reconciled-maps");
/** Which families pods have; where nobody provides it, both. */
export const PodFamiliesToken = token<PodFamilies>("PodFamilies");
