/*
 * Reference products of quantized weights with int8 activations: what every kernel, of every layout and level, gives to the bit.
 *
 * An encoding is, for each 32 columns of a row, exact integers q with a float32 scale ws for all of them or for each half of 16,
 * and for some an offset: w = ws q + wo, or w = ws q - wd m with an integer m per 16 columns. Row times activations, in column
 * order:
 *
 *     s = ws * (float)sum(q x8)                                 over 32 columns, or
 *     s = fma(ws[1], (float)sum(q x8 of the second half), ws[0] * (float)sum(q x8 of the first half))
 *     s = fma(-wd, (float)(m[0] sum(x8 of the first half) + m[1] sum(x8 of the second half)), s)
 *     y = fma(s, scale of the activations, y)
 *     y = fma(wo, scale of the activations * (float)sum(x8), y)     with an offset
 *
 * The sums are exact: at most 32 x 255 x 127. fma rounds once (C11 7.12.13.1), as the instructions of every level do.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/f16.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/kernels_ref.h"
#include "tensor/iq_grids.h"

enum { MAX_COLUMNS = 256, GROUP = 32, MAX_GROUPS = MAX_COLUMNS / GROUP };

/* A block as integers and scales. */
struct exact {
    int32_t q[MAX_COLUMNS];
    float ws[MAX_GROUPS][2];  /* [1] with halves only */
    float wo[MAX_GROUPS];     /* EXACT_OFFSET */
    float wd;                 /* EXACT_MINS */
    int32_t m[MAX_GROUPS][2]; /* EXACT_MINS */
};

enum { EXACT_HALVES = 1, EXACT_OFFSET = 2, EXACT_MINS = 4 };

typedef void exact_fn(const uint8_t *block, struct exact *e);

static void exact_q8_0(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    for (uint32_t i = 0; i < 32; i++)
        e->q[i] = (int8_t)block[EL_Q8_0_QS + i];
}

/* 32 codes of four bits in 16 bytes, each plus 16 times its bit of `high`. */
static void nibbles(const uint8_t *qs, uint32_t high, int32_t *q)
{
    for (uint32_t i = 0; i < 32; i++)
        q[i] = (int32_t)((uint32_t)(qs[i % 16] >> (i / 16 * 4) & 15) | (high >> i & 1u) << 4);
}

static void exact_q4_0(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    nibbles(block + EL_Q4_0_QS, 0, e->q);
    for (uint32_t i = 0; i < 32; i++)
        e->q[i] -= 8;
}

static void exact_q4_1(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    e->wo[0] = el_block_f16(block + EL_Q4_1_M);
    nibbles(block + EL_Q4_1_QS, 0, e->q);
}

static void exact_q5_0(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    nibbles(block + EL_Q5_0_QS, el_block_u32(block + EL_Q5_0_QH), e->q);
    for (uint32_t i = 0; i < 32; i++)
        e->q[i] -= 16;
}

static void exact_q5_1(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    e->wo[0] = el_block_f16(block + EL_Q5_1_M);
    nibbles(block + EL_Q5_1_QS, el_block_u32(block + EL_Q5_1_QH), e->q);
}

static void exact_q45_k(const uint8_t *block, const uint8_t *qs, const uint8_t *qh, struct exact *e)
{
    const float d = el_block_f16(block), dmin = el_block_f16(block + EL_Q4_K_DMIN);
    uint64_t scales, mins;
    el_q4_k_scales(block + EL_Q4_K_SCALES, &scales, &mins);
    for (uint32_t j = 0; j < 8; j++) {
        e->ws[j][0] = d * (float)(scales >> (8 * j) & 63);
        e->wo[j] = -(dmin * (float)(mins >> (8 * j) & 63));
        for (uint32_t i = 0; i < 32; i++)
            e->q[j * 32 + i] = (qs[j / 2 * 32 + i] >> (j % 2 * 4) & 15) | (qh ? (qh[i] >> j & 1) << 4 : 0);
    }
}

