/* Small things on sixteen float32 lanes that several AVX-512 files need. */
#ifndef EL_KERNELS_X86_SIMD_AVX512_H
#define EL_KERNELS_X86_SIMD_AVX512_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>

#include "kernels/exp_poly.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

/* Mask of the lanes that are left: all sixteen, or the last ones. */
EL_INLINE EL_AVX512 __mmask16 el_left_avx512(uint64_t left)
{
    return left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1);
}

/* Lane l + lane l + 8, then as el_hsum_avx2. */
EL_INLINE EL_AVX512 float el_hsum_avx512(__m512 v)
{
    return el_hsum_avx2(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

/* el_hsum_avx512 of four registers, to the bit. */
EL_INLINE EL_AVX512 __m128 el_hsum_4_avx512(const __m512 v[4])
{
    __m128 s[4];
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));
        s[i] = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    }
    return el_hsum_4x4(s);
}

EL_INLINE EL_AVX512 __m512 el_exp_avx512(__m512 x)
{
    /* min and max give their second operand when one is a NaN. */
    x = _mm512_max_ps(_mm512_set1_ps(el_exp_min), _mm512_min_ps(_mm512_set1_ps(el_exp_max), x));
    const __m512 n =
        _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(el_exp_log2e)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(el_exp_ln2_hi), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(el_exp_ln2_lo), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(el_exp_c6), r, _mm512_set1_ps(el_exp_c5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(el_exp_c4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(el_exp_c3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(el_exp_c2));
    p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}
#endif

#endif
