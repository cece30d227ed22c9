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
typedef int16_t pairs __attribute__((vector_size(16)));
typedef el_v4i ints;
#define TILE_FNS el_tile_fns_ref
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
        p[i] = (int8_t)v_round(v)[i];
}

HOT void v_put_half(uint16_t *p, vec v)
{
    for (int i = 0; i < LANES; i++)
        p[i] = el_fit_f16(v[i]);
}

HOT pairs p_make(vec a, vec b)
{
    pairs p;
    for (int i = 0; i < LANES; i++) {
        p[2 * i] = (int16_t)v_round(a)[i];
        p[2 * i + 1] = (int16_t)v_round(b)[i];
    }
    return p;
}

HOT pairs p_all(int16_t v)
{
    return (pairs){v, v, v, v, v, v, v, v};
}

HOT pairs p_mul(pairs a, pairs b)
{
    for (int i = 0; i < 2 * LANES; i++)
        a[i] = (int16_t)((a[i] * b[i] + (1 << 14)) >> 15);
    return a;
}

HOT pairs p_low(pairs a)
{
    return (pairs)((pairs)(a << 8) >> 8);
}

HOT ints i_zero(void)
{
    return (ints){0, 0, 0, 0};
}

HOT ints i_sub(ints a, ints b)
{
    return a - b;
}

HOT ints i_dot(ints a, pairs b, pairs c)
{
    for (int i = 0; i < LANES; i++)
        a[i] += b[2 * i] * c[2 * i] + b[2 * i + 1] * c[2 * i + 1];
    return a;
}

HOT int32_t low_square(int16_t v)
{
    const int e = (int8_t)v, size = e < 0 ? -e : e;
    return size > 127 ? 127 * 127 : size * size;
}

HOT ints i_low_squares(ints a, pairs b, pairs c)
{
    for (int i = 0; i < LANES; i++)
        a[i] += low_square(b[2 * i]) + low_square(b[2 * i + 1]) + low_square(c[2 * i]) + low_square(c[2 * i + 1]);
    return a;
}

HOT vec v_of(ints a)
{
    return __builtin_convertvector(a, vec);
}

HOT void turn(const float *x, uint32_t stride, float *out)
{
    for (uint32_t i = 0; i < LANES; i++) {
        for (uint32_t k = 0; k < LANES; k++)
            out[EL_TILE * k + i] = x[stride * i + k];
    }
}

#include "tensor/fit_tile_body.inc"