static void exact_q4_k(const uint8_t *block, struct exact *e)
{
    exact_q45_k(block, block + EL_Q4_K_QS, NULL, e);
}

static void exact_q5_k(const uint8_t *block, struct exact *e)
{
    exact_q45_k(block, block + EL_Q5_K_QS, block + EL_Q5_K_QH, e);
}

static void exact_q6_k(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block + EL_Q6_K_D);
    for (uint32_t j = 0; j < 16; j++) {
        /* 16 columns: within a half of 128, quarter j / 2 % 4 has its own nibble and bit pair. */
        const uint32_t half = j / 8, quarter = j / 2 % 4, at = j % 2 * 16;
        const uint8_t *const ql = block + half * 64 + quarter % 2 * 32 + at;
        const uint8_t *const qh = block + EL_Q6_K_QH + half * 32 + at;
        e->ws[j / 2][j % 2] = d * (float)(int8_t)block[EL_Q6_K_SCALES + j];
        for (uint32_t i = 0; i < 16; i++)
            e->q[j * 16 + i] = ((ql[i] >> (quarter / 2 * 4) & 15) | (qh[i] >> (quarter * 2) & 3) << 4) - 32;
    }
}

/* The scale is part of the integers: at most 3 times 15. */
static void exact_q2_k(const uint8_t *block, struct exact *e)
{
    e->wd = el_block_f16(block + EL_Q2_K_DMIN);
    for (uint32_t j = 0; j < 16; j++) {
        const uint8_t *const qs = block + EL_Q2_K_QS + j / 8 * 32 + j % 2 * 16;
        e->ws[j / 2][0] = el_block_f16(block + EL_Q2_K_D);
        e->m[j / 2][j % 2] = block[j] >> 4;
        for (uint32_t i = 0; i < 16; i++)
            e->q[j * 16 + i] = (qs[i] >> (j / 2 % 4 * 2) & 3) * (block[j] & 15);
    }
}

static void exact_q3_k(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block + EL_Q3_K_D);
    const uint8_t *const scales = block + EL_Q3_K_SCALES;
    for (uint32_t j = 0; j < 16; j++) {
        const uint8_t *const low = block + EL_Q3_K_QS + j / 8 * 32 + j % 2 * 16, *const high = block + j % 2 * 16;
        const int scale = (scales[j % 8] >> (j / 8 * 4) & 15) | (scales[8 + j % 4] >> (j / 4 * 2) & 3) << 4;
        e->ws[j / 2][j % 2] = d * (float)(scale - 32);
        for (uint32_t i = 0; i < 16; i++)
            e->q[j * 16 + i] = ((low[i] >> (j / 2 % 4 * 2) & 3) | (high[i] >> (j / 2) & 1) << 2) - 4;
    }
}

static void exact_iq4_nl(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    nibbles(block + EL_Q4_0_QS, 0, e->q);
    for (uint32_t i = 0; i < 32; i++)
        e->q[i] = el_block_iq4_levels[e->q[i]];
}

static void exact_iq4_xs(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block);
    const uint32_t high = el_block_u16(block + EL_IQ4_XS_HIGH), low = el_block_u32(block + EL_IQ4_XS_LOW);
    for (uint32_t j = 0; j < 8; j++) {
        const int scale = (int)((low >> (4 * j) & 15) | (high >> (2 * j) & 3) << 4);
        e->ws[j][0] = d * (float)(scale - 32);
        nibbles(block + EL_IQ4_XS_QS + j * 16, 0, e->q + j * 32);
        for (uint32_t i = 0; i < 32; i++)
            e->q[j * 32 + i] = el_block_iq4_levels[e->q[j * 32 + i]];
    }
}

static void exact_mxfp4(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_f32_from_bits(block[0] < 2 ? 0x00200000u << block[0] : (uint32_t)(block[0] - 1) << 23);
    nibbles(block + EL_MXFP4_QS, 0, e->q);
    for (uint32_t i = 0; i < 32; i++)
        e->q[i] = el_block_mxfp4_levels[e->q[i]];
}

