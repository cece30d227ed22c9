/* The searches of fit_tile.h on sixteen lanes. */
#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/f16.h"
#include "tensor/fit_tile.h"
#include "tensor/fit_tile_levels.h"

#define LEVEL EL_TARGET("avx512f,avx512bw,avx512dq,avx512vl,f16c")
#define FN    LEVEL static
#define HOT   EL_INLINE LEVEL
typedef __m512 vec;
typedef __mmask16 mask;
enum { LANES = 16 };

HOT vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

HOT void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

HOT vec v_all(float f)
{
    return _mm512_set1_ps(f);
}

HOT vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

HOT vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

HOT vec v_round(vec v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

HOT mask v_less(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

HOT vec v_pick(mask m, vec a, vec b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

HOT mask m_and(mask a, mask b)
{
    return (mask)(a & b);
}

HOT bool m_any(mask m)
{
    return m != 0;
}

HOT vec v_half(vec v)
{
    v = v_min(v_max(v, v_all(-65504.0f)), v_all(65504.0f));
    return _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* The sum of the steps below v. */
HOT vec v_snap(vec v, const struct el_fit_levels *levels)
{
    const float *const value = levels->value;
    vec q = v_all(value[0]);
    for (uint32_t k = 1; k < levels->n; k++)
        q = _mm512_mask_mov_ps(q, v_less(v_all(0.5f * (value[k - 1] + value[k])), v), v_all(value[k]));
    return q;
}

HOT void v_put(int8_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

HOT void turn(const float *x, uint32_t stride, float *out)
{
    vec a[LANES], b[LANES];
    EL_UNROLL
    for (uint32_t i = 0; i < LANES; i++)
        a[i] = v_load(x + (uint64_t)stride * i);
    EL_UNROLL
    for (uint32_t i = 0; i < LANES; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    /* a[4 g + c]: columns c, c + 4, c + 8, c + 12 of rows 4 g to 4 g + 3. */
    EL_UNROLL
    for (uint32_t i = 0; i < LANES; i += 4) {
        a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    EL_UNROLL
    for (uint32_t c = 0; c < 4; c++) {
        const vec low0 = _mm512_shuffle_f32x4(a[c], a[c + 4], 0x88), low1 = _mm512_shuffle_f32x4(a[c + 8], a[c + 12], 0x88);
        const vec high0 = _mm512_shuffle_f32x4(a[c], a[c + 4], 0xdd), high1 = _mm512_shuffle_f32x4(a[c + 8], a[c + 12], 0xdd);
        v_store(out + EL_TILE * c, _mm512_shuffle_f32x4(low0, low1, 0x88));
        v_store(out + EL_TILE * (c + 4), _mm512_shuffle_f32x4(high0, high1, 0x88));
        v_store(out + EL_TILE * (c + 8), _mm512_shuffle_f32x4(low0, low1, 0xdd));
        v_store(out + EL_TILE * (c + 12), _mm512_shuffle_f32x4(high0, high1, 0xdd));
    }
}

#include "tensor/fit_tile_body.inc"

const struct el_tile_fns el_tile_fns_avx512 = {
    .scale = scale,
    .offset = offset,
    .super_affine = super_affine,
    .super_scale = super_scale,
    .scale_codes = scale_codes,
    .affine_codes = affine_codes,
};

#endif
