// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The limit for filling cilium_ipcache from user space: as many prefixes as the argument says go into a map of its
 * layout by BPF_MAP_UPDATE_ELEM, one system call each. Prints the milliseconds that took. The map ends with the process.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <linux/bpf.h>

/* As struct ipcache_key and struct remote_endpoint_info: bpf/include/waggle/internal/ipcache.h. */
struct key {
	__u32 prefixlen;
	__u16 cluster_id;
	__u8 pad;
	__u8 family;
	__u8 ip[16];
};

struct value {
	__u32 sec_identity;
	__u8 tunnel_endpoint[16];
	__u16 pad;
	__u8 encrypt_key;
	__u8 flags;
};

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int create_map(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_LPM_TRIE;
	attr.key_size = sizeof(struct key);
	attr.value_size = sizeof(struct value);
	attr.max_entries = 512000;
	attr.map_flags = BPF_F_NO_PREALLOC;
	return bpf(BPF_MAP_CREATE, &attr);
}

static int update(int map, unsigned int number)
{
	struct key key = {.prefixlen = 64, .family = 1};
	struct value value = {.sec_identity = 256 + number % 5000};
	union bpf_attr attr;

	key.ip[0] = 10;
	key.ip[1] = number >> 16;
	key.ip[2] = number >> 8;
	key.ip[3] = number;
	value.tunnel_endpoint[0] = 172;
	value.tunnel_endpoint[1] = 16;
	value.tunnel_endpoint[2] = (number % 1000) >> 8;
	value.tunnel_endpoint[3] = number % 1000;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&value;
	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	int map = create_map();
	double started;

	if (map < 0) {
		fprintf(stderr, "BPF_MAP_CREATE: %s\n", strerror(errno));
		return 1;
	}
	started = now_ms();
	for (unsigned int number = 0; number < count; number++) {
		if (update(map, number)) {
			fprintf(stderr, "BPF_MAP_UPDATE_ELEM: %s\n", strerror(errno));
			return 1;
		}
	}
	printf("%.3f\n", now_ms() - started);
	return 0;
}
