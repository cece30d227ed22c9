/*
 * AVX-512 VNNI: scores of keys in q8_0 by attn_q8.inc; the rest is attn_avx512.c. vpdpbusd takes one operand without a sign: 128
 * is added to the keys, and minus 128 times the query's sum is what a block starts with.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx512.h"

#define Q8_TARGET EL_AVX512VNNI
#define VI        __m512i

enum { Q8_QUERIES = 4, Q8_VECTORS = 4, Q8_FETCH_TILES = 8 };

EL_INLINE unsigned q8_vectors(unsigned n_queries)
{
    return n_queries == 4 ? 2 : 4;
}

EL_INLINE EL_AVX512VNNI VI vi_keys(const uint8_t *p)
{
    return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8((char)0x80));
}

EL_INLINE EL_AVX512VNNI VI vi_start(int sum)
{
    return _mm512_set1_epi32(-128 * sum);
}

EL_INLINE EL_AVX512VNNI VI vi_dot(VI acc, VI keys, int32_t four)
{
    return _mm512_dpbusd_epi32(acc, keys, _mm512_set1_epi32(four));
}

EL_INLINE EL_AVX512VNNI VF vi_float(VI v)
{
    return _mm512_cvtepi32_ps(v);
}

#include "kernels/attn_q8.inc"

static void attn_vnni(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    el_attn_avx512(a, chunk, part, scores_q8);
}

void el_attn_init_vnni(struct el_kernels *k)
{
    k->attn = attn_vnni;
}
#endif
