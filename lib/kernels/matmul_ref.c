/*
 * Reference products. Float weights: products and sums in float64, rounded once. Blocks: exact integer sums per scale, then
 * float32 in column order.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/f16.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/kernels_ref.h"

static float load_f32(const uint8_t *p, uint64_t i)
{
    float v;
    memcpy(&v, p + 4 * i, 4);
    return v;
}

static float load_f16(const uint8_t *p, uint64_t i)
{
    return el_f16_to_f32(el_block_u16(p + 2 * i));
}

static float load_bf16(const uint8_t *p, uint64_t i)
{
    return el_bf16_to_f32(el_block_u16(p + 2 * i));
}

/* One weight at a time by `load`; four sums, because the additions would wait for one another in one. */
#define FLOAT_MATMUL(name, load)                                                                                                 \
    void name(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y, uint64_t y_stride,    \
              void *scratch)                                                                                                     \
    {                                                                                                                            \
        (void)scratch;                                                                                                           \
        for (uint64_t r = 0; r < n_rows; r++) {                                                                                  \
            const uint8_t *const row = w->data[0] + (row0 + r) * w->row_nbytes[0];                                               \
            for (uint64_t t = 0; t < x->n; t++) {                                                                                \
                const float *const xt = x->f32 + t * x->f32_stride;                                                              \
                double sum[4] = {0, 0, 0, 0};                                                                                    \
                for (uint64_t i = 0; i < w->n_in; i++)                                                                           \
                    sum[i % 4] += (double)load(row, i) * (double)xt[i];                                                          \
                y[t * y_stride + r] = (float)((sum[0] + sum[1]) + (sum[2] + sum[3]));                                            \
            }                                                                                                                    \
        }                                                                                                                        \
    }

FLOAT_MATMUL(el_matmul_f32_ref, load_f32)
FLOAT_MATMUL(el_matmul_f16_ref, load_f16)
FLOAT_MATMUL(el_matmul_bf16_ref, load_bf16)

/* Row r of w times activation row t, by blocks: dot is one of the dot_* below. */
#define BLOCK_MATMUL(name, dot)                                                                                                  \
    void name(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y, uint64_t y_stride,    \
              void *scratch)                                                                                                     \
    {                                                                                                                            \
        (void)scratch;                                                                                                           \
        for (uint64_t r = 0; r < n_rows; r++) {                                                                                  \
            const uint8_t *const row = w->data[0] + (row0 + r) * w->row_nbytes[0];                                               \
            for (uint64_t t = 0; t < x->n; t++)                                                                                  \
                y[t * y_stride + r] =                                                                                            \
                    dot(row, w->n_in, x->q8 + t * x->n_pad, x->scale + t * (x->n_pad / 32), x->sum + t * (x->n_pad / 16));       \
        }                                                                                                                        \
    }

static float dot_q8_0(const uint8_t *row, uint64_t n_in, const int8_t *q8, const float *scale, const int32_t *sum)
{
    (void)sum;
    float y = 0;
    for (uint64_t b = 0; b < n_in / 32; b++) {
        const uint8_t *const block = row + b * EL_Q8_0_NBYTES;
        int32_t dot = 0;
        for (uint64_t i = 0; i < 32; i++)
            dot += (int8_t)block[EL_Q8_0_QS + i] * q8[b * 32 + i];
        y += el_block_f16(block) * scale[b] * (float)dot;
    }
    return y;
}

static float dot_q4_0(const uint8_t *row, uint64_t n_in, const int8_t *q8, const float *scale, const int32_t *sum)
{
    float y = 0;
    for (uint64_t b = 0; b < n_in / 32; b++) {
        const uint8_t *const block = row + b * EL_Q4_0_NBYTES;
        int32_t dot = -8 * (sum[2 * b] + sum[2 * b + 1]);
        for (uint64_t i = 0; i < 16; i++)
            dot += (block[EL_Q4_0_QS + i] & 15) * q8[b * 32 + i] + (block[EL_Q4_0_QS + i] >> 4) * q8[b * 32 + 16 + i];
        y += el_block_f16(block) * scale[b] * (float)dot;
    }
    return y;
}

static float dot_q5_0(const uint8_t *row, uint64_t n_in, const int8_t *q8, const float *scale, const int32_t *sum)
{
    float y = 0;
    for (uint64_t b = 0; b < n_in / 32; b++) {
        const uint8_t *const block = row + b * EL_Q5_0_NBYTES;
        const uint32_t high = el_block_u32(block + EL_Q5_0_QH);
        int32_t dot = -16 * (sum[2 * b] + sum[2 * b + 1]);
        for (uint32_t i = 0; i < 32; i++) {
            const uint32_t low = block[EL_Q5_0_QS + i % 16] >> (i / 16 * 4) & 15u;
            dot += (int32_t)(low | (high >> i & 1u) << 4) * q8[b * 32 + i];
        }
        y += el_block_f16(block) * scale[b] * (float)dot;
    }
    return y;
}

