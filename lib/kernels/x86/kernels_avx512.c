/*
 * AVX-512: everything but matrix products and attention. The last elements go through the same instructions under a mask, so that
 * an element's bits do not depend on its place. add, axpy, axpby and rope
 * round every product and every sum as the reference does.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx512.h"

enum { LANES = 16 };

EL_AVX512 static void quantize_block(const float *x, uint64_t n, int8_t *q8, float *scale, int16_t *sum)
{
    const __mmask16 m0 = el_left_avx512(n), m1 = n > LANES ? el_left_avx512(n - LANES) : 0;
    const __m512 x0 = _mm512_maskz_loadu_ps(m0, x), x1 = _mm512_maskz_loadu_ps(m1, x + LANES);
    /* As integers the absolute values are ordered, infinities and NaNs on top. */
    const __m512i abs0 = _mm512_castps_si512(_mm512_abs_ps(x0)), abs1 = _mm512_castps_si512(_mm512_abs_ps(x1));
    const uint32_t max_bits = _mm512_reduce_max_epu32(_mm512_max_epu32(abs0, abs1));
    const float max = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)max_bits)));
    *scale = max <= FLT_MAX ? max / 127.0f : (float)NAN;
    __m512i q0 = _mm512_setzero_si512(), q1 = q0;
    if (*scale > 0) {
        const __m512 s = _mm512_set1_ps(*scale), least = _mm512_set1_ps(-127.0f), most = _mm512_set1_ps(127.0f);
        q0 = _mm512_cvtps_epi32(_mm512_max_ps(least, _mm512_min_ps(most, _mm512_div_ps(x0, s))));
        q1 = _mm512_cvtps_epi32(_mm512_max_ps(least, _mm512_min_ps(most, _mm512_div_ps(x1, s))));
    }
    _mm_storeu_si128((__m128i *)(void *)q8, _mm512_cvtepi32_epi8(q0));
    _mm_storeu_si128((__m128i *)(void *)(q8 + LANES), _mm512_cvtepi32_epi8(q1));
    sum[0] = (int16_t)_mm512_reduce_add_epi32(q0);
    sum[1] = (int16_t)_mm512_reduce_add_epi32(q1);
}

EL_AVX512 static void quantize_act_avx512(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, int8_t *q8, float *scale,
                                          int16_t *sum)
{
    for (uint64_t t = 0; t < n; t++) {
        for (uint64_t i = 0; i < n_in; i += EL_ACT_BLOCK) {
            quantize_block(x + t * x_stride + i, n_in - i, q8, scale, sum);
            q8 += EL_ACT_BLOCK;
            scale += 1;
            sum += 2;
        }
    }
}

/* Sixteen float32 as float64, lower and upper half. */
EL_INLINE EL_AVX512 __m512d low_pd(__m512 v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

EL_INLINE EL_AVX512 __m512d high_pd(__m512 v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

/* Sum over a row of (x - shift)^2, or of x: each difference is rounded to float32, products and sums are float64. */
EL_INLINE EL_AVX512 double row_sum(const float *x, uint64_t d, float shift, bool square)
{
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (uint64_t i = 0; i < d; i += LANES) {
        const __mmask16 m = el_left_avx512(d - i);
        const __m512 v = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, x + i), _mm512_set1_ps(shift));
        const __m512d a = low_pd(v), b = high_pd(v);
        s0 = square ? _mm512_fmadd_pd(a, a, s0) : _mm512_add_pd(s0, a);
        s1 = square ? _mm512_fmadd_pd(b, b, s1) : _mm512_add_pd(s1, b);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
}

EL_AVX512 static void rmsnorm_avx512(const float *x, const float *gain, float eps, uint64_t n, uint64_t d, float *y)
{
    for (uint64_t t = 0; t < n; t++, x += d, y += d) {
        const __m512 r = _mm512_set1_ps((float)(1.0 / sqrt(row_sum(x, d, 0.0f, true) / (double)d + (double)eps)));
        for (uint64_t i = 0; i < d; i += LANES) {
            const __mmask16 m = el_left_avx512(d - i);
            const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), r);
            _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, gain + i)));
        }
    }
}

EL_AVX512 static void layernorm_avx512(const float *x, const float *gain, const float *bias, float eps, uint64_t n, uint64_t d,
                                       float *y)
{
    for (uint64_t t = 0; t < n; t++, x += d, y += d) {
        const float mean = (float)(row_sum(x, d, 0.0f, false) / (double)d);
        const __m512 r = _mm512_set1_ps((float)(1.0 / sqrt(row_sum(x, d, mean, true) / (double)d + (double)eps)));
        for (uint64_t i = 0; i < d; i += LANES) {
            const __mmask16 m = el_left_avx512(d - i);
            __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_set1_ps(mean)), r);
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, gain + i));
            if (bias)
                v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, bias + i));
            _mm512_mask_storeu_ps(y + i, m, v);
        }
    }
}

/* x / (1 + exp(-a)) */
EL_INLINE EL_AVX512 __m512 times_sigmoid(__m512 x, __m512 a)
{
    const __m512 e = el_exp_avx512(_mm512_sub_ps(_mm512_setzero_ps(), a));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

EL_AVX512 static void silu_mul_avx512(const float *gate, const float *up, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        const __m512 g = _mm512_maskz_loadu_ps(m, gate + i);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(times_sigmoid(g, g), _mm512_maskz_loadu_ps(m, up + i)));
    }
}