/* The scale of the first group is that of all. */
static void same_scale(struct exact *e, uint32_t n_groups)
{
    for (uint32_t j = 1; j < n_groups; j++)
        e->ws[j][0] = e->ws[0][0];
}

static void exact_tq1_0(const uint8_t *block, struct exact *e)
{
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    e->ws[0][0] = el_block_f16(block + EL_TQ1_0_D);
    for (uint32_t i = 0; i < 256; i++) {
        /* Digit k of byte at + j: 32 bytes of five digits, 16 of five, 4 of four. */
        const uint32_t n = i < 160 ? 32 : i < 240 ? 16 : 4, first = i < 160 ? 0 : i < 240 ? 160 : 240;
        const uint32_t at = (i < 160 ? 0 : i < 240 ? 32 : 48) + (i - first) % n, k = (i - first) / n;
        e->q[i] = ((uint8_t)(block[at] * powers[k]) * 3 >> 8) - 1;
    }
    same_scale(e, 8);
}

static void exact_tq2_0(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block + EL_TQ2_0_D);
    for (uint32_t i = 0; i < 256; i++)
        e->q[i] = (block[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) - 1;
    same_scale(e, 8);
}

static void exact_q1_0(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    for (uint32_t i = 0; i < 128; i++)
        e->q[i] = block[2 + i / 8] >> (i % 8) & 1 ? 1 : -1;
    same_scale(e, 4);
}

static void exact_q2_0(const uint8_t *block, struct exact *e)
{
    e->ws[0][0] = el_block_f16(block);
    for (uint32_t i = 0; i < 64; i++)
        e->q[i] = (block[2 + i / 4] >> (i % 4 * 2) & 3) - 1;
    same_scale(e, 2);
}

/* The elements of an IQ2 or IQ3 entry, with their signs. */
static void grid(uint32_t entry, uint32_t n, const int8_t *levels, uint32_t signs, int32_t *q)
{
    for (uint32_t i = 0; i < n; i++) {
        const int32_t v = levels[el_iq_digit(entry, i)];
        q[i] = signs >> i & 1 ? -v : v;
    }
}

static const int8_t iq2_levels[3] = {8, 25, 43};

static void exact_iq2_xxs(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block) * 0.125f;
    for (uint32_t g = 0; g < 8; g++) {
        const uint8_t *const p = block + 2 + 8 * g;
        const uint32_t rest = el_block_u32(p + 4);
        e->ws[g][0] = d * (float)(2 * (rest >> 28) + 1);
        for (uint32_t k = 0; k < 4; k++)
            grid(el_iq2xxs_grid[p[k]], 8, iq2_levels, el_iq_signs(rest >> (7 * k) & 127), e->q + 32 * g + 8 * k);
    }
}

static void exact_iq2_xs(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block) * 0.125f;
    for (uint32_t k = 0; k < 32; k++) {
        const uint32_t q = el_block_u16(block + 2 + 2 * k), scale = block[EL_IQ2_XS_SCALES + k / 4] >> (k / 2 % 2 * 4) & 15;
        e->ws[k / 4][k / 2 % 2] = d * (float)(2 * scale + 1);
        grid(el_iq2xs_grid[q & 511], 8, iq2_levels, el_iq_signs(q >> 9), e->q + 8 * k);
    }
}

static void exact_iq2_s(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block) * 0.125f;
    for (uint32_t k = 0; k < 32; k++) {
        const uint32_t scale = block[EL_IQ2_S_SCALES + k / 4] >> (k / 2 % 2 * 4) & 15;
        const uint32_t high = block[EL_IQ2_S_HIGH + k / 4] >> (k % 4 * 2) & 3;
        e->ws[k / 4][k / 2 % 2] = d * (float)(2 * scale + 1);
        grid(el_iq2s_grid[block[2 + k] | high << 8], 8, iq2_levels, block[EL_IQ2_S_SIGNS + k], e->q + 8 * k);
    }
}

