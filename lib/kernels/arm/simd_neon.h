/*
 * Eight float32 lanes in two registers, which all NEON files use: width and order of operations are those of AVX2, and so are the
 * bits of every sum.
 */
#ifndef EL_KERNELS_ARM_SIMD_NEON_H
#define EL_KERNELS_ARM_SIMD_NEON_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/exp_poly.h"

enum { EL_V8_LANES = 8 };

struct el_v8 {
    float32x4_t a, b;
};

EL_INLINE struct el_v8 el_v8_set(float v)
{
    return (struct el_v8){vdupq_n_f32(v), vdupq_n_f32(v)};
}

EL_INLINE struct el_v8 el_v8_load(const float *p)
{
    return (struct el_v8){vld1q_f32(p), vld1q_f32(p + 4)};
}

EL_INLINE void el_v8_store(float *p, struct el_v8 v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
}

/* Eight lanes, or the n < 8 that are left and 0 in the others; nothing beyond is read or written. */
EL_INLINE struct el_v8 el_v8_load_n(const float *p, uint64_t n)
{
    if (n >= EL_V8_LANES)
        return el_v8_load(p);
    float part[EL_V8_LANES] = {0};
    memcpy(part, p, n * sizeof *p);
    return el_v8_load(part);
}

EL_INLINE void el_v8_store_n(float *p, uint64_t n, struct el_v8 v)
{
    if (n >= EL_V8_LANES) {
        el_v8_store(p, v);
        return;
    }
    float part[EL_V8_LANES];
    el_v8_store(part, v);
    memcpy(p, part, n * sizeof *p);
}

/* Eight half floats at any address. */
EL_INLINE struct el_v8 el_v8_load_f16(const void *p)
{
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (struct el_v8){vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)};
}

EL_INLINE struct el_v8 el_v8_add(struct el_v8 x, struct el_v8 y)
{
    return (struct el_v8){vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b)};
}

EL_INLINE struct el_v8 el_v8_sub(struct el_v8 x, struct el_v8 y)
{
    return (struct el_v8){vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b)};
}

EL_INLINE struct el_v8 el_v8_mul(struct el_v8 x, struct el_v8 y)
{
    return (struct el_v8){vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b)};
}

EL_INLINE struct el_v8 el_v8_div(struct el_v8 x, struct el_v8 y)
{
    return (struct el_v8){vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b)};
}

EL_INLINE struct el_v8 el_v8_max(struct el_v8 x, struct el_v8 y)
{
    return (struct el_v8){vmaxq_f32(x.a, y.a), vmaxq_f32(x.b, y.b)};
}

/* x y + z, rounded once */
EL_INLINE struct el_v8 el_v8_fma(struct el_v8 x, struct el_v8 y, struct el_v8 z)
{
    return (struct el_v8){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)};
}

/* ((0+4) + (2+6)) + ((1+5) + (3+7)) */
EL_INLINE float el_v8_sum(struct el_v8 v)
{
    const float32x4_t s = vaddq_f32(v.a, v.b);
    const float32x2_t pair = vadd_f32(vget_low_f32(s), vget_high_f32(s));
    return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
}

EL_INLINE float32x4_t el_exp_neon(float32x4_t x)
{
    /* The minimum and the maximum of a NaN and a number are NaN. */
    x = vmaxq_f32(vdupq_n_f32(el_exp_min), vminq_f32(vdupq_n_f32(el_exp_max), x));
    const float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(el_exp_log2e)));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(el_exp_ln2_hi));
    r = vfmsq_f32(r, n, vdupq_n_f32(el_exp_ln2_lo));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(el_exp_c5), vdupq_n_f32(el_exp_c6), r);
    p = vfmaq_f32(vdupq_n_f32(el_exp_c4), p, r);
    p = vfmaq_f32(vdupq_n_f32(el_exp_c3), p, r);
    p = vfmaq_f32(vdupq_n_f32(el_exp_c2), p, r);
    p = vfmaq_f32(r, vmulq_f32(r, r), p);
    p = vaddq_f32(p, vdupq_n_f32(1.0f));
    /* 2^n in two factors: each is a normal number where the whole may not be. */
    const int32x4_t i = vcvtq_s32_f32(n), a = vshrq_n_s32(i, 1), b = vsubq_s32(i, a), bias = vdupq_n_s32(127);
    const float32x4_t fa = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(a, bias), 23));
    const float32x4_t fb = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(b, bias), 23));
    return vmulq_f32(vmulq_f32(p, fa), fb);
}

EL_INLINE struct el_v8 el_v8_exp(struct el_v8 x)
{
    return (struct el_v8){el_exp_neon(x.a), el_exp_neon(x.b)};
}
#endif

#endif
