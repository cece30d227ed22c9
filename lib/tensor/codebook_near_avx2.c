/* The searches of codebook_near.h on eight lanes. */
#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <math.h>

#include "tensor/codebook_near.h"

#define LEVEL EL_TARGET("avx2")
#define FN    LEVEL static
#define HOT   EL_INLINE LEVEL
typedef __m256 vec;
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

HOT uint32_t v_bits(vec a, vec b)
{
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

#include "tensor/codebook_near_body.inc"

NEAR(near_eight, 8, fill8)
NEAR(near_four, 4, fill4)

const struct el_near_fns el_near_fns_avx2 = {near_eight, near_four};

#endif
