/*
 * The group encoding times int8 activations, 32 columns at a time, for every arm64 level: a file per level includes this and is
 * compiled for its instructions. Codes less half their range are signed bytes (with i8mm they may stay unsigned); what the zero
 * point differs from that half meets the sum of the activations. Per result and 32 columns: acc = fma(exact integer, weight scale
 * times activation scale, acc).
 */
#ifndef EL_KERNELS_ARM_MATMUL_GROUP_ARM_H
#define EL_KERNELS_ARM_MATMUL_GROUP_ARM_H

#include "base/compiler.h"

#if EL_ARM64
#include <arm_neon.h>
#include <stdint.h>

#include "kernels/arm/dot_arm.h"
#include "kernels/blocks.h"
#include "kernels/group_codes.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

enum { GROUP_ROWS = 2, GROUP_TOKENS = 4, GROUP_REACH = 32 };
enum group_kind { GROUP_FOUR_BITS, GROUP_ANY_BITS };

struct group_job {
    struct el_group_row rows[GROUP_ROWS];
    uint8x16_t shuffle[2];
    int16x8_t down[2]; /* shifts to the right are negative shifts to the left */
    unsigned bits, shift;
    uint64_t nbytes; /* of the codes of a row */
    const struct el_act *x;
    uint64_t t;
};

/* Eight codes from the 16 bytes of v: the first eight of them, or the second. */
EL_INLINE uint8x8_t unpack_8(const struct group_job *job, uint8x16_t v, unsigned half)
{
    const uint16x8_t windows = vreinterpretq_u16_u8(vqtbl1q_u8(v, job->shuffle[half]));
    const uint16x8_t mask = vdupq_n_u16((uint16_t)((1u << job->bits) - 1));
    return vmovn_u16(vandq_u16(vshlq_u16(windows, job->down[half]), mask));
}

/* What codes are made signed by. */
EL_INLINE int group_half(unsigned bits)
{
    return el_has_i8mm ? 0 : 1 << (bits - 1);
}

/* 32 codes, less group_half. */
EL_INLINE void unpack_32(enum group_kind kind, const struct group_job *job, const uint8_t *p, uint8x16_t q[2])
{
    const uint8x16_t half = vdupq_n_u8((uint8_t)group_half(job->bits));
    uint8x16_t codes[2];
    if (kind == GROUP_FOUR_BITS) {
        const uint8x16_t v = vld1q_u8(p), low = vandq_u8(v, vdupq_n_u8(15)), high = vshrq_n_u8(v, 4);
        codes[0] = vzip1q_u8(low, high);
        codes[1] = vzip2q_u8(low, high);
    } else {
        EL_UNROLL
        for (unsigned i = 0; i < 2; i++) {
            const uint8x16_t v = vld1q_u8(p + 2 * job->bits * i);
            codes[i] = vcombine_u8(unpack_8(job, v, 0), unpack_8(job, v, 1));
        }
    }
    q[0] = vsubq_u8(codes[0], half);
    q[1] = vsubq_u8(codes[1], half);
}

EL_INLINE int32x4_t group_dot(int32x4_t acc, uint8x16_t q, int8x16_t x)
{
    return el_has_i8mm ? el_dot_us8(acc, q, x) : el_dot_s8(acc, vreinterpretq_s8_u8(q), x);
}

/* dot[r][i]: rows times tokens. */
EL_INLINE void group_dots(unsigned n_rows, unsigned n_tokens, uint8x16_t q[GROUP_ROWS][2], int8x16_t x[GROUP_TOKENS][2],
                          int32x4_t dot[GROUP_ROWS])
{
    const int32x4_t none = vdupq_n_s32(0);
    if (el_has_i8mm && n_rows == 2 && n_tokens == 4) {
        int32x4_t two[2] = {none, none}; /* tokens 0 and 1, 2 and 3 */
        EL_UNROLL
        for (unsigned k = 0; k < 2; k++) {
            const uint8x16_t low = vcombine_u8(vget_low_u8(q[0][k]), vget_low_u8(q[1][k]));
            const uint8x16_t high = vcombine_u8(vget_high_u8(q[0][k]), vget_high_u8(q[1][k]));
            EL_UNROLL
            for (unsigned i = 0; i < 2; i++) {
                const int8x16_t a = x[2 * i][k], b = x[2 * i + 1][k];
                two[i] = el_dot_2x2(two[i], low, vcombine_s8(vget_low_s8(a), vget_low_s8(b)));
                two[i] = el_dot_2x2(two[i], high, vcombine_s8(vget_high_s8(a), vget_high_s8(b)));
            }
        }
        dot[0] = vcombine_s32(vget_low_s32(two[0]), vget_low_s32(two[1]));
        dot[1] = vcombine_s32(vget_high_s32(two[0]), vget_high_s32(two[1]));
        return;
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        int32x4_t d[GROUP_TOKENS] = {none, none, none, none};
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            d[i] = group_dot(group_dot(none, q[r][0], x[i][0]), q[r][1], x[i][1]);
        dot[r] = n_tokens == 1 ? vsetq_lane_s32(vaddvq_s32(d[0]), none, 0)
                               : vpaddq_s32(vpaddq_s32(d[0], d[1]), vpaddq_s32(d[2], d[3]));
    }
}

