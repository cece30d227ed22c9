/*
 * Memory that ends where reading traps: a kernel that touches one byte too many does not survive. Also what all kernel tests
 * share: the walk over the CPU levels.
 */
#ifndef EL_TESTS_KERNELS_TRAP_H
#define EL_TESTS_KERNELS_TRAP_H

#include "test.h"

#include "kernels/kernels.h"

/* nbytes that end at a page without access; there is one in front as well. Aborts when the system has no memory. */
void *trap_alloc(size_t nbytes);
/* All of trap_alloc's memory since the last call. */
void trap_free_all(void);

/* The kernels of the i-th level that this CPU allows, then the stand-ins (stand_in.h); false past the last. */
bool test_kernels_at(unsigned i, struct el_kernels *k);

/* A random float in [-1, 1) times 2^e, e in [-span, span]. */
float trap_randf(uint64_t *seed, int span);

#define FOR_EACH_LEVEL(k)                                                                                                        \
    struct el_kernels k;                                                                                                         \
    for (unsigned k##_i = 0; test_kernels_at(k##_i, &k); k##_i++)

/* Same bits, NaNs included? */
static inline bool same_bits(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

#endif
