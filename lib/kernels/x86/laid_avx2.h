/*
 * AVX2: the vectors of laid_kernels.inc, a strip's sixteen rows in two registers. The bytes of codes and activations are
 * multiplied to pairs of 16 bits: no sum of two overflows where codes are at most 128; larger codes become signed numbers again,
 * and their sign goes to the activations.
 */
#ifndef EL_KERNELS_X86_LAID_AVX2_H
#define EL_KERNELS_X86_LAID_AVX2_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/x86/kernels_x86.h"
#include "tensor/layout.h"

/* Level avxvnni has all of this but dot_half: it defines these, and LAID_DPBUSD. */
#ifndef LAID_TARGET
#define LAID_TARGET EL_AVX2
#define LAID_FN     EL_INLINE EL_AVX2
#endif
#define VI struct laid_vi
#define VF struct laid_vf

struct laid_vi {
    __m256i a, b;
};
struct laid_vf {
    __m256 a, b;
};

/* Eight of the sixteen registers hold the sums of a tile; its results stay in memory. */
enum { LAID_FEW = 4, LAID_TOGETHER = 4, LAID_STRIPS = 1, LAID_TOKENS = 4, LAID_MANY = 8, LAID_AHEAD = 12992 };
#ifdef LAID_DPBUSD
#define LAID_ANY_BYTE
enum { LAID_SIGNED_FROM = 256 }; /* no code */
#else
enum { LAID_SIGNED_FROM = 129 };
#endif

LAID_FN VI v_load(const void *p)
{
    const __m256i *const v = p;
    return (VI){_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
}
LAID_FN void v_prefetch(uintptr_t p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}
LAID_FN void v_store(void *p, VI v)
{
    __m256i *const to = p;
    _mm256_storeu_si256(to, v.a);
    _mm256_storeu_si256(to + 1, v.b);
}
LAID_FN VF v_f16(const uint8_t *p)
{
    const __m128i *const v = (const __m128i *)(const void *)p;
    return (VF){_mm256_cvtph_ps(_mm_loadu_si128(v)), _mm256_cvtph_ps(_mm_loadu_si128(v + 1))};
}
LAID_FN VI v_u8(const uint8_t *p)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (VI){_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8))};
}
LAID_FN VI v_u16(const uint8_t *p)
{
    const __m128i *const v = (const __m128i *)(const void *)p;
    return (VI){_mm256_cvtepu16_epi32(_mm_loadu_si128(v)), _mm256_cvtepu16_epi32(_mm_loadu_si128(v + 1))};
}
LAID_FN VI v_both(__m256i v)
{
    return (VI){v, v};
}
LAID_FN VI v_set(uint32_t v)
{
    return v_both(_mm256_set1_epi32((int)v));
}
LAID_FN VI v_and(VI x, VI y)
{
    return (VI){_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
LAID_FN VI v_or(VI x, VI y)
{
    return (VI){_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
LAID_FN VI v_xor(VI x, VI y)
{
    return (VI){_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
LAID_FN VI v_add(VI x, VI y)
{
    return (VI){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
LAID_FN VI v_sub(VI x, VI y)
{
    return (VI){_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
LAID_FN VI v_shr(VI v, unsigned n)
{
    return (VI){_mm256_srli_epi32(v.a, (int)n), _mm256_srli_epi32(v.b, (int)n)};
}
LAID_FN VI v_shl(VI v, unsigned n)
{
    return (VI){_mm256_slli_epi32(v.a, (int)n), _mm256_slli_epi32(v.b, (int)n)};
}
LAID_FN VI v_shr_by(VI v, unsigned n)
{
    const __m128i by = _mm_cvtsi32_si128((int)n);
    return (VI){_mm256_srl_epi32(v.a, by), _mm256_srl_epi32(v.b, by)};
}
LAID_FN VI v_lut(VI codes, const uint8_t table[16])
{
    const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    return (VI){_mm256_shuffle_epi8(t, codes.a), _mm256_shuffle_epi8(t, codes.b)};
}
LAID_FN VI v_mul16(VI x, VI y)
{
    return (VI){_mm256_mullo_epi16(x.a, y.a), _mm256_mullo_epi16(x.b, y.b)};
}
/* Byte k of a lane is its lowest byte; the mask keeps bit k of it; what is left is 0 or the mask. */
LAID_FN __m256i v_spread_half(__m256i v)
{
    const __m256i lowest = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    const __m256i mask = _mm256_set1_epi32(0x08040201);
    const __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(v, lowest), mask);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bits, mask), _mm256_set1_epi8(16));
}
LAID_FN VI v_spread(VI v, unsigned n)
{
    const VI low = v_shr(v, n);
    return (VI){v_spread_half(low.a), v_spread_half(low.b)};
}
LAID_FN VI v_madd(VI x, VI y)
{
    return (VI){_mm256_madd_epi16(x.a, y.a), _mm256_madd_epi16(x.b, y.b)};
}
LAID_FN VI v_four(const void *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return v_both(_mm256_set1_epi32(v));
}
LAID_FN VI v_start(VI pair, int off, int max, bool low, bool high)
{
    if (off == 0 || max >= LAID_SIGNED_FROM)
        return v_both(_mm256_setzero_si256());
    return v_madd(pair, v_set((low ? (uint32_t)-off & 0xffffu : 0) | (high ? (uint32_t)-off << 16 : 0)));
}
LAID_FN __m256i dot_half(__m256i acc, __m256i codes, __m256i four, int off, int max)
{
    if (max >= LAID_SIGNED_FROM) {
        const __m256i w = _mm256_sub_epi8(codes, _mm256_set1_epi8((char)off));
        four = _mm256_sign_epi8(four, w);
        codes = _mm256_abs_epi8(w);
    }
#ifdef LAID_DPBUSD
    return LAID_DPBUSD(acc, codes, four);
#else
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, four), _mm256_set1_epi16(1)));
#endif
}
LAID_FN VI v_dot(VI acc, VI codes, VI four, int off, int max)
{
    return (VI){dot_half(acc.a, codes.a, four.a, off, max), dot_half(acc.b, codes.b, four.b, off, max)};
}
LAID_FN VF vf_one(const float *p)
{
    const __m256 v = _mm256_broadcast_ss(p);
    return (VF){v, v};
}
LAID_FN VF vf_zero(void)
{
    return (VF){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
LAID_FN VF vf_load(const void *p)
{
    const float *const v = p;
    return (VF){_mm256_loadu_ps(v), _mm256_loadu_ps(v + 8)};
}
LAID_FN void vf_store(void *p, VF v)
{
    float *const to = p;
    _mm256_storeu_ps(to, v.a);
    _mm256_storeu_ps(to + 8, v.b);
}
LAID_FN VF vf_bits(VI v)
{
    return (VF){_mm256_castsi256_ps(v.a), _mm256_castsi256_ps(v.b)};
}
LAID_FN VF vf_cvt(VI v)
{
    return (VF){_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)};
}
LAID_FN VF vf_mul(VF x, VF y)
{
    return (VF){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
LAID_FN VF vf_neg(VF v)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (VF){_mm256_xor_ps(v.a, sign), _mm256_xor_ps(v.b, sign)};
}
LAID_FN VF vf_fma(VF x, VF y, VF z)
{
    return (VF){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
LAID_FN void vf_store_rows(float *p, VF v, unsigned n)
{
    if (n == EL_STRIP_ROWS) {
        vf_store(p, v);
        return;
    }
    float rows[EL_STRIP_ROWS];
    vf_store(rows, v);
    memcpy(p, rows, n * sizeof *p);
}
#endif

#endif
