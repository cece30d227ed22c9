/* The searches of fit_tile.h on eight lanes. */
#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/f16.h"
#include "tensor/fit_tile.h"
#include "tensor/fit_tile_levels.h"

#define LEVEL EL_TARGET("avx2,f16c")
#define FN    LEVEL static
#define HOT   EL_INLINE LEVEL
typedef __m256 vec;
typedef __m256 mask;
typedef __m256i pairs;
typedef __m256i ints;
#define TILE_FNS el_tile_fns_avx2
enum { LANES = 8 };

HOT vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

HOT void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

HOT vec v_all(float f)
{
    return _mm256_set1_ps(f);
}

HOT vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

HOT vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

HOT vec v_round(vec v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

HOT mask v_less(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

HOT vec v_pick(mask m, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, m);
}

HOT mask m_and(mask a, mask b)
{
    return _mm256_and_ps(a, b);
}

HOT bool m_any(mask m)
{
    return _mm256_movemask_ps(m) != 0;
}

HOT __m128i half_bits(vec v)
{
    v = v_min(v_max(v, v_all(-65504.0f)), v_all(65504.0f));
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

HOT vec v_half(vec v)
{
    return _mm256_cvtph_ps(half_bits(v));
}

HOT void v_put_half(uint16_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)p, half_bits(v));
}

/* The sum of the steps below v. */
HOT vec v_snap(vec v, const struct el_fit_levels *levels)
{
    const float *const value = levels->value;
    vec q = v_all(value[0]);
    for (uint32_t k = 1; k < levels->n; k++)
        q += _mm256_and_ps(v_all(value[k] - value[k - 1]), v_less(v_all(0.5f * (value[k - 1] + value[k])), v));
    return q;
}

HOT void v_put(int8_t *p, vec v)
{
    const __m256i q = _mm256_cvtps_epi32(v);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packs_epi16(words, words));
}

HOT pairs p_make(vec a, vec b)
{
    const __m256i low = _mm256_and_si256(_mm256_cvtps_epi32(a), _mm256_set1_epi32(0xffff));
    return _mm256_or_si256(low, _mm256_slli_epi32(_mm256_cvtps_epi32(b), 16));
}

HOT pairs p_all(int16_t v)
{
    return _mm256_set1_epi16(v);
}

HOT pairs p_mul(pairs a, pairs b)
{
    return _mm256_mulhrs_epi16(a, b);
}

HOT pairs p_low(pairs a)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8);
}

HOT ints i_zero(void)
{
    return _mm256_setzero_si256();
}

HOT ints i_sub(ints a, ints b)
{
    return _mm256_sub_epi32(a, b);
}

HOT ints i_dot(ints a, pairs b, pairs c)
{
    return _mm256_add_epi32(a, _mm256_madd_epi16(b, c));
}

HOT ints i_low_squares(ints a, pairs b, pairs c)
{
    const __m256i low = _mm256_blendv_epi8(_mm256_slli_epi16(c, 8), b, _mm256_set1_epi16(0xff));
    const __m256i m = _mm256_min_epu8(_mm256_abs_epi8(low), _mm256_set1_epi8(127));
    return _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(m, m), _mm256_set1_epi16(1)));
}

HOT vec v_of(ints a)
{
    return _mm256_cvtepi32_ps(a);
}

HOT void turn(const float *x, uint32_t stride, float *out)
{
    vec a[LANES], b[LANES];
    EL_UNROLL
    for (uint32_t i = 0; i < LANES; i++)
        a[i] = v_load(x + (uint64_t)stride * i);
    EL_UNROLL
    for (uint32_t i = 0; i < LANES; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    EL_UNROLL
    for (uint32_t i = 0; i < LANES; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    EL_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        v_store(out + EL_TILE * i, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        v_store(out + EL_TILE * (i + 4), _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

#include "tensor/fit_tile_body.inc"

#endif