/* Block b; lanes are tokens. `last`: loads of GROUP_REACH bytes might leave the row. */
EL_INLINE void group_step(enum group_kind kind, const struct group_job *job, unsigned n_rows, unsigned n_tokens, uint64_t b,
                          bool last, float32x4_t acc[GROUP_ROWS])
{
    const struct el_act *const x = job->x;
    const uint64_t g = b >> job->shift, at = b * 4 * job->bits;
    uint8x16_t q[GROUP_ROWS][2];
    int8x16_t xq[GROUP_TOKENS][2];
    int32_t sum[GROUP_TOKENS] = {0};
    float scale[GROUP_TOKENS] = {0};
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const int8_t *const p = x->q8 + (job->t + i) * x->n_pad + b * 32;
        xq[i][0] = vld1q_s8(p);
        xq[i][1] = vld1q_s8(p + 16);
        sum[i] = x->sum[(job->t + i) * (x->n_pad / 16) + b * 2] + x->sum[(job->t + i) * (x->n_pad / 16) + b * 2 + 1];
        scale[i] = x->scale[(job->t + i) * (x->n_pad / 32) + b];
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        uint8_t buffer[GROUP_REACH];
        const uint8_t *const codes = job->rows[r].codes;
        unpack_32(kind, job, last ? el_group_last(codes, at, job->nbytes, GROUP_REACH, buffer) : codes + at, q[r]);
    }
    int32x4_t dot[GROUP_ROWS];
    group_dots(n_rows, n_tokens, q, xq, dot);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const struct el_group_row *const row = &job->rows[r];
        const int zero = el_group_zero(row, job->bits, g) - group_half(job->bits);
        const float32x4_t exact = vcvtq_f32_s32(vmlsq_n_s32(dot[r], vld1q_s32(sum), zero));
        acc[r] = vfmaq_f32(acc[r], exact, vmulq_n_f32(vld1q_f32(scale), el_block_f16(row->scales + 2 * g)));
    }
}

EL_INLINE void group_tile(enum group_kind kind, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                          const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const unsigned bits = kind == GROUP_FOUR_BITS ? 4 : w->enc.bits;
    const struct el_group_codes *const c = &el_group_codes[bits];
    struct group_job job = {.bits = bits, .shift = el_group_shift(w), .nbytes = w->row_nbytes[0], .x = x, .t = t};
    const uint64_t n_blocks = x->n_pad / EL_ACT_BLOCK, step_nbytes = 4 * (uint64_t)bits;
    float32x4_t acc[GROUP_ROWS];
    EL_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        job.shuffle[i] = vld1q_u8(c->shuffle + 16 * i);
        job.down[i] = vnegq_s16(vreinterpretq_s16_u16(vld1q_u16(c->shift + 8 * i)));
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        job.rows[r] = el_group_row(w, row + r);
        acc[r] = vdupq_n_f32(0);
    }
    uint64_t b = 0;
    for (; b < n_blocks && b * step_nbytes + GROUP_REACH <= job.nbytes; b++)
        group_step(kind, &job, n_rows, n_tokens, b, false, acc);
    for (; b < n_blocks; b++)
        group_step(kind, &job, n_rows, n_tokens, b, true, acc);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        float lanes[GROUP_TOKENS];
        vst1q_f32(lanes, acc[r]);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = lanes[i];
    }
}

EL_DEFINE_TILED_MATMUL(matmul_four_bits, group_tile, GROUP_FOUR_BITS, , GROUP_ROWS, GROUP_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_any_bits, group_tile, GROUP_ANY_BITS, , GROUP_ROWS, GROUP_TOKENS)

static void matmul_group(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                         uint64_t y_stride, void *scratch)
{
    if (w->enc.bits == 4)
        matmul_four_bits(w, row0, n_rows, x, y, y_stride, scratch);
    else
        matmul_any_bits(w, row0, n_rows, x, y, y_stride, scratch);
}
#endif

#endif
