// Names and sizes that the sources in bpf/, plugins and the agent have in common.

/** Tail calls the kernel allows in one run (MAX_TAIL_CALL_CNT, include/linux/bpf.h). */
export const MAX_TAIL_CALLS = 33;

/** PROG_ARRAY of stages and hook points, one for each set of programs. */
export const CALLS_MAP = "cilium_calls";

/** Slots of `cilium_calls`. */
export const CALLS_SLOTS = 64;

/** What is IPv6 stands in `cilium_calls` this many slots behind its twin of IPv4. */
export const FAMILY_SLOTS = 32;

/** First slot of a family's part that is a hook point. */
export const FIRST_HOOK_SLOT = 16;

/** PROG_ARRAY through which the programs of node devices and of the tunnel reach those of pods. */
export const CALL_POLICY_MAP = "waggle_call_policy";

/** Slot of `waggle_call_policy` for POLICY_PROGRAM; the only one. */
export const CALL_POLICY_SLOT = 0;

/** The program of bpf_lxc.c that takes packets for any pod: the state names the endpoint. */
export const POLICY_PROGRAM = "cil_lxc_policy";

/** Slots of a plugin's `wg_chain_<hook>` PROG_ARRAY: two halves, each more than a budget of MAX_TAIL_CALLS can use. */
export const CHAIN_SLOTS = 128;

/** Name prefix of the PROG_ARRAY that `HOOK()` declares for the next element of a chain. */
export const CHAIN_MAP_PREFIX = "wg_chain_";

/** Name prefix of the constant that holds the index of the next element of a chain. */
export const CHAIN_POSITION_PREFIX = "cfg_pos_";

/**
 * First slot of a chain's upper half, which holds the same as the lower one: who goes on there only reads packets, and
 * those behind it need not read them anew.
 */
export const CHAIN_READERS = 64;

/**
 * Name prefix of the constant that holds a hook program's rank: its place within each attachment's block of
 * `waggle_hook_stats`, the same at all attachments.
 */
export const HOOK_STATS_PREFIX = "cfg_slot_";

/**
 * Word of a packet's control block (`ctx->cb`) in which the stages note whose headers they have read. HOOK() clears it;
 * plugins must not store to it.
 */
export const PARSED_WORD = 3;

/** Word of the control block that says where the packet's counters of plugins begin; plugins must not store to it. */
export const HOOK_STATS_WORD = 4;

/** Records of `waggle_hook_stats` that an attachment has: as many hook programs can stand at an attachment. */
export const STATS_BLOCK = 64;

/**
 * Constant of bpf_host.c and bpf_overlay.c: first record of the attachment's block. Pods have theirs in
 * `waggle_endpoints`.
 */
export const STATS_BASE = "cfg_stats_base";

/** Name prefix of constants declared with PLUGIN_CONFIG. */
export const PLUGIN_CONFIG_PREFIX = "plugin_cfg_";

/** Map name prefixes that plugins may not use for maps of their own. */
export const RESERVED_MAP_PREFIXES = ["wg_", "cilium_", "waggle_"] as const;
