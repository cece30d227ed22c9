/* AVX-512 VNNI: the vectors of laid_kernels.inc, a strip's sixteen rows in one register. */
#ifndef EL_KERNELS_X86_LAID_AVX512VNNI_H
#define EL_KERNELS_X86_LAID_AVX512VNNI_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/x86/kernels_x86.h"
#include "tensor/layout.h"

/* Level amx has all of this for its strips: it defines these, and LAID_MATRIX. */
#ifndef LAID_TARGET
#define LAID_TARGET EL_AVX512VNNI
#define LAID_FN     EL_INLINE EL_AVX512VNNI
#endif
#define VI __m512i
#define VF __m512

#define LAID_ANY_BYTE

/* 12 sums and 12 results of a tile, or 16 of the few tokens, and what they are made of fit 32 registers. */
enum { LAID_FEW = 8, LAID_TOGETHER = 8, LAID_STRIPS = 2, LAID_MANY = 32, LAID_AHEAD = 12992 };
#ifdef LAID_MATRIX
enum { LAID_TOKENS = 16, LAID_DOTS = 4 };
#else
enum { LAID_TOKENS = 6 };
#endif

LAID_FN VI v_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
LAID_FN void v_prefetch(uintptr_t p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}
LAID_FN void v_store(void *p, VI v)
{
    _mm512_storeu_si512(p, v);
}
LAID_FN VF v_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
LAID_FN VI v_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
LAID_FN VI v_u16(const uint8_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
LAID_FN VI v_set(uint32_t v)
{
    return _mm512_set1_epi32((int)v);
}
LAID_FN VI v_and(VI a, VI b)
{
    return _mm512_and_si512(a, b);
}
LAID_FN VI v_or(VI a, VI b)
{
    return _mm512_or_si512(a, b);
}
LAID_FN VI v_xor(VI a, VI b)
{
    return _mm512_xor_si512(a, b);
}
LAID_FN VI v_add(VI a, VI b)
{
    return _mm512_add_epi32(a, b);
}
LAID_FN VI v_sub(VI a, VI b)
{
    return _mm512_sub_epi32(a, b);
}
LAID_FN VI v_shr(VI v, unsigned n)
{
    return _mm512_srli_epi32(v, n);
}
LAID_FN VI v_shl(VI v, unsigned n)
{
    return _mm512_slli_epi32(v, n);
}
LAID_FN VI v_shr_by(VI v, unsigned n)
{
    return _mm512_srl_epi32(v, _mm_cvtsi32_si128((int)n));
}
LAID_FN VI v_lut(VI codes, const uint8_t table[16])
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), codes);
}
LAID_FN VI v_mul16(VI a, VI b)
{
    return _mm512_mullo_epi16(a, b);
}
LAID_FN VI v_spread(VI v, unsigned n)
{
    const VI table =
        _mm512_setr_epi32(0x00000000, 0x00000010, 0x00001000, 0x00001010, 0x00100000, 0x00100010, 0x00101000, 0x00101010,
                          0x10000000, 0x10000010, 0x10001000, 0x10001010, 0x10100000, 0x10100010, 0x10101000, 0x10101010);
    return _mm512_permutexvar_epi32(v_shr(v, n), table); /* the index is the low four bits */
}
LAID_FN VI v_madd(VI a, VI b)
{
    return _mm512_madd_epi16(a, b);
}
LAID_FN VI v_four(const void *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
LAID_FN VI v_start(VI pair, int off, int max, bool low, bool high)
{
    (void)max;
    return off ? v_madd(pair, v_set((low ? (uint32_t)-off & 0xffffu : 0) | (high ? (uint32_t)-off << 16 : 0)))
               : _mm512_setzero_si512();
}
LAID_FN VI v_dot(VI acc, VI codes, VI four, int off, int max)
{
    (void)off;
    (void)max;
    return _mm512_dpbusd_epi32(acc, codes, four);
}
LAID_FN VF vf_one(const float *p)
{
    return _mm512_set1_ps(*p);
}
LAID_FN VF vf_zero(void)
{
    return _mm512_setzero_ps();
}
LAID_FN VF vf_load(const void *p)
{
    return _mm512_loadu_ps(p);
}
LAID_FN void vf_store(void *p, VF v)
{
    _mm512_storeu_ps(p, v);
}
LAID_FN VF vf_bits(VI v)
{
    return _mm512_castsi512_ps(v);
}
LAID_FN VF vf_cvt(VI v)
{
    return _mm512_cvtepi32_ps(v);
}
LAID_FN VF vf_mul(VF a, VF b)
{
    return _mm512_mul_ps(a, b);
}
LAID_FN VF vf_neg(VF v)
{
    return _mm512_castsi512_ps(v_xor(_mm512_castps_si512(v), v_set(0x80000000u)));
}
LAID_FN VF vf_fma(VF a, VF b, VF c)
{
    return _mm512_fmadd_ps(a, b, c);
}
LAID_FN void vf_store_rows(float *p, VF v, unsigned n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
#endif

#endif
