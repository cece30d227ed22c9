/* The vectors of lanes.inc at AVX-512: sixteen lanes in a register; what is left of a row is a mask. */
#ifndef EL_KERNELS_X86_LANES_AVX512_H
#define EL_KERNELS_X86_LANES_AVX512_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx512.h"

#define LANES_TARGET EL_AVX512
#define LANES_FN     EL_INLINE EL_AVX512
#define VF           __m512
#define VLEFT        __mmask16

enum { LANES = 16 };

LANES_FN VLEFT v_left(uint64_t n)
{
    return el_left_avx512(n);
}
LANES_FN VF vf_set(float x)
{
    return _mm512_set1_ps(x);
}
LANES_FN VF vf_load(const void *p)
{
    return _mm512_loadu_ps(p);
}
LANES_FN VF vf_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
LANES_FN VF vf_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
LANES_FN VF vf_load_left(const void *p, VLEFT left)
{
    return _mm512_maskz_loadu_ps(left, p);
}
LANES_FN VF vf_f16_left(const void *p, VLEFT left)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(left, p));
}
LANES_FN VF vf_bf16_left(const void *p, VLEFT left)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(left, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
LANES_FN void vf_store(float *p, VF v)
{
    _mm512_storeu_ps(p, v);
}
LANES_FN void vf_store_left(float *p, VLEFT left, VF v)
{
    _mm512_mask_storeu_ps(p, left, v);
}
LANES_FN VF vf_add(VF x, VF y)
{
    return _mm512_add_ps(x, y);
}
LANES_FN VF vf_sub(VF x, VF y)
{
    return _mm512_sub_ps(x, y);
}
LANES_FN VF vf_mul(VF x, VF y)
{
    return _mm512_mul_ps(x, y);
}
LANES_FN VF vf_div(VF x, VF y)
{
    return _mm512_div_ps(x, y);
}
LANES_FN VF vf_min(VF x, VF y)
{
    return _mm512_min_ps(x, y);
}
LANES_FN VF vf_max(VF x, VF y)
{
    return _mm512_max_ps(x, y);
}
LANES_FN VF vf_fma(VF x, VF y, VF z)
{
    return _mm512_fmadd_ps(x, y, z);
}
LANES_FN VF vf_fnma(VF x, VF y, VF z)
{
    return _mm512_fnmadd_ps(x, y, z);
}
LANES_FN VF vf_round(VF x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
LANES_FN VF vf_times_2_to(VF x, VF n)
{
    return _mm512_scalef_ps(x, n);
}
LANES_FN float vf_sum(VF v)
{
    return el_hsum_avx512(v);
}
LANES_FN void vf_sum_4(const VF v[4], float *y)
{
    _mm_storeu_ps(y, el_hsum_4_avx512(v));
}
LANES_FN float vf_greatest(VF v)
{
    return _mm512_reduce_max_ps(v);
}
LANES_FN void v_prefetch(const uint8_t *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

#include "kernels/lanes.inc"
#endif

#endif
