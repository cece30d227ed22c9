/*
 * Four floats at a time, by the vector extension that gcc and clang share. Every operation is the IEEE one of each lane, so the
 * result is that of a plain loop; only fit*.c includes this.
 */
#ifndef EL_TENSOR_FIT_LANES_H
#define EL_TENSOR_FIT_LANES_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

typedef float el_v4 __attribute__((vector_size(16)));
typedef int32_t el_v4i __attribute__((vector_size(16)));

static inline el_v4 el_v4_load(const float *p)
{
    el_v4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline el_v4 el_v4_all(float f)
{
    return (el_v4){f, f, f, f};
}

/*
 * Lane by lane: where a < b (a > b) a, else b, also when one is NaN. SSE has exactly this as one instruction, which compilers do
 * not find in the general form.
 */
#if defined(__SSE__)
static inline el_v4 el_v4_min(el_v4 a, el_v4 b)
{
    return (el_v4)_mm_min_ps((__m128)a, (__m128)b);
}

static inline el_v4 el_v4_max(el_v4 a, el_v4 b)
{
    return (el_v4)_mm_max_ps((__m128)a, (__m128)b);
}
#else
static inline el_v4 el_v4_min(el_v4 a, el_v4 b)
{
    const el_v4i less = a < b;
    return (el_v4)(((el_v4i)a & less) | ((el_v4i)b & ~less));
}

static inline el_v4 el_v4_max(el_v4 a, el_v4 b)
{
    const el_v4i more = a > b;
    return (el_v4)(((el_v4i)a & more) | ((el_v4i)b & ~more));
}
#endif

static inline el_v4 el_v4_clamp(el_v4 v, float lo, float hi)
{
    return el_v4_min(el_v4_max(v, el_v4_all(lo)), el_v4_all(hi));
}

/* Nearest integer, ties to even, |v| < 2^22: the sum has a unit in the last place of 1 and is rounded when it is formed. */
static inline el_v4 el_v4_round(el_v4 v)
{
    const el_v4 magic = el_v4_all(12582912.0f);
    return (v + magic) - magic;
}

static inline float el_v4_sum(el_v4 v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

#endif
