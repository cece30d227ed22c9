/* What the arm64 levels of attention share: that by NEON, and what attn_q8.inc asks for, by the including file's instructions. */
#ifndef EL_KERNELS_ARM_ATTN_ARM_H
#define EL_KERNELS_ARM_ATTN_ARM_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/arm/dot_arm.h"
#include "kernels/arm/lanes_neon.h"
#include "kernels/attn_blocks.h"

/* Attention, with the level's way to scores of keys in q8_0. */
void el_attn_neon(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8);

#define Q8_TARGET
#define VI struct attn_vi

struct attn_vi {
    int32x4_t a, b;
};

enum { Q8_QUERIES = 1, Q8_VECTORS = 2, Q8_FETCH_TILES = 0 };

EL_INLINE unsigned q8_vectors(unsigned n_queries)
{
    return Q8_VECTORS / n_queries;
}

EL_INLINE VI vi_keys(const uint8_t *p)
{
    return (VI){vreinterpretq_s32_u8(vld1q_u8(p)), vreinterpretq_s32_u8(vld1q_u8(p + 16))};
}

EL_INLINE VI vi_start(int sum)
{
    (void)sum;
    return (VI){vdupq_n_s32(0), vdupq_n_s32(0)};
}

EL_INLINE VI vi_dot(VI acc, VI keys, int32_t four)
{
    const int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(four));
    return (VI){el_dot_s8(acc.a, vreinterpretq_s8_s32(keys.a), q), el_dot_s8(acc.b, vreinterpretq_s8_s32(keys.b), q)};
}

EL_INLINE VF vi_float(VI v)
{
    return (VF){vcvtq_f32_s32(v.a), vcvtq_f32_s32(v.b)};
}
#endif

#endif
