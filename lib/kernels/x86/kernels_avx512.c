/* AVX-512: what the level puts into the table; everything but products and attention is ops_kernels.inc on sixteen lanes. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx512.h"

#define VD struct ops_vd

struct ops_vd {
    __m512d low, high;
};

enum { OPS_VECTORS = EL_ACT_BLOCK / LANES };

LANES_FN VD vd_zero(void)
{
    return (VD){_mm512_setzero_pd(), _mm512_setzero_pd()};
}
LANES_FN VD vd_wide(VF v)
{
    return (VD){_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
}
LANES_FN VD vd_add(VD s, VF v)
{
    const VD w = vd_wide(v);
    return (VD){_mm512_add_pd(s.low, w.low), _mm512_add_pd(s.high, w.high)};
}
LANES_FN VD vd_add_square(VD s, VF v)
{
    const VD w = vd_wide(v);
    return (VD){_mm512_fmadd_pd(w.low, w.low, s.low), _mm512_fmadd_pd(w.high, w.high, s.high)};
}
LANES_FN double vd_sum(VD s)
{
    return _mm512_reduce_add_pd(_mm512_add_pd(s.low, s.high));
}

LANES_FN VF vf_keep(VF v, VLEFT left)
{
    return _mm512_maskz_mov_ps(left, v);
}
LANES_FN bool vf_has_nan(VF v)
{
    return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) != 0;
}
LANES_FN void vf_narrow(uint16_t *p, VLEFT left, VF v)
{
    _mm256_mask_storeu_epi16(p, left, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
LANES_FN VF vf_widen(const uint16_t *p, VLEFT left)
{
    const __m256i h = _mm256_maskz_loadu_epi16(left, p);
    __m512i v = _mm512_castps_si512(_mm512_cvtph_ps(h));
    /* The conversion makes signalling NaNs quiet; base/f16.h keeps their bits. */
    const __m512i wide = _mm512_cvtepu16_epi32(h);
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(_mm512_and_si512(wide, _mm512_set1_epi32(0x7fff)), _mm512_set1_epi32(0x7c00));
    if (nan) {
        const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(wide, _mm512_set1_epi32(0x8000)), 16);
        const __m512i payload = _mm512_slli_epi32(_mm512_and_si512(wide, _mm512_set1_epi32(0x3ff)), 13);
        v = _mm512_mask_or_epi32(v, nan, _mm512_or_si512(sign, payload), _mm512_set1_epi32(0x7f800000));
    }
    return _mm512_castsi512_ps(v);
}

LANES_FN float vq_top(const VF v[OPS_VECTORS])
{
    /* As integers the absolute values are ordered, infinities and NaNs on top. */
    const __m512i a = _mm512_castps_si512(_mm512_abs_ps(v[0])), b = _mm512_castps_si512(_mm512_abs_ps(v[1]));
    const uint32_t bits = _mm512_reduce_max_epu32(_mm512_max_epu32(a, b));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
}
LANES_FN void vq_store(const VF v[OPS_VECTORS], int8_t *q8, int16_t *sum)
{
    EL_UNROLL
    for (unsigned i = 0; i < OPS_VECTORS; i++) {
        const __m512i q = _mm512_cvtps_epi32(v[i]);
        _mm_storeu_si128((__m128i *)(void *)(q8 + i * LANES), _mm512_cvtepi32_epi8(q));
        sum[i] = (int16_t)_mm512_reduce_add_epi32(q);
    }
}

#include "kernels/ops_kernels.inc"

void el_kernels_init_avx512(struct el_kernels *k)
{
    el_matmul_init_avx512(k);
    el_attn_init_avx512(k);
    el_group_f32_init_avx512(k);
    el_outer_init_avx512(k);
    ops_init(k);
}
#endif