/* A Q4_K block (qh NULL) or a Q5_K block, which has a fifth bit in qh, times 256 activations; q: its nibbles. */
static float dot_q45_k(const uint8_t *block, const uint8_t *q, const uint8_t *qh, const int8_t *q8, const float *scale,
                       const int32_t *sum)
{
    const float d = el_block_f16(block), dmin = el_block_f16(block + EL_Q4_K_DMIN);
    uint64_t scales, mins;
    float y = 0;
    el_q4_k_scales(block + EL_Q4_K_SCALES, &scales, &mins);
    for (uint64_t j = 0; j < 8; j++) {
        int32_t dot = 0;
        for (uint64_t i = 0; i < 32; i++)
            dot += ((q[j / 2 * 32 + i] >> (j % 2 * 4) & 15) + (qh ? (qh[i] >> j & 1) << 4 : 0)) * q8[j * 32 + i];
        const float ds = d * (float)(scales >> (8 * j) & 63), dm = dmin * (float)(mins >> (8 * j) & 63);
        y += ds * scale[j] * (float)dot;
        y -= dm * scale[j] * (float)(sum[2 * j] + sum[2 * j + 1]);
    }
    return y;
}

static float dot_q4_k(const uint8_t *row, uint64_t n_in, const int8_t *q8, const float *scale, const int32_t *sum)
{
    float y = 0;
    for (uint64_t b = 0; b < n_in / 256; b++) {
        const uint8_t *const block = row + b * EL_Q4_K_NBYTES;
        y += dot_q45_k(block, block + EL_Q4_K_QS, NULL, q8 + b * 256, scale + b * 8, sum + b * 16);
    }
    return y;
}

static float dot_q5_k(const uint8_t *row, uint64_t n_in, const int8_t *q8, const float *scale, const int32_t *sum)
{
    float y = 0;
    for (uint64_t b = 0; b < n_in / 256; b++) {
        const uint8_t *const block = row + b * EL_Q5_K_NBYTES;
        y += dot_q45_k(block, block + EL_Q5_K_QS, block + EL_Q5_K_QH, q8 + b * 256, scale + b * 8, sum + b * 16);
    }
    return y;
}

static float dot_q6_k(const uint8_t *row, uint64_t n_in, const int8_t *q8, const float *scale, const int32_t *sum)
{
    float y = 0;
    for (uint64_t b = 0; b < n_in / 256; b++) {
        const uint8_t *const block = row + b * EL_Q6_K_NBYTES;
        const float d = el_block_f16(block + EL_Q6_K_D);
        for (uint64_t j = 0; j < 16; j++) {
            /* 16 columns: within a half of 128, quarter j / 2 % 4 has its own nibble and bit pair. */
            const uint64_t half = j / 8, quarter = j / 2 % 4, at = j % 2 * 16;
            const uint8_t *const ql = block + half * 64 + quarter % 2 * 32 + at;
            const uint8_t *const qh = block + EL_Q6_K_QH + half * 32 + at;
            const int8_t *const xq = q8 + b * 256 + j * 16;
            int32_t dot = -32 * sum[b * 16 + j];
            for (uint64_t i = 0; i < 16; i++)
                dot += ((ql[i] >> (quarter / 2 * 4) & 15) | (qh[i] >> (quarter * 2) & 3) << 4) * xq[i];
            y += d * (float)(int8_t)block[EL_Q6_K_SCALES + j] * scale[b * 8 + j / 2] * (float)dot;
        }
    }
    return y;
}

BLOCK_MATMUL(el_matmul_q8_0_ref, dot_q8_0)
BLOCK_MATMUL(el_matmul_q4_0_ref, dot_q4_0)
BLOCK_MATMUL(el_matmul_q5_0_ref, dot_q5_0)
BLOCK_MATMUL(el_matmul_q4_k_ref, dot_q4_k)
BLOCK_MATMUL(el_matmul_q5_k_ref, dot_q5_k)
BLOCK_MATMUL(el_matmul_q6_k_ref, dot_q6_k)

/* Codes of the group encoding: see lib/tensor/enc_group.c. Groups are multiples of 32 columns, or the row. */
static float dot_group(const struct el_matrix *w, uint64_t row, const int8_t *q8, const float *scale, const int32_t *sum)
{
    const uint32_t bits = w->enc.bits;
    const uint8_t *const codes = w->data[0] + row * w->row_nbytes[0], *const scales = w->data[1] + row * w->row_nbytes[1];
    const uint64_t n_in = w->n_in, nbytes = (n_in * bits + 7) / 8;
    float y = 0;
    for (uint64_t b = 0; b * 32 < n_in; b++) {
        const uint64_t g = w->enc.group ? b * 32 / w->enc.group : 0;
        const int32_t zero = w->enc.zeros ? w->data[2][row * w->row_nbytes[2] + g] : 1 << (bits - 1);
        int32_t dot = -zero * (sum[2 * b] + sum[2 * b + 1]);
        for (uint64_t i = b * 32; i < n_in && i < b * 32 + 32; i++) {
            const uint64_t at = i * bits / 8;
            const uint32_t two = codes[at] | (at + 1 < nbytes ? (uint32_t)codes[at + 1] << 8 : 0);
            dot += (int32_t)(two >> (i * bits % 8) & ((1u << bits) - 1)) * q8[i];
        }
        y += el_block_f16(scales + 2 * g) * scale[b] * (float)dot;
    }
    return y;
}

void el_matmul_group_ref(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                         uint64_t y_stride, void *scratch)
{
    (void)scratch;
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t t = 0; t < x->n; t++)
            y[t * y_stride + r] =
                dot_group(w, row0 + r, x->q8 + t * x->n_pad, x->scale + t * (x->n_pad / 32), x->sum + t * (x->n_pad / 16));
}
