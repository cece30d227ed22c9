/* AVX2: what the level puts into the table; everything but products and attention is ops_kernels.inc on eight lanes. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx2.h"

#define VD struct ops_vd

struct ops_vd {
    __m256d low, high;
};

enum { OPS_VECTORS = EL_ACT_BLOCK / LANES };

LANES_FN VD vd_zero(void)
{
    return (VD){_mm256_setzero_pd(), _mm256_setzero_pd()};
}
LANES_FN VD vd_wide(VF v)
{
    return (VD){_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}
LANES_FN VD vd_add(VD s, VF v)
{
    const VD w = vd_wide(v);
    return (VD){_mm256_add_pd(s.low, w.low), _mm256_add_pd(s.high, w.high)};
}
LANES_FN VD vd_add_square(VD s, VF v)
{
    const VD w = vd_wide(v);
    return (VD){_mm256_fmadd_pd(w.low, w.low, s.low), _mm256_fmadd_pd(w.high, w.high, s.high)};
}
LANES_FN double vd_sum(VD s)
{
    return el_hsum_pd_avx2(_mm256_add_pd(s.low, s.high));
}

LANES_FN VF vf_keep(VF v, VLEFT left)
{
    return left < LANES ? _mm256_and_ps(v, _mm256_castsi256_ps(el_part_avx2(left))) : v;
}
LANES_FN bool vf_has_nan(VF v)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0;
}
LANES_FN void vf_narrow(uint16_t *p, VLEFT left, VF v)
{
    const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    memcpy(p, &h, left < LANES ? 2 * left : sizeof h);
}
LANES_FN VF vf_widen(const uint16_t *p, VLEFT left)
{
    const __m128i h = v_halves_left(p, left);
    __m256i v = _mm256_castps_si256(_mm256_cvtph_ps(h));
    /* The conversion makes signalling NaNs quiet; base/f16.h keeps their bits. */
    const __m256i wide = _mm256_cvtepu16_epi32(h);
    const __m256i nan = _mm256_cmpgt_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x7fff)), _mm256_set1_epi32(0x7c00));
    if (_mm256_movemask_epi8(nan)) {
        const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x8000)), 16);
        const __m256i payload = _mm256_slli_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x3ff)), 13);
        const __m256i kept = _mm256_or_si256(_mm256_or_si256(sign, payload), _mm256_set1_epi32(0x7f800000));
        v = _mm256_blendv_epi8(v, kept, nan);
    }
    return _mm256_castsi256_ps(v);
}

LANES_FN float vq_top(const VF v[OPS_VECTORS])
{
    /* As integers the absolute values are ordered, infinities and NaNs on top. */
    __m256i max = _mm256_setzero_si256();
    EL_UNROLL
    for (unsigned i = 0; i < OPS_VECTORS; i++)
        max = _mm256_max_epu32(max, _mm256_and_si256(_mm256_castps_si256(v[i]), _mm256_set1_epi32(0x7fffffff)));
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
}
LANES_FN void vq_store(const VF v[OPS_VECTORS], int8_t *q8, int16_t *sum)
{
    __m256i q[OPS_VECTORS];
    EL_UNROLL
    for (unsigned i = 0; i < OPS_VECTORS; i++)
        q[i] = _mm256_cvtps_epi32(v[i]);
    const __m256i pairs = _mm256_hadd_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3]));
    const __m256i fours = _mm256_hadd_epi32(pairs, pairs);
    const __m128i both = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    sum[0] = (int16_t)_mm_cvtsi128_si32(both);
    sum[1] = (int16_t)_mm_extract_epi32(both, 1);
    /* Packing works within halves; the permutation puts the groups of four bytes back in order. */
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
    _mm256_storeu_si256((__m256i *)(void *)q8, _mm256_permutevar8x32_epi32(bytes, order));
}

#include "kernels/ops_kernels.inc"

void el_kernels_init_avx2(struct el_kernels *k)
{
    el_matmul_init_avx2(k);
    el_laid_init_avx2(k);
    el_laid_low_init_avx2(k);
    el_matmul_group_init_avx2(k);
    el_attn_init_avx2(k);
    el_decode_init_avx2(k);
    el_decode_super_init_avx2(k);
    el_decode_iq_init_avx2(k);
    el_group_f32_init_avx2(k);
    el_outer_init_avx2(k);
    ops_init(k);
}
#endif
