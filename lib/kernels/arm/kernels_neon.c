/*
 * NEON: everything but matrix products and attention. The last elements go through the same instructions, padded with zeros, so
 * that an element's bits do not depend on its place. add, axpy, axpby and rope round every product and every sum as the
 * reference does.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include <arm_neon.h>

#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/simd_neon.h"

enum { LANES = EL_V8_LANES, VECTORS = EL_ACT_BLOCK / 4 };

static void quantize_block(const float *x, int8_t *q8, float *scale, int16_t *sum)
{
    float32x4_t v[VECTORS];
    uint32x4_t max = vdupq_n_u32(0);
    EL_UNROLL
    for (unsigned i = 0; i < VECTORS; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        /* As integers the absolute values are ordered, infinities and NaNs on top. */
        max = vmaxq_u32(max, vreinterpretq_u32_f32(vabsq_f32(v[i])));
    }
    const uint32_t bits = vmaxvq_u32(max);
    float top;
    memcpy(&top, &bits, sizeof top);
    *scale = top <= FLT_MAX ? top / 127.0f : (float)NAN;
    if (!(*scale > 0)) {
        memset(q8, 0, EL_ACT_BLOCK);
        sum[0] = sum[1] = 0;
        return;
    }
    const float32x4_t s = vdupq_n_f32(*scale), least = vdupq_n_f32(-127.0f), most = vdupq_n_f32(127.0f);
    int16x8_t q[VECTORS / 2];
    EL_UNROLL
    for (unsigned i = 0; i < VECTORS / 2; i++) {
        const float32x4_t a = vmaxq_f32(least, vminq_f32(most, vdivq_f32(v[2 * i], s)));
        const float32x4_t b = vmaxq_f32(least, vminq_f32(most, vdivq_f32(v[2 * i + 1], s)));
        q[i] = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a)), vmovn_s32(vcvtnq_s32_f32(b)));
    }
    EL_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        vst1q_s8(q8 + 16 * i, vcombine_s8(vmovn_s16(q[2 * i]), vmovn_s16(q[2 * i + 1])));
        sum[i] = vaddvq_s16(vaddq_s16(q[2 * i], q[2 * i + 1]));
    }
}

static void quantize_act_neon(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, int8_t *q8, float *scale,
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

/* s + the four numbers of v, or their squares, two and two. */
EL_INLINE float64x2_t add_pd(float64x2_t s, float64x2_t v, bool square)
{
    return square ? vfmaq_f64(s, v, v) : vaddq_f64(s, v);
}

/* Sum over a row of (x - shift)^2, or of x: each difference is rounded to float32, products and sums are float64. */
EL_INLINE double row_sum(const float *x, uint64_t d, float shift, bool square)
{
    float64x2_t s[4] = {vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0)};
    for (uint64_t i = 0; i < d; i += LANES) {
        struct el_v8 v = el_v8_sub(el_v8_load_n(x + i, d - i), el_v8_set(shift));
        if (d - i < LANES) {
            float part[LANES];
            el_v8_store(part, v);
            v = el_v8_load_n(part, d - i);
        }
        s[0] = add_pd(s[0], vcvt_f64_f32(vget_low_f32(v.a)), square);
        s[1] = add_pd(s[1], vcvt_high_f64_f32(v.a), square);
        s[2] = add_pd(s[2], vcvt_f64_f32(vget_low_f32(v.b)), square);
        s[3] = add_pd(s[3], vcvt_high_f64_f32(v.b), square);
    }
    return vaddvq_f64(vaddq_f64(vaddq_f64(s[0], s[2]), vaddq_f64(s[1], s[3])));
}

static void rmsnorm_neon(const float *x, const float *gain, float eps, uint64_t n, uint64_t d, float *y)
{
    for (uint64_t t = 0; t < n; t++, x += d, y += d) {
        const struct el_v8 r = el_v8_set((float)(1.0 / sqrt(row_sum(x, d, 0.0f, true) / (double)d + (double)eps)));
        for (uint64_t i = 0; i < d; i += LANES)
            el_v8_store_n(y + i, d - i, el_v8_mul(el_v8_mul(el_v8_load_n(x + i, d - i), r), el_v8_load_n(gain + i, d - i)));
    }
}

static void layernorm_neon(const float *x, const float *gain, const float *bias, float eps, uint64_t n, uint64_t d, float *y)
{
    for (uint64_t t = 0; t < n; t++, x += d, y += d) {
        const float mean = (float)(row_sum(x, d, 0.0f, false) / (double)d);
        const struct el_v8 r = el_v8_set((float)(1.0 / sqrt(row_sum(x, d, mean, true) / (double)d + (double)eps)));
        for (uint64_t i = 0; i < d; i += LANES) {
            struct el_v8 v = el_v8_mul(el_v8_sub(el_v8_load_n(x + i, d - i), el_v8_set(mean)), r);
            v = el_v8_mul(v, el_v8_load_n(gain + i, d - i));
            el_v8_store_n(y + i, d - i, bias ? el_v8_add(v, el_v8_load_n(bias + i, d - i)) : v);
        }
    }
}

/* x / (1 + exp(-a)) */
EL_INLINE struct el_v8 times_sigmoid(struct el_v8 x, struct el_v8 a)
{
    const struct el_v8 e = el_v8_exp(el_v8_sub(el_v8_set(0), a));
    return el_v8_div(x, el_v8_add(el_v8_set(1), e));
}

