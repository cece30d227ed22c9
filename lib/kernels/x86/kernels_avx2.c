/*
 * AVX2: everything but matrix products and attention. The last elements go through the same instructions, padded with zeros, so
 * that an element's bits do not depend on its place. add, axpy, axpby and rope round every product and every sum as the
 * reference does.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { LANES = 8 };

/* Eight lanes, or the n < 8 that are left. */
EL_INLINE EL_AVX2 __m256 load(const float *p, uint64_t n)
{
    return n >= LANES ? _mm256_loadu_ps(p) : el_load_part_avx2(p, n);
}

EL_INLINE EL_AVX2 void store(float *p, uint64_t n, __m256 v)
{
    if (n >= LANES)
        _mm256_storeu_ps(p, v);
    else
        el_store_part_avx2(p, n, v);
}

/* Sums of lanes 0-7 and 8-15 of four vectors of eight integers. */
EL_INLINE EL_AVX2 void sum_halves(const __m256i q[4], int16_t *sum)
{
    const __m256i pairs = _mm256_hadd_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3]));
    const __m256i fours = _mm256_hadd_epi32(pairs, pairs);
    const __m128i both = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    sum[0] = (int16_t)_mm_cvtsi128_si32(both);
    sum[1] = (int16_t)_mm_extract_epi32(both, 1);
}

EL_INLINE EL_AVX2 uint32_t max_u32(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

EL_AVX2 static void quantize_block(const float *x, int8_t *q8, float *scale, int16_t *sum)
{
    __m256 v[4];
    __m256i max = _mm256_setzero_si256();
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + i * LANES);
        /* As integers the absolute values are ordered, infinities and NaNs on top. */
        max = _mm256_max_epu32(max, _mm256_and_si256(_mm256_castps_si256(v[i]), _mm256_set1_epi32(0x7fffffff)));
    }
    const float top = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)max_u32(max))));
    *scale = top <= FLT_MAX ? top / 127.0f : (float)NAN;
    if (!(*scale > 0)) {
        memset(q8, 0, EL_ACT_BLOCK);
        sum[0] = sum[1] = 0;
        return;
    }
    const __m256 s = _mm256_set1_ps(*scale), least = _mm256_set1_ps(-127.0f), most = _mm256_set1_ps(127.0f);
    __m256i q[4];
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++)
        q[i] = _mm256_cvtps_epi32(_mm256_max_ps(least, _mm256_min_ps(most, _mm256_div_ps(v[i], s))));
    sum_halves(q, sum);
    /* Packing works within halves; the permutation puts the groups of four bytes back in order. */
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
    _mm256_storeu_si256((__m256i *)(void *)q8, _mm256_permutevar8x32_epi32(bytes, order));
}

EL_AVX2 static void quantize_act_avx2(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, int8_t *q8, float *scale,
                                      int16_t *sum)
{
    for (uint64_t t = 0; t < n; t++) {
        for (uint64_t i = 0; i < n_in; i += EL_ACT_BLOCK) {
            const float *block = x + t * x_stride + i;
            float padded[EL_ACT_BLOCK];
            if (n_in - i < EL_ACT_BLOCK) {
                memset(padded, 0, sizeof padded);
                memcpy(padded, block, (n_in - i) * sizeof *padded);
                block = padded;
            }
            quantize_block(block, q8, scale, sum);
            q8 += EL_ACT_BLOCK;
            scale += 1;
            sum += 2;
        }
    }
}

/* Sum over a row of (x - shift)^2, or of x: each difference is rounded to float32, products and sums are float64. */
EL_INLINE EL_AVX2 double row_sum(const float *x, uint64_t d, float shift, bool square)
{
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    for (uint64_t i = 0; i < d; i += LANES) {
        __m256 v = _mm256_sub_ps(load(x + i, d - i), _mm256_set1_ps(shift));
        if (d - i < LANES)
            v = _mm256_and_ps(v, _mm256_castsi256_ps(el_part_avx2(d - i)));
        const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        s0 = square ? _mm256_fmadd_pd(a, a, s0) : _mm256_add_pd(s0, a);
        s1 = square ? _mm256_fmadd_pd(b, b, s1) : _mm256_add_pd(s1, b);
    }
    return el_hsum_pd_avx2(_mm256_add_pd(s0, s1));
}

EL_AVX2 static void rmsnorm_avx2(const float *x, const float *gain, float eps, uint64_t n, uint64_t d, float *y)
{
    for (uint64_t t = 0; t < n; t++, x += d, y += d) {
        const __m256 r = _mm256_set1_ps((float)(1.0 / sqrt(row_sum(x, d, 0.0f, true) / (double)d + (double)eps)));
        for (uint64_t i = 0; i < d; i += LANES)
            store(y + i, d - i, _mm256_mul_ps(_mm256_mul_ps(load(x + i, d - i), r), load(gain + i, d - i)));
    }
}

EL_AVX2 static void layernorm_avx2(const float *x, const float *gain, const float *bias, float eps, uint64_t n, uint64_t d,
                                   float *y)
{
    for (uint64_t t = 0; t < n; t++, x += d, y += d) {
        const float mean = (float)(row_sum(x, d, 0.0f, false) / (double)d);
        const __m256 r = _mm256_set1_ps((float)(1.0 / sqrt(row_sum(x, d, mean, true) / (double)d + (double)eps)));
        for (uint64_t i = 0; i < d; i += LANES) {
            __m256 v = _mm256_mul_ps(_mm256_sub_ps(load(x + i, d - i), _mm256_set1_ps(mean)), r);
            v = _mm256_mul_ps(v, load(gain + i, d - i));
            store(y + i, d - i, bias ? _mm256_add_ps(v, load(bias + i, d - i)) : v);
        }
    }
}

