// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Choosing a backend of a service, for packets (lb.h) and for sockets (sock.h). Once for each family
 * (family_v4.h). Nothing here knows of connections.
 */
#include "lb_maps.h"

/* The service at an address and port, or NULL. `key` is left at its slot 0. */
static __always_inline const struct F(lb_service) *F(lb_find)(struct F(lb_key) *key, F(addr) address,
							      __be16 port, __u8 protocol)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->address = address;
	key->dport = port;
	key->proto = protocol;
	return bpf_map_lookup_elem(&F(lb_services_map), key);
}

static __always_inline const struct F(lb_backend) *F(lb_backend_lookup)(__u32 id)
{
	return bpf_map_lookup_elem(&F(lb_backends_map), &id);
}

/* The backend in the frontend's slot, or NULL; `choice` says what it is. */
static __always_inline const struct F(lb_backend) *F(lb_backend_at)(struct F(lb_key) *key, __u16 slot,
								    struct lb_choice *choice)
{
	const struct F(lb_service) *entry;

	key->backend_slot = slot;
	entry = bpf_map_lookup_elem(&F(lb_services_map), key);
	if (!entry)
		return (void *)0;
	choice->id = entry->backend_id;
	choice->slot = slot;
	return F(lb_backend_lookup)(entry->backend_id);
}

/* What bpf_loop() carries through the slots of a frontend. */
struct F(lb_search) {
	struct F(lb_key) key;
	__u32 start;
	__u32 count;
	struct lb_choice choice; /* what is wanted, or was found; slot 0: nothing was found */
};

/* One slot of F(lb_pick_slot)(): 1 ends the search. */
static long F(lb_try_slot)(__u32 index, struct F(lb_search) *search)
{
	const struct F(lb_backend) *backend;
	struct lb_choice choice = {};

	if (!search->count)
		return 1;
	backend = F(lb_backend_at)(&search->key, (__u16)((search->start + index) % search->count + 1), &choice);
	if (!backend)
		return 0;
	if (backend->flags == LB_BACKEND_ACTIVE ||
	    (backend->flags == LB_BACKEND_TERMINATING && !search->choice.slot))
		search->choice = choice;
	return backend->flags == LB_BACKEND_ACTIVE;
}

/*
 * A backend from the frontend's slots: the one that `start` falls on. Slots are changed one after another, so it may
 * name a backend that has gone, or whose end has begun: then the next ones are looked at. One that is terminating is
 * better than none. NULL: none usable.
 */
static __always_inline const struct F(lb_backend) *F(lb_pick_slot)(const struct F(lb_service) *svc,
								   struct F(lb_key) *key, __u32 start,
								   struct lb_choice *choice)
{
	const struct F(lb_backend) *backend;
	struct F(lb_search) search;
	__u32 count = svc->count;

	if (!count)
		return (void *)0;
	backend = F(lb_backend_at)(key, (__u16)(start % count + 1), choice);
	if (backend && backend->flags == LB_BACKEND_ACTIVE)
		return backend;
	__builtin_memset(&search, 0, sizeof(search));
	search.key = *key;
	search.start = start;
	search.count = count;
	bpf_loop(count < LB_TRIES ? count : LB_TRIES, F(lb_try_slot), &search, 0);
	*choice = search.choice;
	return choice->slot ? F(lb_backend_lookup)(choice->id) : (void *)0;
}

/* The backend that Maglev's table has for a hash, or NULL when it may not be chosen any more. */
static __always_inline const struct F(lb_backend) *F(lb_pick_maglev)(const struct F(lb_service) *svc,
								     __u32 hash, struct lb_choice *choice)
{
	__u16 index = svc->rev_nat_index;
	const struct lb_maglev *table = bpf_map_lookup_elem(&waggle_lb_maglev, &index);
	const struct F(lb_backend) *backend;
	__u32 place = hash % LB_MAGLEV_SIZE;

	barrier_var(place); /* the verifier knows no remainders */
	if (!table || place >= LB_MAGLEV_SIZE)
		return (void *)0;
	choice->id = table->backends[place];
	choice->slot = 0;
	backend = F(lb_backend_lookup)(choice->id);
	return backend && backend->flags == LB_BACKEND_ACTIVE ? backend : (void *)0;
}

