/*
 * Products of re-laid weights on arm64: the vectors of laid_kernels.inc, a strip's sixteen rows in four registers. A file per
 * level includes this and the kernels, and is compiled for its instructions. Codes up to 127 are signed bytes as they are; larger
 * ones become signed numbers by their offset, but where there is a product of unsigned and signed bytes (i8mm).
 */
#ifndef EL_KERNELS_ARM_LAID_ARM_H
#define EL_KERNELS_ARM_LAID_ARM_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/arm/dot_arm.h"
#include "tensor/layout.h"

#define LAID_TARGET
#define LAID_FN EL_INLINE
#define VI      struct laid_vi
#define VF      struct laid_vf

struct laid_vi {
    uint32x4_t a, b, c, d;
};
struct laid_vf {
    float32x4_t a, b, c, d;
};

/* The four registers of one or more vectors through an expression of x (and y, z). */
#define LAID_1(T, f, x)    ((T){f((x).a), f((x).b), f((x).c), f((x).d)})
#define LAID_2(T, f, x, y) ((T){f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d)})
#define LAID_3(T, f, x, y, z)                                                                                                    \
    ((T){f((x).a, (y).a, (z).a), f((x).b, (y).b, (z).b), f((x).c, (y).c, (z).c), f((x).d, (y).d, (z).d)})

/*
 * 16 sums, 4 codes and what they are made of fit 32 registers; the results of a tile of many tokens stay in memory. Codes from
 * LAID_SIGNED_FROM on are multiplied as signed numbers.
 */
enum {
    LAID_FEW = 2,
    LAID_TOGETHER = 2,
    LAID_STRIPS = 1,
    LAID_TOKENS = 4,
    LAID_MANY = 8,
    LAID_AHEAD = 4096,
    LAID_SIGNED_FROM = 128
};

