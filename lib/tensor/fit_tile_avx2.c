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

HOT vec v_half(vec v)
{
    v = v_min(v_max(v, v_all(-65504.0f)), v_all(65504.0f));
    return _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
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

const struct el_tile_fns el_tile_fns_avx2 = {
    .scale = scale,
    .offset = offset,
    .super_affine = super_affine,
    .super_scale = super_scale,
    .scale_codes = scale_codes,
    .affine_codes = affine_codes,
};

#endif
