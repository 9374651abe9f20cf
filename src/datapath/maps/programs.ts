import { CALL_POLICY_MAP, CALLS_MAP, CALLS_SLOTS, CHAIN_MAP_PREFIX, CHAIN_SLOTS } from "../pipeline.ts";
import { type MapSpec, MapType } from "../types.ts";
import { defineMap } from "./definition.ts";
import { u32 } from "./layout.ts";

/** The way into the pods' programs from those of other devices. Values read back are program ids. */
export const callPolicyMap = defineMap<number, number>({
  name: CALL_POLICY_MAP,
  type: MapType.progArray,
  maxEntries: 1,
  key: u32,
  value: u32,
  formatKey: String,
  formatValue: (id) => `program=${id}`,
});

/** Notifications, one ring for each CPU; `maxEntries` 0 stands for the number of possible CPUs. */
export const eventsMap = defineMap<number, number>({
  name: "cilium_events",
  type: MapType.perfEventArray,
  maxEntries: 0,
  key: u32,
  value: u32,
  formatKey: String,
  formatValue: String,
});

/** Stages and hook points of one set of programs. */
export const callsMapSpec: MapSpec = {
  name: CALLS_MAP,
  type: MapType.progArray,
  keySize: 4,
  valueSize: 4,
  maxEntries: CALLS_SLOTS,
};

/** The chain of one hook point of one set of programs: element i is the program after position i - 1. */
export function chainMapSpec(hook: string): MapSpec {
  return {
    name: `${CHAIN_MAP_PREFIX}${hook}`,
    type: MapType.progArray,
    keySize: 4,
    valueSize: 4,
    maxEntries: CHAIN_SLOTS,
  };
}
