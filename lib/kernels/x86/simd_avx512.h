/* Small things on sixteen float32 lanes that several AVX-512 files need. */
#ifndef EL_KERNELS_X86_SIMD_AVX512_H
#define EL_KERNELS_X86_SIMD_AVX512_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>

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
#endif

#endif
