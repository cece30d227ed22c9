/* The searches of fit_tile.h for every CPU: four lanes, by the vector extension that gcc and clang share. */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

/* What the lanes of a become as int32; the values of `low` in the even halves, of `high` in the odd ones. */
HOT pairs p_of(ints low, ints high)
{
    return (pairs)((low & 0xffff) | high << 16);
}

HOT ints p_even(pairs a)
{
    return ((ints)a << 16) >> 16;
}

HOT ints p_odd(pairs a)
{
    return (ints)a >> 16;
}

HOT pairs p_make(vec a, vec b)
{
    return p_of(__builtin_convertvector(v_round(a), ints), __builtin_convertvector(v_round(b), ints));
}

HOT pairs p_all(int16_t v)
{
    return (pairs){v, v, v, v, v, v, v, v};
}

HOT pairs p_mul(pairs a, pairs b)
{
    const ints half = {1 << 14, 1 << 14, 1 << 14, 1 << 14};
    return p_of((p_even(a) * p_even(b) + half) >> 15, (p_odd(a) * p_odd(b) + half) >> 15);
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
#if defined(__SSE2__)
    return a + (ints)_mm_madd_epi16((__m128i)b, (__m128i)c);
#else
    return a + p_even(b) * p_even(c) + p_odd(b) * p_odd(c);
#endif
}

HOT ints i_low_squares(ints a, pairs b, pairs c)
{
    const pairs most = p_all(127);
    pairs m[2] = {p_low(b), p_low(c)};
    for (int k = 0; k < 2; k++) {
        const pairs sign = m[k] >> 15, size = (m[k] ^ sign) - sign, more = size > most;
        m[k] = (size & ~more) | (most & more);
        a = i_dot(a, m[k], m[k]);
    }
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
