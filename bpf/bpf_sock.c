// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Services at the socket: programs of a control group, for sockets of the node's own network namespace.
 *
 *	connect(), sendto()            -> cil_sock?_connect, cil_sock?_sendmsg      service to backend
 *	recvfrom(), getpeername()      <- cil_sock?_recvmsg, cil_sock?_getpeername  backend to service
 *
 * Sockets of pods pass: bpf_lxc.c serves them. A socket of IPv6 may speak IPv4 through mapped addresses (RFC 4291,
 * 2.5.5.2), which are IPv4 to everything here.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include "config_sock.h"
#include "family_v4.h"
#include "sock.h"
#include "family_end.h"
#include "family_v6.h"
#include "sock.h"
#include "family_end.h"

/* What the programs return. */
#define REFUSE 0
#define ALLOW 1

/* First half, and first half of the second, of an IPv4 address mapped into IPv6. */
#define MAPPED_PREFIX bpf_htonl(0x0000ffff)

enum sock_way {
	SOCK_FORWARD,
	SOCK_REVERSE,
};

/* Is it a socket of the node itself? */
static __always_inline _Bool is_served(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == cfg_netns_cookie;
}

static __always_inline int sock_verdict(int ret)
{
	if (ret >= 0)
		return ALLOW;
	bpf_set_retval(ret);
	return REFUSE;
}

static __always_inline int sock_translate_v4(struct bpf_sock_addr *ctx, enum sock_way way)
{
	struct sock_peer_v4 peer = {.address = ctx->user_ip4, .port = (__be16)ctx->user_port};
	int ret;

	if (!is_served(ctx))
		return SOCK_PASS;
	ret = way == SOCK_FORWARD ? sock_forward_v4(ctx, &peer) : sock_reverse_v4(ctx, &peer);
	if (ret == SOCK_CHANGED) {
		ctx->user_ip4 = peer.address;
		ctx->user_port = peer.port;
	}
	return ret;
}

/* The address of a socket of IPv6 that speaks IPv4. */
static __always_inline int sock_translate_mapped(struct bpf_sock_addr *ctx, enum sock_way way)
{
	struct sock_peer_v4 peer = {.address = ctx->user_ip6[3], .port = (__be16)ctx->user_port};
	int ret = way == SOCK_FORWARD ? sock_forward_v4(ctx, &peer) : sock_reverse_v4(ctx, &peer);

	if (ret == SOCK_CHANGED) {
		ctx->user_ip6[3] = peer.address;
		ctx->user_port = peer.port;
	}
	return ret;
}

static __always_inline int sock_translate_v6(struct bpf_sock_addr *ctx, enum sock_way way)
{
	struct sock_peer_v6 peer = {.port = (__be16)ctx->user_port};
	__u32 *word = (__u32 *)&peer.address;
	int ret;

	if (!is_served(ctx))
		return SOCK_PASS;
	word[0] = ctx->user_ip6[0];
	word[1] = ctx->user_ip6[1];
	word[2] = ctx->user_ip6[2];
	word[3] = ctx->user_ip6[3];
	if (!word[0] && !word[1] && word[2] == MAPPED_PREFIX)
		return sock_translate_mapped(ctx, way);
	ret = way == SOCK_FORWARD ? sock_forward_v6(ctx, &peer) : sock_reverse_v6(ctx, &peer);
	if (ret == SOCK_CHANGED) {
		ctx->user_ip6[0] = word[0];
		ctx->user_ip6[1] = word[1];
		ctx->user_ip6[2] = word[2];
		ctx->user_ip6[3] = word[3];
		ctx->user_port = peer.port;
	}
	return ret;
}

/* connect(): TCP, and UDP sockets that keep one peer. */
SEC("cgroup/connect4")
int cil_sock4_connect(struct bpf_sock_addr *ctx)
{
	return sock_verdict(sock_translate_v4(ctx, SOCK_FORWARD));
}

SEC("cgroup/connect6")
int cil_sock6_connect(struct bpf_sock_addr *ctx)
{
	return sock_verdict(sock_translate_v6(ctx, SOCK_FORWARD));
}

/* sendto(), sendmsg() with an address: UDP. */
SEC("cgroup/sendmsg4")
int cil_sock4_sendmsg(struct bpf_sock_addr *ctx)
{
	return sock_verdict(sock_translate_v4(ctx, SOCK_FORWARD));
}

SEC("cgroup/sendmsg6")
int cil_sock6_sendmsg(struct bpf_sock_addr *ctx)
{
	return sock_verdict(sock_translate_v6(ctx, SOCK_FORWARD));
}

/* recvfrom(), recvmsg(): whom a datagram is from. The kernel takes no refusal here. */
SEC("cgroup/recvmsg4")
int cil_sock4_recvmsg(struct bpf_sock_addr *ctx)
{
	sock_translate_v4(ctx, SOCK_REVERSE);
	return ALLOW;
}

SEC("cgroup/recvmsg6")
int cil_sock6_recvmsg(struct bpf_sock_addr *ctx)
{
	sock_translate_v6(ctx, SOCK_REVERSE);
	return ALLOW;
}

/* getpeername(): whom a socket is connected to. The kernel takes no refusal here. */
SEC("cgroup/getpeername4")
int cil_sock4_getpeername(struct bpf_sock_addr *ctx)
{
	sock_translate_v4(ctx, SOCK_REVERSE);
	return ALLOW;
}

SEC("cgroup/getpeername6")
int cil_sock6_getpeername(struct bpf_sock_addr *ctx)
{
	sock_translate_v6(ctx, SOCK_REVERSE);
	return ALLOW;
}

char bpf_license[] SEC("license") = "Dual BSD/GPL";
