/*
 * Hash table from byte strings to int64. Keys are borrowed: they must outlive the map. The seed is drawn once per process
 * (hostile files cannot aim at collisions); iteration is never exposed, so nothing depends on it.
 */
#ifndef EL_BASE_STRMAP_H
#define EL_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct el_strmap_slot {
    const char *key;
    size_t nbytes;
    uint64_t hash;
    int64_t value;
};
struct el_strmap {
    struct el_strmap_slot *slots;
    size_t cap, count;
};

void el_strmap_init(struct el_strmap *m);
void el_strmap_release(struct el_strmap *m);
/* The hash of a key: keyed anew in every process, so nothing that is seen may depend on it. Any thread. */
uint64_t el_strmap_hash(const char *key, size_t nbytes);
/* Makes room for n keys in all, so that adding them one by one need not grow the table. False when out of memory. */
bool el_strmap_reserve(struct el_strmap *m, size_t n);
/* Adds; false when out of memory. An existing key keeps its value, *existed (may be NULL) tells. */
bool el_strmap_add(struct el_strmap *m, const char *key, size_t nbytes, int64_t value, bool *existed);
/* Value, or `missing`. */
int64_t el_strmap_get(const struct el_strmap *m, const char *key, size_t nbytes, int64_t missing);

#endif
