/** Maglev's lookup tables (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016). */
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { struct, u16, u32Array } from "./layout.ts";

/** Entries of a table: a prime, a hundred times and more the number of backends it spreads evenly over. */
export const MAGLEV_TABLE_SIZE = 4093;

/** Value of `waggle_lb_maglev`. */
export interface MaglevTable {
  /** MAGLEV_TABLE_SIZE backend ids. */
  readonly backends: Uint32Array;
}

/**
 * Reverse-NAT index of a frontend to its table. One value holds the whole table, so replacing it is atomic and a
 * packet needs one lookup. The agent writes; bpf_lxc, bpf_host and bpf_sock read.
 */
export const lbMaglevMap = defineMap<number, MaglevTable>({
  name: "waggle_lb_maglev",
  type: MapType.hash,
  maxEntries: 65536,
  flags: 1,
  key: u16,
  value: struct("lb_maglev", { backends: u32Array(MAGLEV_TABLE_SIZE) }),
  formatKey: String,
  formatValue: ({ backends }) => {
    const shares = new Map<number, number>();
    for (const id of backends) shares.set(id, (shares.get(id) ?? 0) + 1);
    return [...shares].map(([id, share]) => `${id}:${share}`).join(" ");
  },
});
