/*
 * Products of signed bytes, added up in 32-bit lanes, by the best instruction that the including file is compiled for: the
 * Makefile gives *_dotprod.c and *_i8mm.c their flags. All are exact, so all levels give the same integers.
 */
#ifndef EL_KERNELS_ARM_DOT_ARM_H
#define EL_KERNELS_ARM_DOT_ARM_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdbool.h>

/* acc[l] + sum of a[4 l + j] b[4 l + j], j = 0..3. a may be -128 or more, b -127 or more: two products then fit 16 bits. */
EL_INLINE int32x4_t el_dot_s8(int32x4_t acc, int8x16_t a, int8x16_t b)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(acc, a, b);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
    return vpadalq_s16(acc, vpaddq_s16(low, high));
#endif
}

/*
 * Where el_has_i8mm, unsigned times signed bytes. el_dot_us8: as el_dot_s8. el_dot_2x2: a and b are two rows of eight bytes each;
 * acc + [a0 b0, a0 b1, a1 b0, a1 b1]. Elsewhere they must not be called.
 */
#if defined(__ARM_FEATURE_MATMUL_INT8)
static const bool el_has_i8mm = true;
EL_INLINE int32x4_t el_dot_us8(int32x4_t acc, uint8x16_t a, int8x16_t b)
{
    return vusdotq_s32(acc, a, b);
}
EL_INLINE int32x4_t el_dot_2x2(int32x4_t acc, uint8x16_t a, int8x16_t b)
{
    return vusmmlaq_s32(acc, a, b);
}
#else
static const bool el_has_i8mm = false;
EL_INLINE int32x4_t el_dot_us8(int32x4_t acc, uint8x16_t a, int8x16_t b)
{
    (void)a;
    (void)b;
    return acc;
}
EL_INLINE int32x4_t el_dot_2x2(int32x4_t acc, uint8x16_t a, int8x16_t b)
{
    (void)a;
    (void)b;
    return acc;
}
#endif
#endif

#endif
