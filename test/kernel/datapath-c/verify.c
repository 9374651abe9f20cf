// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Loads BPF objects with their features off, on, and each one unlike all others, and prints what the verifier says:
 *
 *	program  instructions walked  stack bytes  (the most of all combinations)
 *
 * A feature is a one-byte constant of .rodata.config, or one of the tunnel's. Nothing is attached or pinned. See
 * verify.sh.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define MAX_FEATURES 16
#define MAX_PROGRAMS 64
#define LOG_SIZE (1 << 20)
#define LOG_LEVEL_STATS 4 /* BPF_LOG_STATS, kernel/bpf: include/linux/bpf_verifier.h */

struct figures {
	char name[64];
	unsigned int insns;
	unsigned int stack;
};

static struct figures figures[MAX_PROGRAMS];
static unsigned int programs;
static char logs[MAX_PROGRAMS][LOG_SIZE];

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static struct bpf_map *config_map(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
		if (strcmp(bpf_map__name(map), ".rodata.config") == 0)
			return map;
	return NULL;
}

static int is_feature(const struct btf *btf, const struct btf_var_secinfo *var)
{
	const char *name = btf__name_by_offset(btf, btf__type_by_id(btf, var->type)->name_off);

	return var->size == 1 || strncmp(name, "cfg_tunnel_", strlen("cfg_tunnel_")) == 0;
}

/* Offsets in .rodata.config of the constants that are features; how many. */
static unsigned int find_features(const struct bpf_object *object, unsigned int offsets[])
{
	const struct btf *btf = bpf_object__btf(object);
	int id = btf__find_by_name_kind(btf, ".rodata.config", BTF_KIND_DATASEC);
	unsigned int count = 0;

	if (id < 0)
		return 0;

	const struct btf_type *section = btf__type_by_id(btf, id);
	const struct btf_var_secinfo *var = btf_var_secinfos(section);

	for (unsigned int i = 0; i < btf_vlen(section); i++, var++)
		if (is_feature(btf, var) && count < MAX_FEATURES)
			offsets[count++] = var->offset;
	return count;
}

static void record(const char *name, const char *log)
{
	const char *insns = strstr(log, "processed "), *stack = strstr(log, "stack depth ");
	struct figures *entry = NULL;
	unsigned int value;

	for (unsigned int i = 0; i < programs; i++)
		if (strcmp(figures[i].name, name) == 0)
			entry = &figures[i];
	if (!entry && programs < MAX_PROGRAMS) {
		entry = &figures[programs++];
		snprintf(entry->name, sizeof(entry->name), "%s", name);
	}
	if (!entry)
		return;
	if (insns && sscanf(insns, "processed %u", &value) == 1 && value > entry->insns)
		entry->insns = value;
	if (stack && sscanf(stack, "stack depth %u", &value) == 1 && value > entry->stack)
		entry->stack = value;
}

/* Constants without a default are addresses and interfaces: none is zero, which would switch things off, or another. */
static void fill_constants(const struct bpf_object *object, char *values)
{
	const struct btf *btf = bpf_object__btf(object);
	int id = btf__find_by_name_kind(btf, ".rodata.config", BTF_KIND_DATASEC);

	if (id < 0)
		return;

	const struct btf_type *section = btf__type_by_id(btf, id);
	const struct btf_var_secinfo *var = btf_var_secinfos(section);

	for (unsigned int i = 0; i < btf_vlen(section); i++, var++) {
		unsigned int used = 0;

		for (unsigned int at = 0; at < var->size; at++)
			used |= values[var->offset + at];
		if (!used && !is_feature(btf, var))
			memset(values + var->offset, i + 1, var->size);
	}
}

/* Loads the object with bit i of `combination` as the value of feature i. How many features it has. */
static unsigned int load(const char *path, unsigned int combination)
{
	struct bpf_object *object = bpf_object__open(path);
	unsigned int offsets[MAX_FEATURES], features, i = 0;
	struct bpf_program *program;
	struct bpf_map *map;

	if (!object)
		fail("open", path);
	features = find_features(object, offsets);
	map = config_map(object);
	if (map) {
		size_t size;
		const void *defaults = bpf_map__initial_value(map, &size);
		char *values = malloc(size);

		if (!values)
			fail("configure", path);
		memcpy(values, defaults, size);
		fill_constants(object, values);
		for (unsigned int f = 0; f < features; f++)
			values[offsets[f]] = combination >> f & 1;
		if (bpf_map__set_initial_value(map, values, size))
			fail("configure", path);
		free(values);
	}
	bpf_object__for_each_program(program, object) {
		if (i == MAX_PROGRAMS)
			break;
		logs[i][0] = 0;
		bpf_program__set_log_buf(program, logs[i++], LOG_SIZE);
		bpf_program__set_log_level(program, LOG_LEVEL_STATS);
	}
	if (bpf_object__load(object)) {
		i = 0;
		bpf_object__for_each_program(program, object)
			fprintf(stderr, "%s: %s\n", bpf_program__name(program), logs[i++]);
		fail("load", path);
	}
	i = 0;
	bpf_object__for_each_program(program, object)
		record(bpf_program__name(program), logs[i++]);
	bpf_object__close(object);
	return features;
}

/* Combination i of 2n + 2: nothing, everything, one thing alone, everything but one. */
static unsigned int combination(unsigned int i, unsigned int features)
{
	unsigned int all = (1U << features) - 1;

	if (i < 2)
		return i ? all : 0;
	return i % 2 ? all & ~(1U << (i - 2) / 2) : 1U << (i - 2) / 2;
}

int main(int argc, char **argv)
{
	for (int a = 1; a < argc; a++) {
		unsigned int features = load(argv[a], 0), count = 2 * features + 2;

		for (unsigned int i = 1; i < count; i++)
			load(argv[a], combination(i, features));
		printf("%s: %u combinations\n", argv[a], count);
		for (unsigned int i = 0; i < programs; i++)
			printf("  %-36s %6u instructions %4u bytes of stack\n", figures[i].name, figures[i].insns,
			       figures[i].stack);
		programs = 0;
		memset(figures, 0, sizeof(figures));
	}
	return 0;
}
