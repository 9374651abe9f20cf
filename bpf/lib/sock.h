// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Services at the socket: a destination becomes a backend before there is a packet, and what comes back is shown
 * as what was asked for. Once for each family (family_v4.h).
 */
#include "hash.h"
#include "lb_select.h"
#include "sock_maps.h"

/* The other end of a socket, as on the wire. */
struct F(sock_peer) {
	F(addr) address;
	__be16 port;
};

/* The service that a socket asks for, or NULL. A NodePort is every node's, and the node's own loopback's. */
static __always_inline const struct F(lb_service) *F(sock_service)(const struct F(sock_peer) *peer,
								   __u8 protocol, struct F(lb_key) *key)
{
	const struct F(lb_service) *svc = F(lb_find)(key, peer->address, peer->port, protocol);
	__u32 identity;

	if (svc || !lb_is_nodeport(peer->port))
		return svc;
	if (!F(is_loopback)(peer->address)) {
		identity = F(identity_of)(peer->address);
		if (identity != IDENTITY_HOST && identity != IDENTITY_REMOTE_NODE)
			return (void *)0;
	}
	return F(lb_find)(key, F(node_ip)(), peer->port, protocol);
}

/*
 * A backend for a socket. Every socket has a cookie of its own, which stands for the source that is not bound yet:
 * datagrams that one socket sends to a service go to one backend as long as its backends are the same.
 */
static __always_inline const struct F(lb_backend) *F(sock_backend)(const struct F(lb_service) *svc,
								   struct F(lb_key) *key, __u64 cookie,
								   struct lb_choice *choice)
{
	struct F(lb_affinity_key) client = {.client.netns_cookie = cfg_netns_cookie, .by_cookie = 1};
	__u32 hash = (__u32)(hash_mix(0, cookie) >> 32);

	return F(lb_choose)(svc, key, &client, hash, hash, clock_s(), choice);
}

/* Remembers what a socket asked for when it was led to `backend`. 0 or -ENOMEM. */
static __always_inline int F(sock_remember)(__u64 cookie, const struct F(sock_peer) *backend,
					    const struct F(sock_peer) *asked, __u16 rev_nat_index)
{
	struct F(lb_reverse_sk_key) key = {
		.cookie = cookie,
		.address = backend->address,
		.port = backend->port,
	};
	struct F(lb_reverse_sk) value = {
		.address = asked->address,
		.port = asked->port,
		.rev_nat_index = rev_nat_index,
	};
	const struct F(lb_reverse_sk) *known = bpf_map_lookup_elem(&F(lb_reverse_sk_map), &key);

	/* A socket sends many datagrams: reading is cheaper than writing the same again. */
	if (known && known->port == value.port && known->rev_nat_index == value.rev_nat_index &&
	    F(addr_equal)(known->address, value.address))
		return 0;
	return bpf_map_update_elem(&F(lb_reverse_sk_map), &key, &value, BPF_ANY) ? -ENOMEM : 0;
}

/*
 * Leads a socket that asks for a service to a backend: `peer` becomes the backend. SOCK_PASS when it is no service,
 * SOCK_CHANGED, or a negative error number for the caller of connect() or sendto(): -ECONNREFUSED as from a host
 * that has nobody listening, when the service has no backend.
 */
static __always_inline int F(sock_forward)(struct bpf_sock_addr *ctx, struct F(sock_peer) *peer)
{
	struct F(sock_peer) asked = *peer;
	const struct F(lb_backend) *backend;
	const struct F(lb_service) *svc;
	struct lb_choice choice = {};
	struct F(lb_key) key;
	__u64 cookie;

	svc = F(sock_service)(peer, ctx->protocol, &key);
	if (!svc)
		return SOCK_PASS;
	cookie = bpf_get_socket_cookie(ctx);
	backend = F(sock_backend)(svc, &key, cookie, &choice);
	if (!backend)
		return -ECONNREFUSED;
	peer->address = backend->address;
	peer->port = backend->port;
	return F(sock_remember)(cookie, peer, &asked, svc->rev_nat_index) ?: SOCK_CHANGED;
}

/* What a socket asked for when it was led to `peer`; SOCK_CHANGED with `peer` set to it, or SOCK_PASS. */
static __always_inline int F(sock_reverse)(struct bpf_sock_addr *ctx, struct F(sock_peer) *peer)
{
	struct F(lb_reverse_sk_key) key = {
		.cookie = bpf_get_socket_cookie(ctx),
		.address = peer->address,
		.port = peer->port,
	};
	const struct F(lb_reverse_sk) *asked = bpf_map_lookup_elem(&F(lb_reverse_sk_map), &key);

	if (!asked)
		return SOCK_PASS;
	peer->address = asked->address;
	peer->port = asked->port;
	return SOCK_CHANGED;
}
