/* What the arm64 levels of attention share: that by NEON, and scores of keys in q8_0 by the including file's instructions. */
#ifndef EL_KERNELS_ARM_ATTN_ARM_H
#define EL_KERNELS_ARM_ATTN_ARM_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/arm/dot_arm.h"
#include "kernels/attn_blocks.h"

/* Attention, with the level's way to scores of keys in q8_0. */
void el_attn_neon(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8);

/*
 * Codes of four elements of four positions are 16 bytes. Per block of 32 elements:
 * score += float(dot) * (scale of the key * scale of the query).
 */
EL_INLINE void el_attn_scores_q8(const struct el_attn_block *b, el_attn_score *score)
{
    const uint32_t d = b->a->d, n_blocks = d / EL_KV_BLOCK;
    for (uint32_t j = 0; j < b->n; j++) {
        const int8_t *const q8 = b->a->q8 + b->query[j] * d;
        const float *const q_scale = b->a->q8_scale + b->query[j] * n_blocks;
        for (uint32_t quarter = b->tile0 * 4; quarter < b->tile1 * 4; quarter++) {
            const uint8_t *const tile = b->k + quarter / 4 * b->k_tile_nbytes, *const k = tile + quarter % 4 * 16;
            const uint8_t *const k_scale = tile + (uint64_t)d * EL_KV_TILE + quarter % 4 * 8;
            float32x4_t acc = vdupq_n_f32(0);
            for (uint32_t n = 0; n < n_blocks; n++) {
                int32x4_t dot = vdupq_n_s32(0);
                EL_UNROLL
                for (uint32_t i = 0; i < EL_KV_BLOCK; i += 4) {
                    int32_t four;
                    memcpy(&four, q8 + n * EL_KV_BLOCK + i, sizeof four);
                    const int8x16_t key = vreinterpretq_s8_u8(vld1q_u8(k + (uint64_t)(n * EL_KV_BLOCK + i) * EL_KV_TILE));
                    dot = el_dot_s8(dot, key, vreinterpretq_s8_s32(vdupq_n_s32(four)));
                }
                const float32x4_t ks = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(k_scale + (uint64_t)n * 32)));
                acc = vfmaq_f32(acc, vcvtq_f32_s32(dot), vmulq_n_f32(ks, q_scale[n]));
            }
            vst1q_f32(score[j] + quarter * 4, acc);
        }
    }
}
#endif

#endif
