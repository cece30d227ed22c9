/* AVX-512 attention: attn_kernels.inc on sixteen lanes; scores of keys in q8_0 are AVX2's, or the level's above. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx512.h"

/* Sixteen of the 32 registers hold sums. */
enum { ATTN_QUERIES = 8, ATTN_VECTORS = 4, ATTN_FETCH_TILES = 1, ATTN_FETCH_VALUES = 4096 };

EL_INLINE unsigned attn_vectors(unsigned n_queries)
{
    return n_queries == 8 ? 2 : 4;
}

EL_INLINE unsigned attn_value_vectors(unsigned n_queries)
{
    (void)n_queries;
    return 4;
}

#include "kernels/attn_kernels.inc"

void el_attn_avx512(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8)
{
    attn_chunk(a, chunk, part, scores_q8);
}

static void attn_avx512(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    attn_chunk(a, chunk, part, el_attn_scores_q8_avx2);
}

void el_attn_init_avx512(struct el_kernels *k)
{
    k->attn = attn_avx512;
}
#endif
