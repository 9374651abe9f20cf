// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What a path between two network namespaces costs in processor time: one thread holds both ends of every connection,
 * so nobody is woken and nobody waits. Whatever is between a send and the matching receive runs within the send,
 * and is in the time of this thread alone, which other processes of the machine do not add to.
 *
 *	path_cost KIND COUNT CLIENT SERVER PORT ADDRESS ADDRESS-PORT
 *
 * KIND is "requests" (64 bytes and 64 bytes back over one TCP connection), "connections" (one for each such
 * request), "opens" (TCP connections that are opened, carry nothing and are reset), "bytes" (128 KiB over one TCP
 * connection) or "datagrams" (18 bytes of UDP). CLIENT and SERVER are files of namespaces; the server listens on PORT,
 * the client asks ADDRESS. Prints the nanoseconds of one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST 64
#define DATAGRAM 18
#define CHUNK (128 * 1024)

struct ends {
	const char *client; /* namespaces */
	const char *server;
	struct sockaddr_in asked; /* by the client */
	int listener;
	int from; /* the connection's, or the flow's */
	int to;
};

static char buffer[CHUNK];

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "path_cost: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(const char *namespace)
{
	int fd = open(namespace, O_RDONLY | O_CLOEXEC);

	need(fd >= 0 && !setns(fd, CLONE_NEWNET), namespace);
	close(fd);
}

static uint64_t processor_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* How often this thread has had to wait for somebody. */
static long waits(void)
{
	struct rusage usage;

	need(!getrusage(RUSAGE_THREAD, &usage), "getrusage");
	return usage.ru_nvcsw;
}

static void pass(int from, int to, size_t size)
{
	size_t seen = 0;
	ssize_t got;

	need(send(from, buffer, size, 0) == (ssize_t)size, "send");
	while (seen < size) {
		got = recv(to, buffer, size - seen, 0);
		need(got > 0, "receive");
		seen += (size_t)got;
	}
}

static void open_connection(struct ends *ends)
{
	ends->from = socket(AF_INET, SOCK_STREAM, 0);
	need(ends->from >= 0, "socket");
	need(!connect(ends->from, (struct sockaddr *)&ends->asked, sizeof(ends->asked)), "connect");
	ends->to = accept(ends->listener, NULL, NULL);
	need(ends->to >= 0, "accept");
}

static void request(struct ends *ends)
{
	pass(ends->from, ends->to, REQUEST);
	pass(ends->to, ends->from, REQUEST);
}

static void connection(struct ends *ends)
{
	open_connection(ends);
	request(ends);
	close(ends->to); /* as a server does that keeps no connections */
	need(recv(ends->from, buffer, 1, 0) == 0, "end of the connection");
	close(ends->from);
}

/* The reset ends both ends at once: no end waits in TIME_WAIT, so ports and memory do not run out. */
static void open_and_reset(struct ends *ends)
{
	struct linger at_once = {.l_onoff = 1};

	open_connection(ends);
	need(!setsockopt(ends->from, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), "SO_LINGER");
	close(ends->from);
	close(ends->to);
}

static void bytes(struct ends *ends)
{
	pass(ends->from, ends->to, CHUNK);
}

static void datagram(struct ends *ends)
{
	pass(ends->from, ends->to, DATAGRAM);
}

static const struct kind {
	const char *name;
	int type; /* SOCK_* */
	int stays; /* one connection or flow for all */
	void (*once)(struct ends *ends);
} kinds[] = {
	{"requests", SOCK_STREAM, 1, request},
	{"connections", SOCK_STREAM, 0, connection},
	{"opens", SOCK_STREAM, 0, open_and_reset},
	{"bytes", SOCK_STREAM, 1, bytes},
	{"datagrams", SOCK_DGRAM, 1, datagram},
};

static void set_up(struct ends *ends, const struct kind *kind, uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;

	enter(ends->server);
	ends->listener = socket(AF_INET, kind->type, 0);
	need(ends->listener >= 0, "socket");
	setsockopt(ends->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	need(!bind(ends->listener, (struct sockaddr *)&any, sizeof(any)), "bind");
	if (kind->type == SOCK_STREAM)
		need(!listen(ends->listener, 16), "listen");
	enter(ends->client);
	if (!kind->stays)
		return;
	if (kind->type == SOCK_DGRAM) {
		ends->to = ends->listener;
		ends->from = socket(AF_INET, SOCK_DGRAM, 0);
		need(ends->from >= 0, "socket");
		need(!connect(ends->from, (struct sockaddr *)&ends->asked, sizeof(ends->asked)), "connect");
		return;
	}
	open_connection(ends);
	setsockopt(ends->from, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(ends->to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int main(int argc, char **argv)
{
	const struct kind *kind = kinds, *end = kinds + sizeof(kinds) / sizeof(*kinds);
	struct ends ends = {.asked.sin_family = AF_INET};
	long count, waited;
	uint64_t started, spent;

	errno = EINVAL;
	need(argc == 8, "arguments");
	while (kind < end && strcmp(kind->name, argv[1]))
		kind++;
	count = atol(argv[2]);
	need(kind < end && count > 0 && count <= 10000000, "kind and count");
	ends.client = argv[3];
	ends.server = argv[4];
	need(inet_pton(AF_INET, argv[6], &ends.asked.sin_addr) == 1, argv[6]);
	ends.asked.sin_port = htons((uint16_t)atoi(argv[7]));
	set_up(&ends, kind, (uint16_t)atoi(argv[5]));
	for (long i = 0; i < count / 4; i++) /* warms up */
		kind->once(&ends);
	waited = waits();
	started = processor_ns();
	for (long i = 0; i < count; i++)
		kind->once(&ends);
	spent = processor_ns() - started;
	waited = waits() - waited;
	if (waited > count / 50) { /* a few are the scheduler's */
		fprintf(stderr, "path_cost: waited %ld times: others did part of the work\n", waited);
		return 1;
	}
	printf("%.1f\n", (double)spent / (double)count);
	return 0;
}