/* x / (1 + exp(-a)) */
EL_INLINE EL_AVX2 __m256 times_sigmoid(__m256 x, __m256 a)
{
    const __m256 e = el_exp_avx2(_mm256_sub_ps(_mm256_setzero_ps(), a));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

EL_AVX2 static void silu_mul_avx2(const float *gate, const float *up, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __m256 g = load(gate + i, n - i);
        store(y + i, n - i, _mm256_mul_ps(times_sigmoid(g, g), load(up + i, n - i)));
    }
}

EL_AVX2 static void gelu_tanh_avx2(const float *x, uint64_t n, float *y)
{
    const __m256 two_c = _mm256_set1_ps(2 * 0.79788456080286535588f), cubic = _mm256_set1_ps(0.044715f);
    for (uint64_t i = 0; i < n; i += LANES) {
        const __m256 v = load(x + i, n - i);
        const __m256 cube = _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(cubic, v), v), v);
        store(y + i, n - i, times_sigmoid(v, _mm256_mul_ps(two_c, _mm256_add_ps(v, cube))));
    }
}

EL_AVX2 static void add_avx2(float *y, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES)
        store(y + i, n - i, _mm256_add_ps(load(y + i, n - i), load(x + i, n - i)));
}

EL_AVX2 static void axpy_avx2(float *y, float a, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES)
        store(y + i, n - i, _mm256_add_ps(load(y + i, n - i), _mm256_mul_ps(_mm256_set1_ps(a), load(x + i, n - i))));
}

EL_AVX2 static void axpby_avx2(float *y, float a, const float *x, float b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __m256 ay = _mm256_mul_ps(_mm256_set1_ps(a), load(y + i, n - i));
        store(y + i, n - i, _mm256_add_ps(ay, _mm256_mul_ps(_mm256_set1_ps(b), load(x + i, n - i))));
    }
}

EL_AVX2 static void divide_avx2(float *y, float by, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES)
        store(y + i, n - i, _mm256_div_ps(load(y + i, n - i), _mm256_set1_ps(by)));
}

EL_AVX2 static bool all_finite_avx2(const float *x, uint64_t n)
{
    /* x * 0 is 0 for a finite x and a NaN else, and a NaN stays one in a sum. */
    const __m256 zero = _mm256_setzero_ps();
    __m256 a = zero, b = zero;
    uint64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        a = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), zero, a);
        b = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + LANES), zero, b);
    }
    for (; i < n; i += LANES)
        a = _mm256_fmadd_ps(load(x + i, n - i), zero, a);
    a = _mm256_add_ps(a, b);
    return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) == 0;
}

EL_AVX2 static void rope_avx2(float *x, const float *cos, const float *sin, uint32_t n_rot)
{
    const uint32_t half = n_rot / 2;
    for (uint32_t i = 0; i < half; i += LANES) {
        const uint32_t n = half - i;
        const __m256 a = load(x + i, n), b = load(x + half + i, n), c = load(cos + i, n), s = load(sin + i, n);
        store(x + i, n, _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s)));
        store(x + half + i, n, _mm256_add_ps(_mm256_mul_ps(b, c), _mm256_mul_ps(a, s)));
    }
}

EL_AVX2 static void f32_to_f16_avx2(const float *x, uint64_t n, uint16_t *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const __m128i h = _mm256_cvtps_ph(load(x + i, n - i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        memcpy(y + i, &h, n - i < LANES ? (n - i) * 2 : sizeof h);
    }
}

EL_AVX2 static void f16_to_f32_avx2(const uint16_t *x, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        __m128i h = _mm_setzero_si128();
        memcpy(&h, x + i, n - i < LANES ? (n - i) * 2 : sizeof h);
        __m256i v = _mm256_castps_si256(_mm256_cvtph_ps(h));
        /* The conversion makes signalling NaNs quiet; base/f16.h keeps their bits. */
        const __m256i wide = _mm256_cvtepu16_epi32(h);
        const __m256i nan = _mm256_cmpgt_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x7fff)), _mm256_set1_epi32(0x7c00));
        if (_mm256_movemask_epi8(nan)) {
            const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x8000)), 16);
            const __m256i payload = _mm256_slli_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x3ff)), 13);
            const __m256i kept = _mm256_or_si256(_mm256_or_si256(sign, payload), _mm256_set1_epi32(0x7f800000));
            v = _mm256_blendv_epi8(v, kept, nan);
        }
        store(y + i, n - i, _mm256_castsi256_ps(v));
    }
}

void el_kernels_init_avx2(struct el_kernels *k)
{
    el_matmul_init_avx2(k);
    el_laid_init_avx2(k);
    el_matmul_group_init_avx2(k);
    el_attn_init_avx2(k);
    el_decode_init_avx2(k);
    el_decode_super_init_avx2(k);
    el_decode_iq_init_avx2(k);
    el_group_f32_init_avx2(k);
    el_outer_init_avx2(k);
    k->quantize_act = quantize_act_avx2;
    k->rmsnorm = rmsnorm_avx2;
    k->layernorm = layernorm_avx2;
    k->silu_mul = silu_mul_avx2;
    k->gelu_tanh = gelu_tanh_avx2;
    k->add = add_avx2;
    k->axpy = axpy_avx2;
    k->axpby = axpby_avx2;
    k->divide = divide_avx2;
    k->all_finite = all_finite_avx2;
    k->rope = rope_avx2;
    k->f32_to_f16 = f32_to_f16_avx2;
    k->f16_to_f32 = f16_to_f32_avx2;
}
#endif
