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

#include "tensor/fit_tile_body.inc"

const struct el_tile_fns el_tile_fns_avx512 = {
    .scale = scale, .offset = offset, .super_affine = super_affine, .super_scale = super_scale};

#endif
