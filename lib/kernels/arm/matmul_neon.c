/*
 * NEON: float32, float16 and bfloat16 weights. Eight sums per result, lane l of them over the columns k = l (mod 8); they are
 * added up in a fixed tree at the end, as at AVX2.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_ARM64
#include <arm_neon.h>

#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/simd_neon.h"

enum { LANES = EL_V8_LANES, MAX_ROWS = 2, MAX_TOKENS = 4 };
enum weight_type { W_F32, W_F16, W_BF16 };

EL_INLINE struct el_v8 load_weights(enum weight_type type, const uint8_t *p)
{
    if (type == W_F16)
        return el_v8_load_f16(p);
    if (type == W_F32) {
        const uint8x16_t a = vld1q_u8(p), b = vld1q_u8(p + 16);
        return (struct el_v8){vreinterpretq_f32_u8(a), vreinterpretq_f32_u8(b)};
    }
    const uint16x8_t half = vreinterpretq_u16_u8(vld1q_u8(p));
    return (struct el_v8){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16)),
                          vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(half), 16))};
}

/* Eight columns of a tile. left < 8: only so many are there, the rest counts as 0. */
EL_INLINE void step(enum weight_type type, unsigned n_rows, unsigned n_tokens, const uint8_t *rows, uint64_t row_nbytes,
                    const float *x, uint64_t x_stride, uint64_t k, uint64_t left, struct el_v8 acc[MAX_ROWS][MAX_TOKENS])
{
    const unsigned nbytes = type == W_F32 ? 4 : 2;
    struct el_v8 w[MAX_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *p = rows + r * row_nbytes + k * nbytes;
        uint8_t padded[LANES * 4];
        if (left < LANES) {
            memset(padded, 0, sizeof padded);
            memcpy(padded, p, left * nbytes);
            p = padded;
        }
        w[r] = load_weights(type, p);
    }
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const float *const p = x + i * x_stride + k;
        const struct el_v8 xk = el_v8_load_n(p, left);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[r][i] = el_v8_fma(w[r], xk, acc[r][i]);
    }
}

EL_INLINE void tile(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                    const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const uint64_t row_nbytes = w->row_nbytes[0], n_in = w->n_in, x_stride = x->f32_stride;
    const uint8_t *const rows = w->data[0] + row * row_nbytes;
    const float *const xt = x->f32 + t * x_stride;
    struct el_v8 acc[MAX_ROWS][MAX_TOKENS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[r][i] = el_v8_set(0);
    }
    uint64_t k = 0;
    for (; k + LANES <= n_in; k += LANES)
        step(type, n_rows, n_tokens, rows, row_nbytes, xt, x_stride, k, LANES, acc);
    if (k < n_in)
        step(type, n_rows, n_tokens, rows, row_nbytes, xt, x_stride, k, n_in - k, acc);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = el_v8_sum(acc[r][i]);
    }
}

EL_DEFINE_TILED_MATMUL(matmul_f32_neon, tile, W_F32, , MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_f16_neon, tile, W_F16, , MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_bf16_neon, tile, W_BF16, , MAX_ROWS, MAX_TOKENS)

void el_matmul_init_neon(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_f32].fn = matmul_f32_neon;
    k->matmul[EL_ENC_IDX_f16].fn = matmul_f16_neon;
    k->matmul[EL_ENC_IDX_bf16].fn = matmul_bf16_neon;
}
#endif