EL_AVX512 static void gelu_tanh_avx512(const float *x, uint64_t n, float *y)
{
    const __m512 two_c = _mm512_set1_ps(2 * 0.79788456080286535588f), cubic = _mm512_set1_ps(0.044715f);
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(cubic, v), v), v);
        _mm512_mask_storeu_ps(y + i, m, times_sigmoid(v, _mm512_mul_ps(two_c, _mm512_add_ps(v, cube))));
    }
}

EL_AVX512 static void add_avx512(float *y, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        _mm512_mask_storeu_ps(y + i, m, _mm512_add_ps(_mm512_maskz_loadu_ps(m, y + i), _mm512_maskz_loadu_ps(m, x + i)));
    }
}

EL_AVX512 static void axpy_avx512(float *y, float a, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        const __m512 ax = _mm512_mul_ps(_mm512_set1_ps(a), _mm512_maskz_loadu_ps(m, x + i));
        _mm512_mask_storeu_ps(y + i, m, _mm512_add_ps(_mm512_maskz_loadu_ps(m, y + i), ax));
    }
}

EL_AVX512 static void axpby_avx512(float *y, float a, const float *x, float b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        const __m512 ay = _mm512_mul_ps(_mm512_set1_ps(a), _mm512_maskz_loadu_ps(m, y + i));
        const __m512 bx = _mm512_mul_ps(_mm512_set1_ps(b), _mm512_maskz_loadu_ps(m, x + i));
        _mm512_mask_storeu_ps(y + i, m, _mm512_add_ps(ay, bx));
    }
}

EL_AVX512 static void divide_avx512(float *y, float by, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        _mm512_mask_storeu_ps(y + i, m, _mm512_div_ps(_mm512_maskz_loadu_ps(m, y + i), _mm512_set1_ps(by)));
    }
}

EL_AVX512 static bool all_finite_avx512(const float *x, uint64_t n)
{
    /* x * 0 is 0 for a finite x and a NaN else, and a NaN stays one in a sum. */
    const __m512 zero = _mm512_setzero_ps();
    __m512 a = zero, b = zero;
    uint64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        a = _mm512_fmadd_ps(_mm512_loadu_ps(x + i), zero, a);
        b = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + LANES), zero, b);
    }
    for (; i < n; i += LANES)
        a = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(el_left_avx512(n - i), x + i), zero, a);
    a = _mm512_add_ps(a, b);
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) == 0;
}

EL_AVX512 static void rope_avx512(float *x, const float *cos, const float *sin, uint32_t n_rot)
{
    const uint32_t half = n_rot / 2;
    for (uint32_t i = 0; i < half; i += LANES) {
        const __mmask16 m = el_left_avx512(half - i);
        const __m512 a = _mm512_maskz_loadu_ps(m, x + i), b = _mm512_maskz_loadu_ps(m, x + half + i);
        const __m512 c = _mm512_maskz_loadu_ps(m, cos + i), s = _mm512_maskz_loadu_ps(m, sin + i);
        _mm512_mask_storeu_ps(x + i, m, _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, m, _mm512_add_ps(_mm512_mul_ps(b, c), _mm512_mul_ps(a, s)));
    }
}

EL_AVX512 static void f32_to_f16_avx512(const float *x, uint64_t n, uint16_t *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        _mm256_mask_storeu_epi16(y + i, m, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

EL_AVX512 static void f16_to_f32_avx512(const uint16_t *x, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __mmask16 m = el_left_avx512(n - i);
        const __m256i h = _mm256_maskz_loadu_epi16(m, x + i);
        __m512i v = _mm512_castps_si512(_mm512_cvtph_ps(h));
        /* The conversion makes signalling NaNs quiet; base/f16.h keeps their bits. */
        const __m512i wide = _mm512_cvtepu16_epi32(h);
        const __mmask16 nan =
            _mm512_cmpgt_epi32_mask(_mm512_and_si512(wide, _mm512_set1_epi32(0x7fff)), _mm512_set1_epi32(0x7c00));
        if (nan) {
            const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(wide, _mm512_set1_epi32(0x8000)), 16);
            const __m512i payload = _mm512_slli_epi32(_mm512_and_si512(wide, _mm512_set1_epi32(0x3ff)), 13);
            v = _mm512_mask_or_epi32(v, nan, _mm512_or_si512(sign, payload), _mm512_set1_epi32(0x7f800000));
        }
        _mm512_mask_storeu_ps(y + i, m, _mm512_castsi512_ps(v));
    }
}

void el_kernels_init_avx512(struct el_kernels *k)
{
    el_matmul_init_avx512(k);
    el_attn_init_avx512(k);
    el_group_f32_init_avx512(k);
    el_outer_init_avx512(k);
    k->quantize_act = quantize_act_avx512;
    k->rmsnorm = rmsnorm_avx512;
    k->layernorm = layernorm_avx512;
    k->silu_mul = silu_mul_avx512;
    k->gelu_tanh = gelu_tanh_avx512;
    k->add = add_avx512;
    k->axpy = axpy_avx512;
    k->axpby = axpby_avx512;
    k->divide = divide_avx512;
    k->all_finite = all_finite_avx512;
    k->rope = rope_avx512;
    k->f32_to_f16 = f32_to_f16_avx512;
    k->f16_to_f32 = f16_to_f32_avx512;
}
#endif