static void exact_iq3_xxs(const uint8_t *block, struct exact *e)
{
    static const int8_t levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    const float d = el_block_f16(block) * 0.25f;
    for (uint32_t k = 0; k < 64; k++) {
        const uint32_t rest = el_block_u32(block + EL_IQ3_XXS_SCALES + k / 8 * 4);
        e->ws[k / 8][0] = d * (float)(2 * (rest >> 28) + 1);
        grid(el_iq3xxs_grid[block[2 + k]], 4, levels, el_iq_signs(rest >> (k / 2 % 4 * 7) & 127) >> (k % 2 * 4), e->q + 4 * k);
    }
}

static void exact_iq3_s(const uint8_t *block, struct exact *e)
{
    static const int8_t levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    const float d = el_block_f16(block);
    for (uint32_t k = 0; k < 64; k++) {
        const uint32_t scale = block[EL_IQ3_S_SCALES + k / 16] >> (k / 8 % 2 * 4) & 15;
        const uint32_t high = block[EL_IQ3_S_HIGH + k / 8] >> (k % 8) & 1;
        e->ws[k / 8][0] = d * (float)(2 * scale + 1);
        grid(el_iq3s_grid[block[2 + k] | high << 8], 4, levels, (uint32_t)block[EL_IQ3_S_SIGNS + k / 2] >> (k % 2 * 4),
             e->q + 4 * k);
    }
}

/* Eight times (element + delta), which is an eighth: w = d / 8 (2 scale + 1) q. */
static void grid_delta(uint32_t entry, bool negative, int32_t *q)
{
    for (uint32_t i = 0; i < 8; i++)
        q[i] = 8 * ((int32_t)el_iq_digit(entry, i) - 1) + (negative ? -1 : 1);
}

static void exact_iq1_s(const uint8_t *block, struct exact *e)
{
    const float d = el_block_f16(block) * 0.125f;
    for (uint32_t k = 0; k < 32; k++) {
        const uint32_t rest = el_block_u16(block + EL_IQ1_S_GROUPS + k / 4 * 2), high = rest >> (k % 4 * 3) & 7;
        e->ws[k / 4][0] = d * (float)(2 * (rest >> 12 & 7) + 1);
        grid_delta(el_iq1_grid[block[2 + k] | high << 8], rest >> 15, e->q + 8 * k);
    }
}

static void exact_iq1_m(const uint8_t *block, struct exact *e)
{
    const uint8_t *const scales = block + EL_IQ1_M_SCALES;
    uint32_t half = 0;
    for (uint32_t i = 0; i < 4; i++)
        half |= (uint32_t)(scales[2 * i + 1] >> 4) << (4 * i);
    const float d = el_f16_to_f32((uint16_t)half) * 0.125f;
    for (uint32_t k = 0; k < 32; k++) {
        const uint32_t more = (uint32_t)block[EL_IQ1_M_HIGH + k / 2] >> (k % 2 * 4);
        const uint32_t scale = (uint32_t)el_block_u16(scales + k / 8 * 2) >> (k / 2 % 4 * 3) & 7;
        e->ws[k / 4][k / 2 % 2] = d * (float)(2 * scale + 1);
        grid_delta(el_iq1_grid[block[k] | (more & 7) << 8], more & 8, e->q + 8 * k);
    }
}

static float dot(const int32_t *q, const int8_t *x, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += q[i] * x[i];
    return (float)sum;
}

/* What 32 columns add, in units of the activations' scale: group j of a block. */
static float group(const struct exact *e, unsigned flags, uint32_t j, const int8_t *x, const int16_t *sum)
{
    const int32_t *const q = e->q + j * GROUP;
    float s = e->ws[j][0] * dot(q, x, flags & EXACT_HALVES ? GROUP / 2 : GROUP);
    if (flags & EXACT_HALVES)
        s = fmaf(e->ws[j][1], dot(q + GROUP / 2, x + GROUP / 2, GROUP / 2), s);
    if (flags & EXACT_MINS)
        s = fmaf(-e->wd, (float)(e->m[j][0] * sum[0] + e->m[j][1] * sum[1]), s);
    return s;
}

