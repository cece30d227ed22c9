/* Small things on eight float32 lanes that several AVX2 files need. */
#ifndef EL_KERNELS_X86_SIMD_AVX2_H
#define EL_KERNELS_X86_SIMD_AVX2_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>

#include "kernels/x86/kernels_x86.h"

/* ((0+4) + (2+6)) + ((1+5) + (3+7)) */
EL_INLINE EL_AVX2 float el_hsum_avx2(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

/* (0 + 2) + (1 + 3) of each of four registers. */
EL_INLINE EL_AVX2 __m128 el_hsum_4x4(const __m128 s[4])
{
    const __m128 a = _mm_add_ps(_mm_unpacklo_ps(s[0], s[1]), _mm_unpackhi_ps(s[0], s[1]));
    const __m128 b = _mm_add_ps(_mm_unpacklo_ps(s[2], s[3]), _mm_unpackhi_ps(s[2], s[3]));
    return _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
}

/* el_hsum_avx2 of four registers, to the bit. */
EL_INLINE EL_AVX2 __m128 el_hsum_4_avx2(const __m256 v[4])
{
    __m128 s[4];
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++)
        s[i] = _mm_add_ps(_mm256_castps256_ps128(v[i]), _mm256_extractf128_ps(v[i], 1));
    return el_hsum_4x4(s);
}

EL_INLINE EL_AVX2 double el_hsum_pd_avx2(__m256d v)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    s = _mm_add_sd(s, _mm_unpackhi_pd(s, s));
    return _mm_cvtsd_f64(s);
}

/* All ones in the first n < 8 lanes. */
EL_INLINE EL_AVX2 __m256i el_part_avx2(uint64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

/* The first n lanes from memory, 0 in the others; nothing beyond is read or written. */
EL_INLINE EL_AVX2 __m256 el_load_part_avx2(const float *p, uint64_t n)
{
    return _mm256_maskload_ps(p, el_part_avx2(n));
}

EL_INLINE EL_AVX2 void el_store_part_avx2(float *p, uint64_t n, __m256 v)
{
    _mm256_maskstore_ps(p, el_part_avx2(n), v);
}
#endif

#endif
