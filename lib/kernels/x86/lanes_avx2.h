/* The vectors of lanes.inc at AVX2: eight lanes in a register. */
#ifndef EL_KERNELS_X86_LANES_AVX2_H
#define EL_KERNELS_X86_LANES_AVX2_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

#define LANES_TARGET EL_AVX2
#define LANES_FN     EL_INLINE EL_AVX2
#define VF           __m256
#define VLEFT        uint64_t

enum { LANES = 8 };

LANES_FN VLEFT v_left(uint64_t n)
{
    return n;
}
LANES_FN VF vf_set(float x)
{
    return _mm256_set1_ps(x);
}
LANES_FN VF vf_load(const void *p)
{
    return _mm256_loadu_ps(p);
}
LANES_FN VF vf_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
LANES_FN VF vf_i8(const void *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
}
LANES_FN VF vf_load_left(const void *p, VLEFT left)
{
    return left < LANES ? el_load_part_avx2(p, left) : vf_load(p);
}
/* There is no masked load of 16-bit numbers. */
LANES_FN __m128i v_halves_left(const void *p, VLEFT left)
{
    __m128i h = _mm_setzero_si128();
    memcpy(&h, p, left < LANES ? 2 * left : sizeof h);
    return h;
}
LANES_FN VF vf_f16_left(const void *p, VLEFT left)
{
    return _mm256_cvtph_ps(v_halves_left(p, left));
}
LANES_FN VF vf_bf16_left(const void *p, VLEFT left)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v_halves_left(p, left)), 16));
}
LANES_FN void vf_store(float *p, VF v)
{
    _mm256_storeu_ps(p, v);
}
LANES_FN void vf_store_left(float *p, VLEFT left, VF v)
{
    if (left < LANES)
        el_store_part_avx2(p, left, v);
    else
        vf_store(p, v);
}
LANES_FN VF vf_add(VF x, VF y)
{
    return _mm256_add_ps(x, y);
}
LANES_FN VF vf_sub(VF x, VF y)
{
    return _mm256_sub_ps(x, y);
}
LANES_FN VF vf_mul(VF x, VF y)
{
    return _mm256_mul_ps(x, y);
}
LANES_FN VF vf_div(VF x, VF y)
{
    return _mm256_div_ps(x, y);
}
LANES_FN VF vf_min(VF x, VF y)
{
    return _mm256_min_ps(x, y);
}
LANES_FN VF vf_max(VF x, VF y)
{
    return _mm256_max_ps(x, y);
}
LANES_FN VF vf_fma(VF x, VF y, VF z)
{
    return _mm256_fmadd_ps(x, y, z);
}
LANES_FN VF vf_fnma(VF x, VF y, VF z)
{
    return _mm256_fnmadd_ps(x, y, z);
}
LANES_FN VF vf_round(VF x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
LANES_FN VF vf_times_2_to(VF x, VF n)
{
    /* In two factors: each is a normal number where the whole may not be. */
    const __m256i i = _mm256_cvtps_epi32(n), a = _mm256_srai_epi32(i, 1), b = _mm256_sub_epi32(i, a),
                  bias = _mm256_set1_epi32(127);
    const __m256 fa = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a, bias), 23));
    const __m256 fb = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(b, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, fa), fb);
}
LANES_FN float vf_sum(VF v)
{
    return el_hsum_avx2(v);
}
LANES_FN void vf_sum_4(const VF v[4], float *y)
{
    _mm_storeu_ps(y, el_hsum_4_avx2(v));
}
LANES_FN float vf_greatest(VF v)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
LANES_FN void v_prefetch(const uint8_t *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

#include "kernels/lanes.inc"
#endif

#endif
