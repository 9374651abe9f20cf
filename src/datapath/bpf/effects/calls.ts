/** Which functions of the kernel leave a packet as it is. */
import { Callee, type Instructions, Op } from "./instructions.ts";

/** `BPF_FUNC_tail_call`. */
const TAIL_CALL = 12;

/**
 * Helpers (numbers of `enum bpf_func_id`, include/uapi/linux/bpf.h) that change neither a packet's bytes nor its length,
 * and do not write to memory that may be the packet's. What is not in here counts as a change: a helper too few costs
 * a few nanoseconds, one too many would be a mistake. What writes to memory of the caller's is here only if the kernel takes
 * no packet pointers for it.
 */
const HARMLESS: ReadonlySet<number> = new Set([
  1, // map_lookup_elem
  2, // map_update_elem
  3, // map_delete_elem
  5, // ktime_get_ns
  6, // trace_printk
  7, // get_prandom_u32
  8, // get_smp_processor_id
  17, // get_cgroup_classid
  20, // skb_get_tunnel_key
  23, // redirect
  24, // get_route_realm
  25, // perf_event_output
  26, // skb_load_bytes
  28, // csum_diff
  29, // skb_get_tunnel_opt
  34, // get_hash_recalc: of the packet's descriptor, not of its bytes
  39, // skb_pull_data: the same bytes in other memory. Pointers become void, which no stage hands to another
  42, // get_numa_node_id
  46, // get_socket_cookie
  47, // get_socket_uid
  68, // skb_load_bytes_relative
  69, // fib_lookup
  79, // skb_cgroup_id
  83, // skb_ancestor_cgroup_id
  84, // sk_lookup_tcp
  85, // sk_lookup_udp
  86, // sk_release
  87, // map_push_elem
  93, // spin_lock
  94, // spin_unlock
  99, // skc_lookup_tcp
  118, // jiffies64
  122, // get_netns_cookie
  125, // ktime_get_boot_ns
  130, // ringbuf_output
  131, // ringbuf_reserve
  132, // ringbuf_submit
  133, // ringbuf_discard
  134, // ringbuf_query
  151, // skb_cgroup_classid
  152, // redirect_neigh
  153, // per_cpu_ptr
  154, // this_cpu_ptr
  155, // redirect_peer
  160, // ktime_get_coarse_ns
  164, // for_each_map_elem: what it calls is in the same program, and looked at with it
  177, // trace_vprintk
  181, // loop: as for_each_map_elem
  182, // strncmp
  195, // map_lookup_percpu_elem
  208, // ktime_get_tai_ns
]);

/**
 * Do all calls of the program, its subprograms included, leave packets as they are?
 * @param insns as the kernel gets them: subprograms appended, references resolved
 * @param tailCalls whether what the program can jump to is judged by itself
 */
export function callsAreHarmless(insns: Instructions, tailCalls: boolean): boolean {
  for (const index of insns.starts()) {
    if (insns.code(index) !== Op.call) continue;
    const callee = insns.src(index);
    if (callee === Callee.subprogram) continue;
    if (callee !== Callee.helper) return false;
    const helper = insns.imm(index);
    if (!HARMLESS.has(helper) && !(tailCalls && helper === TAIL_CALL)) return false;
  }
  return true;
}
