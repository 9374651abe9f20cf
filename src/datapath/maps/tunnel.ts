/** What programs are told of the tunnel to other nodes (bpf/lib/encap_direct.h). */
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { struct, u32, u64 } from "./layout.ts";

/** The one entry of waggle_tunnel. */
export interface TunnelControl {
  /**
   * Until then programs of pods may put packets into the tunnel by themselves, past its device: nanoseconds of
   * CLOCK_MONOTONIC. 0: never.
   */
  readonly directUntilNs: bigint;
}

/** The agent writes, programs of pods read. */
export const tunnelMap = defineMap<number, TunnelControl>({
  name: "waggle_tunnel",
  type: MapType.array,
  maxEntries: 1,
  key: u32,
  value: struct("tunnel_control", { directUntilNs: u64 }),
  formatKey: String,
  formatValue: ({ directUntilNs }) => `direct-until=${directUntilNs} ns`,
});
