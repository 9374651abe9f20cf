/** What programs are told of the tunnel to other nodes (bpf/lib/tunnel_control.h). */
import { MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { struct, u32, u64 } from "./layout.ts";

/** The one entry of waggle_tunnel. Times are nanoseconds of CLOCK_MONOTONIC; 0: never. */
export interface TunnelControl {
  /** Until then programs of pods may put packets into the tunnel by themselves, past its device. */
  readonly transmitUntilNs: bigint;
  /** Until then programs of network devices may take packets for pods out of it by themselves. */
  readonly receiveUntilNs: bigint;
}

/** The agent writes, programs of pods and of network devices read. */
export const tunnelMap = defineMap<number, TunnelControl>({
  name: "waggle_tunnel",
  type: MapType.array,
  maxEntries: 1,
  key: u32,
  value: struct("tunnel_control", { transmitUntilNs: u64, receiveUntilNs: u64 }),
  formatKey: String,
  formatValue: ({ transmitUntilNs, receiveUntilNs }) =>
    `transmit-until=${transmitUntilNs} ns receive-until=${receiveUntilNs} ns`,
});