LAID_FN VI v_load(const void *p)
{
    const uint8_t *const v = p;
    return (VI){vreinterpretq_u32_u8(vld1q_u8(v)), vreinterpretq_u32_u8(vld1q_u8(v + 16)), vreinterpretq_u32_u8(vld1q_u8(v + 32)),
                vreinterpretq_u32_u8(vld1q_u8(v + 48))};
}
LAID_FN void v_store(void *p, VI v)
{
    uint32_t *const to = p;
    vst1q_u32(to, v.a);
    vst1q_u32(to + 4, v.b);
    vst1q_u32(to + 8, v.c);
    vst1q_u32(to + 12, v.d);
}
LAID_FN VF v_f16(const uint8_t *p)
{
    const float16x8_t low = vreinterpretq_f16_u8(vld1q_u8(p)), high = vreinterpretq_f16_u8(vld1q_u8(p + 16));
    return (VF){vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                vcvt_high_f32_f16(high)};
}
LAID_FN VI v_u8(const uint8_t *p)
{
    const uint8x16_t v = vld1q_u8(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(v)), high = vmovl_high_u8(v);
    return (VI){vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low), vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)};
}
LAID_FN VI v_u16(const uint8_t *p)
{
    const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(p)), high = vreinterpretq_u16_u8(vld1q_u8(p + 16));
    return (VI){vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low), vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)};
}
LAID_FN VI v_all(uint32x4_t v)
{
    return (VI){v, v, v, v};
}
LAID_FN VI v_set(uint32_t v)
{
    return v_all(vdupq_n_u32(v));
}
LAID_FN VI v_and(VI x, VI y)
{
    return LAID_2(VI, vandq_u32, x, y);
}
LAID_FN VI v_or(VI x, VI y)
{
    return LAID_2(VI, vorrq_u32, x, y);
}
LAID_FN VI v_xor(VI x, VI y)
{
    return LAID_2(VI, veorq_u32, x, y);
}
LAID_FN VI v_add(VI x, VI y)
{
    return LAID_2(VI, vaddq_u32, x, y);
}
LAID_FN VI v_sub(VI x, VI y)
{
    return LAID_2(VI, vsubq_u32, x, y);
}
/* The vector extension of gcc and clang: becomes the immediate form where n is a constant, which the intrinsic demands. */
LAID_FN VI v_shr(VI v, unsigned n)
{
    return (VI){v.a >> n, v.b >> n, v.c >> n, v.d >> n};
}
LAID_FN VI v_shl(VI v, unsigned n)
{
    return (VI){v.a << n, v.b << n, v.c << n, v.d << n};
}
LAID_FN VI v_shr_by(VI v, unsigned n)
{
    return v_shr(v, n);
}
LAID_FN uint32x4_t lut_quarter(uint32x4_t codes, uint8x16_t table)
{
    return vreinterpretq_u32_u8(vqtbl1q_u8(table, vreinterpretq_u8_u32(codes)));
}
LAID_FN VI v_lut(VI codes, const uint8_t table[16])
{
    const uint8x16_t t = vld1q_u8(table);
    return (VI){lut_quarter(codes.a, t), lut_quarter(codes.b, t), lut_quarter(codes.c, t), lut_quarter(codes.d, t)};
}
LAID_FN uint32x4_t mul16_quarter(uint32x4_t x, uint32x4_t y)
{
    return vreinterpretq_u32_u16(vmulq_u16(vreinterpretq_u16_u32(x), vreinterpretq_u16_u32(y)));
}
LAID_FN VI v_mul16(VI x, VI y)
{
    return LAID_2(VI, mul16_quarter, x, y);
}
/* The lowest byte to all four of a lane; the mask keeps bit k of byte k. */
LAID_FN uint32x4_t spread_quarter(uint32x4_t v)
{
    const uint8x16_t bytes = vreinterpretq_u8_u32(vmulq_u32(vandq_u32(v, vdupq_n_u32(15)), vdupq_n_u32(0x01010101u)));
    const uint8x16_t set = vtstq_u8(bytes, vreinterpretq_u8_u32(vdupq_n_u32(0x08040201u)));
    return vreinterpretq_u32_u8(vandq_u8(set, vdupq_n_u8(16)));
}
LAID_FN VI v_spread(VI v, unsigned n)
{
    const VI low = v_shr(v, n);
    return LAID_1(VI, spread_quarter, low);
}
LAID_FN uint32x4_t madd_quarter(uint32x4_t x, uint32x4_t y)
{
    const int16x8_t a = vreinterpretq_s16_u32(x), b = vreinterpretq_s16_u32(y);
    return vreinterpretq_u32_s32(vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)));
}
LAID_FN VI v_madd(VI x, VI y)
{
    return LAID_2(VI, madd_quarter, x, y);
}
LAID_FN VI v_four(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v_set(v);
}
LAID_FN VI v_start(VI pair, int off, int max, bool low, bool high)
{
    if (off == 0 || (max >= LAID_SIGNED_FROM && !el_has_i8mm))
        return v_set(0);
    const uint32x4_t sums =
        madd_quarter(pair.a, vdupq_n_u32((low ? (uint32_t)-off & 0xffffu : 0) | (high ? (uint32_t)-off << 16 : 0)));
    return v_all(sums);
}
LAID_FN uint32x4_t dot_quarter(uint32x4_t acc, uint32x4_t codes, uint32x4_t four, int off, int max)
{
    const int8x16_t x = vreinterpretq_s8_u32(four);
    if (el_has_i8mm)
        return vreinterpretq_u32_s32(el_dot_us8(vreinterpretq_s32_u32(acc), vreinterpretq_u8_u32(codes), x));
    int8x16_t w = vreinterpretq_s8_u32(codes);
    if (max >= LAID_SIGNED_FROM)
        w = vsubq_s8(w, vreinterpretq_s8_u8(vdupq_n_u8((uint8_t)off)));
    return vreinterpretq_u32_s32(el_dot_s8(vreinterpretq_s32_u32(acc), w, x));
}
LAID_FN VI v_dot(VI acc, VI codes, VI four, int off, int max)
{
    return (VI){dot_quarter(acc.a, codes.a, four.a, off, max), dot_quarter(acc.b, codes.b, four.b, off, max),
                dot_quarter(acc.c, codes.c, four.c, off, max), dot_quarter(acc.d, codes.d, four.d, off, max)};
}
LAID_FN void v_prefetch(uintptr_t p)
{
    __builtin_prefetch((const void *)p);
}

LAID_FN VF vf_all(float32x4_t v)
{
    return (VF){v, v, v, v};
}
LAID_FN VF vf_one(const float *p)
{
    return vf_all(vld1q_dup_f32(p));
}
LAID_FN VF vf_zero(void)
{
    return vf_all(vdupq_n_f32(0));
}
LAID_FN VF vf_load(const void *p)
{
    const float *const v = p;
    return (VF){vld1q_f32(v), vld1q_f32(v + 4), vld1q_f32(v + 8), vld1q_f32(v + 12)};
}
LAID_FN void vf_store(void *p, VF v)
{
    float *const to = p;
    vst1q_f32(to, v.a);
    vst1q_f32(to + 4, v.b);
    vst1q_f32(to + 8, v.c);
    vst1q_f32(to + 12, v.d);
}
LAID_FN VF vf_bits(VI v)
{
    return LAID_1(VF, vreinterpretq_f32_u32, v);
}
LAID_FN float32x4_t cvt_quarter(uint32x4_t v)
{
    return vcvtq_f32_s32(vreinterpretq_s32_u32(v));
}
LAID_FN VF vf_cvt(VI v)
{
    return LAID_1(VF, cvt_quarter, v);
}
LAID_FN VF vf_mul(VF x, VF y)
{
    return LAID_2(VF, vmulq_f32, x, y);
}
LAID_FN VF vf_neg(VF v)
{
    return LAID_1(VF, vnegq_f32, v);
}
LAID_FN VF vf_fma(VF x, VF y, VF z)
{
    return LAID_3(VF, vfmaq_f32, z, x, y);
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
