/* The searches of fit_tile.h on sixteen lanes, with the products of bytes that AVX-512 VNNI has. */
#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/f16.h"
#include "tensor/fit_tile.h"
#include "tensor/fit_tile_levels.h"

#define LEVEL    EL_TARGET("avx512f,avx512bw,avx512dq,avx512vl,f16c,avx512vnni")
#define FN       LEVEL static
#define HOT      EL_INLINE LEVEL
#define TILE_FNS el_tile_fns_vnni

HOT __m512i i_dot_bytes(__m512i a, __m512i m)
{
    return _mm512_dpbusd_epi32(a, m, m);
}

#include "tensor/fit_tile_avx512.inc"
#include "tensor/fit_tile_body.inc"

#endif
