/* i8mm: the vectors of laid_kernels.inc for tiles of many tokens, where an instruction multiplies two rows by two tokens. */
#ifndef EL_KERNELS_ARM_LAID_I8MM_H
#define EL_KERNELS_ARM_LAID_I8MM_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>

#include "kernels/arm/dot_arm.h"
#include "kernels/arm/laid_arm.h"

#define LAID_PAIRS

LAID_FN void v_beside(VI x, VI y, VI out[2])
{
    out[0] = LAID_2(VI, vzip1q_u32, x, y);
    out[1] = LAID_2(VI, vzip2q_u32, x, y);
}
LAID_FN VI v_eights(const int8_t *p, const int8_t *q)
{
    return v_all(vreinterpretq_u32_s8(vcombine_s8(vld1_s8(p), vld1_s8(q))));
}
LAID_FN uint32x4_t dot_pair_quarter(uint32x4_t acc, uint32x4_t codes, uint32x4_t eights)
{
    return vreinterpretq_u32_s32(
        el_dot_2x2(vreinterpretq_s32_u32(acc), vreinterpretq_u8_u32(codes), vreinterpretq_s8_u32(eights)));
}
LAID_FN VI v_dot_pair(VI acc, VI codes, VI eights)
{
    return LAID_3(VI, dot_pair_quarter, acc, codes, eights);
}
LAID_FN void v_apart(const VI acc[2], VI *p, VI *q)
{
    *p = LAID_2(VI, vuzp1q_u32, acc[0], acc[1]);
    *q = LAID_2(VI, vuzp2q_u32, acc[0], acc[1]);
}
#endif

#endif
