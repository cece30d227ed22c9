/*
 * AVX-VNNI: scores of keys in q8_0 by attn_q8.inc; the rest is attn_avx2.c. vpdpbusd takes one operand without a sign: 128 is
 * added to the keys, and minus 128 times the query's sum is what a block starts with. Its encoding was never run; see avxvnni.h.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/avxvnni.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx2.h"

#define Q8_TARGET EL_AVXVNNI
#define VI        __m256i

enum { Q8_QUERIES = 4, Q8_VECTORS = 2, Q8_FETCH_TILES = 0 };

EL_INLINE unsigned q8_vectors(unsigned n_queries)
{
    (void)n_queries;
    return 2;
}

EL_INLINE EL_AVXVNNI VI vi_keys(const uint8_t *p)
{
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)p), _mm256_set1_epi8((char)0x80));
}

EL_INLINE EL_AVXVNNI VI vi_start(int sum)
{
    return _mm256_set1_epi32(-128 * sum);
}

EL_INLINE EL_AVXVNNI VI vi_dot(VI acc, VI keys, int32_t four)
{
    return el_dpbusd_avxvnni(acc, keys, _mm256_set1_epi32(four));
}

EL_INLINE EL_AVXVNNI VF vi_float(VI v)
{
    return _mm256_cvtepi32_ps(v);
}

#include "kernels/attn_q8.inc"

static void attn_avxvnni(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    el_attn_avx2(a, chunk, part, scores_q8);
}

void el_attn_init_avxvnni(struct el_kernels *k)
{
    k->attn = attn_avxvnni;
}
#endif
