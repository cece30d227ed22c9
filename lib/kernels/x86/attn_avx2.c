/* AVX2 attention: attn_kernels.inc and attn_q8.inc on eight lanes. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx2.h"

/* Eight of the sixteen registers hold sums. */
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

#define Q8_TARGET EL_AVX2
#define VI        __m256i

enum { Q8_QUERIES = 1, Q8_VECTORS = 2, Q8_FETCH_TILES = 0 };

EL_INLINE unsigned q8_vectors(unsigned n_queries)
{
    return Q8_VECTORS / n_queries;
}

LANES_FN VI vi_keys(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

LANES_FN VI vi_start(int sum)
{
    (void)sum;
    return _mm256_setzero_si256();
}

/*
 * Multiply-add of bytes takes one operand without a sign, so the query gives its sign to the keys. No sum of two products
 * overflows 16 bits, since codes are within +-127.
 */
LANES_FN VI vi_dot(VI acc, VI keys, int32_t four)
{
    const VI q = _mm256_set1_epi32(four);
    const VI pairs = _mm256_maddubs_epi16(_mm256_sign_epi8(q, q), _mm256_sign_epi8(keys, q));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

LANES_FN VF vi_float(VI v)
{
    return _mm256_cvtepi32_ps(v);
}

#include "kernels/attn_q8.inc"

void el_attn_scores_q8_avx2(const struct el_attn_block *b, el_attn_score *score)
{
    scores_q8(b, score);
}

void el_attn_avx2(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *q8)
{
    attn_chunk(a, chunk, part, q8);
}

static void attn_avx2(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    attn_chunk(a, chunk, part, scores_q8);
}

void el_attn_init_avx2(struct el_kernels *k)
{
    k->attn = attn_avx2;
}
#endif
