/* NEON: what the level puts into the table; everything but products and attention is ops_kernels.inc on eight lanes. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include <arm_neon.h>

#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/lanes_neon.h"

#define VD struct ops_vd

struct ops_vd {
    float64x2_t s[4];
};

enum { OPS_VECTORS = EL_ACT_BLOCK / LANES };

LANES_FN VD vd_zero(void)
{
    return (VD){{vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0)}};
}
LANES_FN VD vd_wide(VF v)
{
    return (VD){
        {vcvt_f64_f32(vget_low_f32(v.a)), vcvt_high_f64_f32(v.a), vcvt_f64_f32(vget_low_f32(v.b)), vcvt_high_f64_f32(v.b)}};
}
LANES_FN VD vd_add(VD s, VF v)
{
    const VD w = vd_wide(v);
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++)
        s.s[i] = vaddq_f64(s.s[i], w.s[i]);
    return s;
}
LANES_FN VD vd_add_square(VD s, VF v)
{
    const VD w = vd_wide(v);
    EL_UNROLL
    for (unsigned i = 0; i < 4; i++)
        s.s[i] = vfmaq_f64(s.s[i], w.s[i], w.s[i]);
    return s;
}
LANES_FN double vd_sum(VD s)
{
    return vaddvq_f64(vaddq_f64(vaddq_f64(s.s[0], s.s[2]), vaddq_f64(s.s[1], s.s[3])));
}

LANES_FN VF vf_keep(VF v, VLEFT left)
{
    if (left >= LANES)
        return v;
    float part[LANES];
    vf_store(part, v);
    return vf_load_left(part, left);
}
LANES_FN bool vf_has_nan(VF v)
{
    return !(vf_sum(vf_mul(v, vf_set(0))) == 0);
}
LANES_FN void vf_narrow(uint16_t *p, VLEFT left, VF v)
{
    const float16x8_t h = vcombine_f16(vcvt_f16_f32(v.a), vcvt_f16_f32(v.b));
    memcpy(p, &h, left < LANES ? 2 * left : sizeof h);
}
/* The conversion makes signalling NaNs quiet; base/f16.h keeps their bits. */
LANES_FN float32x4_t v4_widen(uint16x4_t h)
{
    const uint32x4_t v = vreinterpretq_u32_f32(vcvt_f32_f16(vreinterpret_f16_u16(h))), wide = vmovl_u16(h);
    const uint32x4_t nan = vcgtq_u32(vandq_u32(wide, vdupq_n_u32(0x7fff)), vdupq_n_u32(0x7c00));
    const uint32x4_t sign = vshlq_n_u32(vandq_u32(wide, vdupq_n_u32(0x8000)), 16);
    const uint32x4_t payload = vshlq_n_u32(vandq_u32(wide, vdupq_n_u32(0x3ff)), 13);
    return vreinterpretq_f32_u32(vbslq_u32(nan, vorrq_u32(vorrq_u32(sign, payload), vdupq_n_u32(0x7f800000)), v));
}
LANES_FN VF vf_widen(const uint16_t *p, VLEFT left)
{
    const uint16x8_t h = v_halves_left(p, left);
    return (VF){v4_widen(vget_low_u16(h)), v4_widen(vget_high_u16(h))};
}

LANES_FN float vq_top(const VF v[OPS_VECTORS])
{
    /* As integers the absolute values are ordered, infinities and NaNs on top. */
    uint32x4_t max = vdupq_n_u32(0);
    EL_UNROLL
    for (unsigned i = 0; i < OPS_VECTORS; i++) {
        max = vmaxq_u32(max, vreinterpretq_u32_f32(vabsq_f32(v[i].a)));
        max = vmaxq_u32(max, vreinterpretq_u32_f32(vabsq_f32(v[i].b)));
    }
    return vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(vmaxvq_u32(max))), 0);
}
LANES_FN void vq_store(const VF v[OPS_VECTORS], int8_t *q8, int16_t *sum)
{
    EL_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        int16x8_t q[2];
        EL_UNROLL
        for (unsigned h = 0; h < 2; h++) {
            const VF x = v[2 * i + h];
            q[h] = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x.a)), vmovn_s32(vcvtnq_s32_f32(x.b)));
        }
        vst1q_s8(q8 + 16 * i, vcombine_s8(vmovn_s16(q[0]), vmovn_s16(q[1])));
        sum[i] = vaddvq_s16(vaddq_s16(q[0], q[1]));
    }
}

#include "kernels/ops_kernels.inc"

void el_kernels_init_neon(struct el_kernels *k)
{
    el_matmul_init_neon(k);
    el_matmul_group_init_neon(k);
    el_laid_init_neon(k);
    el_laid_low_init_neon(k);
    el_attn_init_neon(k);
    el_outer_init_neon(k);
    ops_init(k);
}
#endif
