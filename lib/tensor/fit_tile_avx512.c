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

#define LEVEL    EL_TARGET("avx512f,avx512bw,avx512dq,avx512vl,f16c")
#define FN       LEVEL static
#define HOT      EL_INLINE LEVEL
#define TILE_FNS el_tile_fns_avx512

HOT __m512i i_dot_bytes(__m512i a, __m512i m)
{
    return _mm512_add_epi32(a, _mm512_madd_epi16(_mm512_maddubs_epi16(m, m), _mm512_set1_epi16(1)));
}

#include "tensor/fit_tile_avx512.inc"
#include "tensor/fit_tile_body.inc"

#endif