static void silu_mul_neon(const float *gate, const float *up, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const struct el_v8 g = el_v8_load_n(gate + i, n - i);
        el_v8_store_n(y + i, n - i, el_v8_mul(times_sigmoid(g, g), el_v8_load_n(up + i, n - i)));
    }
}

static void gelu_tanh_neon(const float *x, uint64_t n, float *y)
{
    const struct el_v8 two_c = el_v8_set(2 * 0.79788456080286535588f), cubic = el_v8_set(0.044715f);
    for (uint64_t i = 0; i < n; i += LANES) {
        const struct el_v8 v = el_v8_load_n(x + i, n - i);
        const struct el_v8 cube = el_v8_mul(el_v8_mul(el_v8_mul(cubic, v), v), v);
        el_v8_store_n(y + i, n - i, times_sigmoid(v, el_v8_mul(two_c, el_v8_add(v, cube))));
    }
}

static void add_neon(float *y, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES)
        el_v8_store_n(y + i, n - i, el_v8_add(el_v8_load_n(y + i, n - i), el_v8_load_n(x + i, n - i)));
}

static void axpy_neon(float *y, float a, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES)
        el_v8_store_n(y + i, n - i, el_v8_add(el_v8_load_n(y + i, n - i), el_v8_mul(el_v8_set(a), el_v8_load_n(x + i, n - i))));
}

static void axpby_neon(float *y, float a, const float *x, float b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const struct el_v8 ay = el_v8_mul(el_v8_set(a), el_v8_load_n(y + i, n - i));
        el_v8_store_n(y + i, n - i, el_v8_add(ay, el_v8_mul(el_v8_set(b), el_v8_load_n(x + i, n - i))));
    }
}

static void divide_neon(float *y, float by, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += LANES)
        el_v8_store_n(y + i, n - i, el_v8_div(el_v8_load_n(y + i, n - i), el_v8_set(by)));
}

static bool all_finite_neon(const float *x, uint64_t n)
{
    /* x * 0 is 0 for a finite x and a NaN else, and a NaN stays one in a sum. */
    const struct el_v8 zero = el_v8_set(0);
    struct el_v8 sum = zero;
    for (uint64_t i = 0; i < n; i += LANES)
        sum = el_v8_fma(el_v8_load_n(x + i, n - i), zero, sum);
    return el_v8_sum(sum) == 0;
}

static void rope_neon(float *x, const float *cos, const float *sin, uint32_t n_rot)
{
    const uint32_t half = n_rot / 2;
    for (uint32_t i = 0; i < half; i += LANES) {
        const uint32_t n = half - i;
        const struct el_v8 a = el_v8_load_n(x + i, n), b = el_v8_load_n(x + half + i, n);
        const struct el_v8 c = el_v8_load_n(cos + i, n), s = el_v8_load_n(sin + i, n);
        el_v8_store_n(x + i, n, el_v8_sub(el_v8_mul(a, c), el_v8_mul(b, s)));
        el_v8_store_n(x + half + i, n, el_v8_add(el_v8_mul(b, c), el_v8_mul(a, s)));
    }
}

static void f32_to_f16_neon(const float *x, uint64_t n, uint16_t *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        const struct el_v8 v = el_v8_load_n(x + i, n - i);
        const float16x8_t h = vcombine_f16(vcvt_f16_f32(v.a), vcvt_f16_f32(v.b));
        memcpy(y + i, &h, n - i < LANES ? (n - i) * 2 : sizeof h);
    }
}

/* Four halves to float32; the conversion makes signalling NaNs quiet, base/f16.h keeps their bits. */
EL_INLINE float32x4_t widen(uint16x4_t h)
{
    const uint32x4_t v = vreinterpretq_u32_f32(vcvt_f32_f16(vreinterpret_f16_u16(h))), wide = vmovl_u16(h);
    const uint32x4_t nan = vcgtq_u32(vandq_u32(wide, vdupq_n_u32(0x7fff)), vdupq_n_u32(0x7c00));
    const uint32x4_t sign = vshlq_n_u32(vandq_u32(wide, vdupq_n_u32(0x8000)), 16);
    const uint32x4_t payload = vshlq_n_u32(vandq_u32(wide, vdupq_n_u32(0x3ff)), 13);
    return vreinterpretq_f32_u32(vbslq_u32(nan, vorrq_u32(vorrq_u32(sign, payload), vdupq_n_u32(0x7f800000)), v));
}

static void f16_to_f32_neon(const uint16_t *x, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i += LANES) {
        uint16_t h[LANES] = {0};
        memcpy(h, x + i, n - i < LANES ? (n - i) * 2 : sizeof h);
        el_v8_store_n(y + i, n - i, (struct el_v8){widen(vld1_u16(h)), widen(vld1_u16(h + 4))});
    }
}

void el_kernels_init_neon(struct el_kernels *k)
{
    el_matmul_init_neon(k);
    el_matmul_group_init_neon(k);
    el_laid_init_neon(k);
    el_attn_init_neon(k);
    el_outer_init_neon(k);
    k->quantize_act = quantize_act_neon;
    k->rmsnorm = rmsnorm_neon;
    k->layernorm = layernorm_neon;
    k->silu_mul = silu_mul_neon;
    k->gelu_tanh = gelu_tanh_neon;
    k->add = add_neon;
    k->axpy = axpy_neon;
    k->axpby = axpby_neon;
    k->divide = divide_neon;
    k->all_finite = all_finite_neon;
    k->rope = rope_neon;
    k->f32_to_f16 = f32_to_f16_neon;
    k->f16_to_f32 = f16_to_f32_neon;
}
#endif
