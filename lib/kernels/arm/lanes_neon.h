/* The vectors of lanes.inc at NEON: eight lanes in two registers. Width and order of operations, and so the bits, are AVX2's. */
#ifndef EL_KERNELS_ARM_LANES_NEON_H
#define EL_KERNELS_ARM_LANES_NEON_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define LANES_TARGET
#define LANES_FN EL_INLINE
#define VF       struct lanes_vf
#define VLEFT    uint64_t

enum { LANES = 8 };

struct lanes_vf {
    float32x4_t a, b;
};

LANES_FN VLEFT v_left(uint64_t n)
{
    return n;
}
LANES_FN VF vf_set(float x)
{
    return (VF){vdupq_n_f32(x), vdupq_n_f32(x)};
}
LANES_FN VF vf_load(const void *p)
{
    const uint8_t *const at = p;
    return (VF){vreinterpretq_f32_u8(vld1q_u8(at)), vreinterpretq_f32_u8(vld1q_u8(at + 16))};
}
LANES_FN VF vf_f16(const void *p)
{
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (VF){vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)};
}
LANES_FN VF vf_i8(const void *p)
{
    const int16x8_t v = vmovl_s8(vld1_s8(p));
    return (VF){vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))), vcvtq_f32_s32(vmovl_high_s16(v))};
}
LANES_FN VF vf_load_left(const void *p, VLEFT left)
{
    if (left >= LANES)
        return vf_load(p);
    float part[LANES] = {0};
    memcpy(part, p, left * sizeof *part);
    return vf_load(part);
}
LANES_FN uint16x8_t v_halves_left(const void *p, VLEFT left)
{
    if (left >= LANES)
        return vreinterpretq_u16_u8(vld1q_u8(p));
    uint16_t part[LANES] = {0};
    memcpy(part, p, left * sizeof *part);
    return vld1q_u16(part);
}
LANES_FN VF vf_f16_left(const void *p, VLEFT left)
{
    const float16x8_t h = vreinterpretq_f16_u16(v_halves_left(p, left));
    return (VF){vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)};
}
LANES_FN VF vf_bf16_left(const void *p, VLEFT left)
{
    const uint16x8_t h = v_halves_left(p, left);
    return (VF){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)),
                vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(h), 16))};
}
LANES_FN void vf_store(float *p, VF v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
}
LANES_FN void vf_store_left(float *p, VLEFT left, VF v)
{
    if (left >= LANES) {
        vf_store(p, v);
        return;
    }
    float part[LANES];
    vf_store(part, v);
    memcpy(p, part, left * sizeof *p);
}
LANES_FN VF vf_add(VF x, VF y)
{
    return (VF){vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b)};
}
LANES_FN VF vf_sub(VF x, VF y)
{
    return (VF){vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b)};
}
LANES_FN VF vf_mul(VF x, VF y)
{
    return (VF){vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b)};
}
LANES_FN VF vf_div(VF x, VF y)
{
    return (VF){vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b)};
}
LANES_FN VF vf_min(VF x, VF y)
{
    return (VF){vminq_f32(x.a, y.a), vminq_f32(x.b, y.b)};
}
LANES_FN VF vf_max(VF x, VF y)
{
    return (VF){vmaxq_f32(x.a, y.a), vmaxq_f32(x.b, y.b)};
}
LANES_FN VF vf_fma(VF x, VF y, VF z)
{
    return (VF){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)};
}
LANES_FN VF vf_fnma(VF x, VF y, VF z)
{
    return (VF){vfmsq_f32(z.a, x.a, y.a), vfmsq_f32(z.b, x.b, y.b)};
}
LANES_FN VF vf_round(VF x)
{
    return (VF){vrndnq_f32(x.a), vrndnq_f32(x.b)};
}
LANES_FN float32x4_t v4_times_2_to(float32x4_t x, float32x4_t n)
{
    /* In two factors: each is a normal number where the whole may not be. */
    const int32x4_t i = vcvtq_s32_f32(n), a = vshrq_n_s32(i, 1), b = vsubq_s32(i, a), bias = vdupq_n_s32(127);
    const float32x4_t fa = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(a, bias), 23));
    const float32x4_t fb = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(b, bias), 23));
    return vmulq_f32(vmulq_f32(x, fa), fb);
}
LANES_FN VF vf_times_2_to(VF x, VF n)
{
    return (VF){v4_times_2_to(x.a, n.a), v4_times_2_to(x.b, n.b)};
}
LANES_FN float vf_sum(VF v)
{
    const float32x4_t s = vaddq_f32(v.a, v.b);
    const float32x2_t pair = vadd_f32(vget_low_f32(s), vget_high_f32(s));
    return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
}
LANES_FN void vf_sum_4(const VF v[4], float *y)
{
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++)
        y[i] = vf_sum(v[i]);
}
LANES_FN float vf_greatest(VF v)
{
    return vmaxvq_f32(vmaxq_f32(v.a, v.b));
}
LANES_FN void v_prefetch(const uint8_t *p)
{
    __builtin_prefetch(p, 0, 2);
}

#include "kernels/lanes.inc"
#endif

#endif