/*
 * The backend that served this client less than the frontend's timeout ago, if it still serves; the time starts
 * anew. NULL: there is none.
 */
static __always_inline const struct F(lb_backend) *F(lb_affinity_find)(const struct F(lb_service) *svc,
								       const struct F(lb_affinity_key) *client,
								       __u32 now, struct lb_choice *choice)
{
	struct lb_affinity_val *known = bpf_map_lookup_elem(&F(lb_affinity_map), client);
	const struct F(lb_backend) *backend;

	if (!known || now - (__u32)known->last_used > lb_affinity_timeout(svc->backend_id))
		return (void *)0;
	choice->id = known->backend_id;
	choice->slot = 0;
	if (!lb_affinity_allows(choice->id, svc->rev_nat_index))
		return (void *)0;
	backend = F(lb_backend_lookup)(choice->id);
	if (!backend || backend->flags != LB_BACKEND_ACTIVE)
		return (void *)0;
	known->last_used = now;
	return backend;
}

/* A packet of a connection that `client` has to backend `id`: its time with the backend starts anew. */
static __always_inline void F(lb_affinity_renew)(const struct F(lb_affinity_key) *client, __u32 id,
						 __u32 now)
{
	struct lb_affinity_val *known = bpf_map_lookup_elem(&F(lb_affinity_map), client);

	if (known && known->backend_id == id && known->last_used != now)
		known->last_used = now;
}

/*
 * A backend for a new connection of `client`, or NULL when there is none. `start` decides among the slots and
 * `hash` in Maglev's table; `client` needs no index yet, and is looked at for frontends with affinity only.
 */
static __always_inline const struct F(lb_backend) *F(lb_choose)(const struct F(lb_service) *svc,
								struct F(lb_key) *key,
								struct F(lb_affinity_key) *client,
								__u32 start, __u32 hash, __u32 now,
								struct lb_choice *choice)
{
	const struct F(lb_backend) *backend = (void *)0;
	_Bool sticky = svc->flags & LB_F_AFFINITY;

	if (sticky) {
		client->rev_nat_index = svc->rev_nat_index;
		backend = F(lb_affinity_find)(svc, client, now, choice);
		if (backend)
			return backend;
	}
	if (lb_algorithm(svc->backend_id) == LB_ALGORITHM_MAGLEV)
		backend = F(lb_pick_maglev)(svc, hash, choice);
	if (!backend)
		backend = F(lb_pick_slot)(svc, key, start, choice);
	if (backend && sticky) {
		struct lb_affinity_val value = {.last_used = now, .backend_id = choice->id};

		/* Without room the client may see another backend next time. */
		bpf_map_update_elem(&F(lb_affinity_map), client, &value, BPF_ANY);
	}
	return backend;
}

/* One slot of F(lb_serves)(): 1 ends the search. */
static long F(lb_slot_names)(__u32 index, struct F(lb_search) *search)
{
	const struct F(lb_service) *entry;

	search->key.backend_slot = (__u16)(index + 1);
	entry = bpf_map_lookup_elem(&F(lb_services_map), &search->key);
	if (!entry || entry->backend_id != search->choice.id)
		return 0;
	search->choice.slot = search->key.backend_slot;
	return 1;
}

/*
 * Does a slot of the frontend, quarantined ones included, name backend `choice->id`? The slot where it was last is
 * looked at first and brought up to date, so that the search is made once after a change.
 */
static __always_inline _Bool F(lb_serves)(const struct F(lb_service) *svc, struct F(lb_key) *key,
					  struct lb_choice *choice)
{
	const struct F(lb_service) *entry;
	struct F(lb_search) search;

	if (choice->slot) {
		key->backend_slot = choice->slot;
		entry = bpf_map_lookup_elem(&F(lb_services_map), key);
		if (entry && entry->backend_id == choice->id)
			return 1;
	}
	__builtin_memset(&search, 0, sizeof(search));
	search.key = *key;
	search.choice.id = choice->id;
	bpf_loop((__u32)svc->count + svc->qcount, F(lb_slot_names), &search, 0);
	choice->slot = search.choice.slot;
	return choice->slot != 0;
}
