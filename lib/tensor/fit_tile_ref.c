/* The searches of fit_tile.h for every CPU: four lanes, by the vector extension that gcc and clang share. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "base/f16.h"
#include "tensor/fit_lanes.h"
#include "tensor/fit_tile.h"
#include "tensor/fit_tile_levels.h"

#define FN  static
#define HOT EL_INLINE
typedef el_v4 vec;
typedef el_v4i mask;
enum { LANES = 4 };

HOT vec v_load(const float *p)
{
    return el_v4_load(p);
}

HOT void v_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

HOT vec v_all(float f)
{
    return el_v4_all(f);
}

HOT vec v_min(vec a, vec b)
{
    return el_v4_min(a, b);
}

HOT vec v_max(vec a, vec b)
{
    return el_v4_max(a, b);
}

HOT vec v_round(vec v)
{
    return el_v4_round(v);
}

HOT mask v_less(vec a, vec b)
{
    return a < b;
}

HOT vec v_pick(mask m, vec a, vec b)
{
    return (vec)(((mask)a & m) | ((mask)b & ~m));
}

HOT mask m_and(mask a, mask b)
{
    return a & b;
}

HOT bool m_any(mask m)
{
    return (m[0] | m[1] | m[2] | m[3]) != 0;
}

HOT vec v_half(vec v)
{
    for (int i = 0; i < LANES; i++)
        v[i] = el_f16_to_f32(el_fit_f16(v[i]));
    return v;
}

/* The sum of the steps below v. */
HOT vec v_snap(vec v, const struct el_fit_levels *levels)
{
    const float *const value = levels->value;
    vec q = v_all(value[0]);
    for (uint32_t k = 1; k < levels->n; k++)
        q += (vec)((mask)v_all(value[k] - value[k - 1]) & (v_all(0.5f * (value[k - 1] + value[k])) < v));
    return q;
}

HOT void v_put(int8_t *p, vec v)
{
    for (int i = 0; i < LANES; i++)
        p[i] = (int8_t)v[i];
}

HOT void turn(const float *x, uint32_t stride, float *out)
{
    for (uint32_t i = 0; i < LANES; i++) {
        for (uint32_t k = 0; k < LANES; k++)
            out[EL_TILE * k + i] = x[stride * i + k];
    }
}

#include "tensor/fit_tile_body.inc"

const struct el_tile_fns el_tile_fns_ref = {
    .scale = scale,
    .offset = offset,
    .super_affine = super_affine,
    .super_scale = super_scale,
    .scale_codes = scale_codes,
    .affine_codes = affine_codes,
};
