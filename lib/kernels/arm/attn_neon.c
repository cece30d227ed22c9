/* NEON attention: attn_kernels.inc on eight lanes in two registers. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include "kernels/arm/attn_arm.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/lanes_neon.h"

/* Sixteen of the 32 registers hold sums. */
enum { ATTN_QUERIES = 4, ATTN_VECTORS = 8, ATTN_FETCH_TILES = 0, ATTN_FETCH_VALUES = 0 };

EL_INLINE unsigned attn_vectors(unsigned n_queries)
{
    return ATTN_VECTORS / n_queries;
}

EL_INLINE unsigned attn_value_vectors(unsigned n_queries)
{
    return n_queries == 1 ? 8 : n_queries == 2 ? 4 : 2;
}

#include "kernels/attn_kernels.inc"
#include "kernels/attn_q8.inc"

void el_attn_neon(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *q8)
{
    attn_chunk(a, chunk, part, q8);
}

static void attn_neon(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    attn_chunk(a, chunk, part, scores_q8);
}

void el_attn_init_neon(struct el_kernels *k)
{
    k->attn = attn_neon;
}
#endif
