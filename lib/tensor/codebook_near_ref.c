/* The searches of codebook_near.h for every CPU: four lanes, by the vector extension that gcc and clang share. */
#include <math.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "base/compiler.h"
#include "tensor/codebook_near.h"
#include "tensor/fit_lanes.h"

#define FN  static
#define HOT EL_INLINE
typedef el_v4 vec;
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

HOT uint32_t v_bits(vec a, vec b)
{
#if defined(__SSE__)
    return (uint32_t)_mm_movemask_ps((__m128)(a < b));
#else
    const el_v4i m = a < b;
    return (uint32_t)((m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8));
#endif
}

#include "tensor/codebook_near_body.inc"

NEAR(near_eight, 8, fill8)
NEAR(near_four, 4, fill4)

const struct el_near_fns el_near_fns_ref = {near_eight, near_four};
