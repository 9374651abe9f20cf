// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The hook points, and the slot of the `cilium_calls` program array in which each begins.
 *
 * A hook point is an arrow between two stages. The stage before it always tail-calls the slot given
 * here; the agent puts there either the stage that follows or the first program of a plugin chain.
 * Names and numbers are a contract with the agent and with plugins: add, never renumber.
 */
#ifndef __WAGGLE_HOOKS_H
#define __WAGGLE_HOOKS_H

/* Hooks of a pod's device: its own cilium_calls array, filled from bpf_lxc.c. */
#define WAGGLE_SLOT_from_container_pre_service_v4 16
#define WAGGLE_SLOT_from_container_pre_ct_v4 17
#define WAGGLE_SLOT_from_container_pre_policy_v4 18
#define WAGGLE_SLOT_from_container_pre_forward_v4 19
#define WAGGLE_SLOT_to_container_pre_ct_v4 20
#define WAGGLE_SLOT_to_container_pre_policy_v4 21
#define WAGGLE_SLOT_to_container_pre_deliver_v4 22
#define WAGGLE_SLOT_from_container_pre_service_v6 48
#define WAGGLE_SLOT_from_container_pre_ct_v6 49
#define WAGGLE_SLOT_from_container_pre_policy_v6 50
#define WAGGLE_SLOT_from_container_pre_forward_v6 51
#define WAGGLE_SLOT_to_container_pre_ct_v6 52
#define WAGGLE_SLOT_to_container_pre_policy_v6 53
#define WAGGLE_SLOT_to_container_pre_deliver_v6 54

/* Hooks of node devices and of cilium_host: their own cilium_calls arrays, filled from bpf_host.c. */
#define WAGGLE_SLOT_from_netdev_v4 16
#define WAGGLE_SLOT_to_netdev_v4 17
#define WAGGLE_SLOT_from_host_v4 18
#define WAGGLE_SLOT_to_host_v4 19
#define WAGGLE_SLOT_from_netdev_v6 48
#define WAGGLE_SLOT_to_netdev_v6 49
#define WAGGLE_SLOT_from_host_v6 50
#define WAGGLE_SLOT_to_host_v6 51

/* Hooks of the tunnel to other nodes: its own cilium_calls array, filled from bpf_overlay.c. */
#define WAGGLE_SLOT_from_overlay_v4 16
#define WAGGLE_SLOT_to_overlay_v4 17
#define WAGGLE_SLOT_from_overlay_v6 48
#define WAGGLE_SLOT_to_overlay_v6 49

/*
 * One line a hook point: lets HOOK() recognise its name while compiling. `~, 1` is two arguments, so
 * that WAGGLE_IS_HOOK_POINT() picks the 1; any other word expands to one argument and picks the 0.
 */
#define WAGGLE_HOOK_POINT_from_container_pre_service_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_service_v6 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_ct_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_ct_v6 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_policy_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_policy_v6 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_forward_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_container_pre_forward_v6 ~, 1
#define WAGGLE_HOOK_POINT_to_container_pre_ct_v4 ~, 1
#define WAGGLE_HOOK_POINT_to_container_pre_ct_v6 ~, 1
#define WAGGLE_HOOK_POINT_to_container_pre_policy_v4 ~, 1
#define WAGGLE_HOOK_POINT_to_container_pre_policy_v6 ~, 1
#define WAGGLE_HOOK_POINT_to_container_pre_deliver_v4 ~, 1
#define WAGGLE_HOOK_POINT_to_container_pre_deliver_v6 ~, 1
#define WAGGLE_HOOK_POINT_from_netdev_v4 ~, 1
#define WAGGLE_HOOK_POINT_to_netdev_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_host_v4 ~, 1
#define WAGGLE_HOOK_POINT_to_host_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_overlay_v4 ~, 1
#define WAGGLE_HOOK_POINT_to_overlay_v4 ~, 1
#define WAGGLE_HOOK_POINT_from_netdev_v6 ~, 1
#define WAGGLE_HOOK_POINT_to_netdev_v6 ~, 1
#define WAGGLE_HOOK_POINT_from_host_v6 ~, 1
#define WAGGLE_HOOK_POINT_to_host_v6 ~, 1
#define WAGGLE_HOOK_POINT_from_overlay_v6 ~, 1
#define WAGGLE_HOOK_POINT_to_overlay_v6 ~, 1

#define WAGGLE_SECOND(a, b, ...) b
#define WAGGLE_PROBE(...) WAGGLE_SECOND(__VA_ARGS__, 0, 0)
#define WAGGLE_IS_HOOK_POINT(name) WAGGLE_PROBE(WAGGLE_HOOK_POINT_##name)

#endif
