/*
 * Reference products of float weights, with products and sums in float64, rounded once, and of the group encoding, with exact
 * integer sums per 32 columns, then float32 in column order. Those of the other encodings: product_ref.c.
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

/* Codes of the group encoding: see lib/tensor/enc_group.c. Groups are multiples of 32 columns, or the row. */
static float dot_group(const struct el_matrix *w, uint64_t row, const int8_t *q8, const float *scale, const int16_t *sum)
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