static void product(const struct el_matrix *w, uint64_t row, const struct el_act *x, exact_fn *exact, unsigned flags, float *y,
                    uint64_t y_stride)
{
    const uint32_t block_n = w->enc.e->block_n, block_nbytes = w->enc.e->block_nbytes;
    for (uint64_t t = 0; t < x->n; t++)
        y[t * y_stride] = 0;
    for (uint64_t b = 0; b < w->n_in / block_n; b++) {
        struct exact e;
        exact(w->data[0] + row * w->row_nbytes[0] + b * block_nbytes, &e);
        for (uint64_t t = 0; t < x->n; t++)
            for (uint32_t j = 0; j < block_n / GROUP; j++) {
                const uint64_t g = b * (block_n / GROUP) + j;
                const int16_t *const sum = x->sum + t * (x->n_pad / 16) + g * 2;
                const float s = group(&e, flags, j, x->q8 + t * x->n_pad + g * GROUP, sum);
                const float scale = x->scale[t * (x->n_pad / GROUP) + g];
                y[t * y_stride] = fmaf(s, scale, y[t * y_stride]);
                if (flags & EXACT_OFFSET)
                    y[t * y_stride] = fmaf(e.wo[j], scale * (float)(sum[0] + sum[1]), y[t * y_stride]);
            }
    }
}

#define PRODUCT(id, flags)                                                                                                       \
    static void matmul_##id##_ref(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,   \
                                  uint64_t y_stride, void *scratch)                                                              \
    {                                                                                                                            \
        (void)scratch;                                                                                                           \
        for (uint64_t r = 0; r < n_rows; r++)                                                                                    \
            product(w, row0 + r, x, exact_##id, flags, y + r, y_stride);                                                         \
    }
#define PRODUCTS(X)                                                                                                              \
    X(q8_0, 0)                                                                                                                   \
    X(q4_0, 0)                                                                                                                   \
    X(q4_1, EXACT_OFFSET)                                                                                                        \
    X(q5_0, 0)                                                                                                                   \
    X(q5_1, EXACT_OFFSET)                                                                                                        \
    X(q2_k, EXACT_MINS)                                                                                                          \
    X(q3_k, EXACT_HALVES)                                                                                                        \
    X(q4_k, EXACT_OFFSET)                                                                                                        \
    X(q5_k, EXACT_OFFSET)                                                                                                        \
    X(q6_k, EXACT_HALVES)                                                                                                        \
    X(iq4_nl, 0)                                                                                                                 \
    X(iq4_xs, 0)                                                                                                                 \
    X(mxfp4, 0)                                                                                                                  \
    X(tq1_0, 0)                                                                                                                  \
    X(tq2_0, 0)                                                                                                                  \
    X(q1_0, 0)                                                                                                                   \
    X(q2_0, 0)                                                                                                                   \
    X(iq1_s, 0)                                                                                                                  \
    X(iq1_m, EXACT_HALVES)                                                                                                       \
    X(iq2_xxs, 0)                                                                                                                \
    X(iq2_xs, EXACT_HALVES)                                                                                                      \
    X(iq2_s, EXACT_HALVES)                                                                                                       \
    X(iq3_xxs, 0)                                                                                                                \
    X(iq3_s, 0)

PRODUCTS(PRODUCT)

void el_products_init_ref(struct el_kernels *k)
{
#define SET(id, flags)                                                                                                           \
    k->matmul[EL_ENC_IDX_##id].fn = matmul_##id##_ref;                                                                           \
    k->matmul[EL_ENC_IDX_##id].form = EL_ACT_Q8;
    PRODUCTS(SET)
#undef SET
}
