/*
 * NEON: float32, float16 and bfloat16 weights. Eight sums per result, lane l of them over the columns k = l (mod 8); they are
 * added up in a fixed tree at the end, as at AVX2.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles_float.h"

#if EL_ARM64
#include <arm_neon.h>

#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/simd_neon.h"

enum { LANES = EL_V8_LANES, MAX_ROWS = 4, MAX_TOKENS = 3 }; /* 12 sums, one vector per token and one for a row: 32 registers */
enum weight_type { W_F32, W_F16, W_BF16 };

EL_INLINE unsigned elem_nbytes(enum weight_type type)
{
    return type == W_F32 ? 4 : 2;
}

EL_INLINE struct el_v8 load_weights(enum weight_type type, const uint8_t *p)
{
    if (type == W_F16)
        return el_v8_load_f16(p);
    if (type == W_F32)
        return (struct el_v8){vreinterpretq_f32_u8(vld1q_u8(p)), vreinterpretq_f32_u8(vld1q_u8(p + 16))};
    const uint16x8_t half = vreinterpretq_u16_u8(vld1q_u8(p));
    return (struct el_v8){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16)),
                          vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(half), 16))};
}

/* The first n < 8 weights, 0 in the other lanes; nothing beyond is read. */
EL_INLINE struct el_v8 load_last_weights(enum weight_type type, const uint8_t *p, uint64_t n)
{
    uint8_t padded[LANES * 4] = {0};
    memcpy(padded, p, n * elem_nbytes(type));
    return load_weights(type, padded);
}

/* Eight columns of a tile, from k on. left < 8: only so many are there, the rest counts as 0. */
EL_INLINE void step(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_float_tile *t, uint64_t k,
                    uint64_t left, struct el_v8 acc[MAX_TOKENS][MAX_ROWS])
{
    struct el_v8 x[MAX_TOKENS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++)
        x[i] = el_v8_load_n(t->x + i * t->x_stride + k, left);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *const p = t->rows + r * t->row_nbytes + k * elem_nbytes(type);
        const struct el_v8 w = left < LANES ? load_last_weights(type, p, left) : load_weights(type, p);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[i][r] = el_v8_fma(w, x[i], acc[i][r]);
    }
}

EL_INLINE void sum_tile(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_float_tile *tile)
{
    const struct el_float_tile t = *tile;
    struct el_v8 acc[MAX_TOKENS][MAX_ROWS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[i][r] = el_v8_set(0);
    }
    uintptr_t next = (uintptr_t)t.rows + n_rows * t.row_nbytes;
    uint64_t k = 0;
    for (; k + LANES <= t.n_in; k += LANES) {
        el_prefetch(&next, n_rows * LANES * elem_nbytes(type));
        step(type, n_rows, n_tokens, &t, k, LANES, acc);
    }
    if (k < t.n_in)
        step(type, n_rows, n_tokens, &t, k, t.n_in - k, acc);
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        float *const y = t.y + i * t.y_stride;
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            y[r] = el_v8_sum(acc[i][r]);
    }
}

EL_INLINE void tile_of(enum weight_type type, unsigned n_rows, const struct el_float_tile *t, unsigned n_tokens)
{
    switch (n_tokens) {
    case 1: sum_tile(type, n_rows, 1, t); break;
    case 2: sum_tile(type, n_rows, 2, t); break;
    default: sum_tile(type, n_rows, MAX_TOKENS, t);
    }
}

#define FLOAT_MATMUL(NAME, TYPE)                                                                                                 \
    static void rows_##NAME(const struct el_float_tile *t, unsigned n_tokens)                                                    \
    {                                                                                                                            \
        tile_of(TYPE, MAX_ROWS, t, n_tokens);                                                                                    \
    }                                                                                                                            \
    static void row_##NAME(const struct el_float_tile *t, unsigned n_tokens)                                                     \
    {                                                                                                                            \
        tile_of(TYPE, 1, t, n_tokens);                                                                                           \
    }                                                                                                                            \
    static void matmul_##NAME##_neon(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,          \
                                     float *y, uint64_t y_stride, void *scratch)                                                 \
    {                                                                                                                            \
        static const struct el_float_tiles tiles = {MAX_ROWS, MAX_TOKENS, rows_##NAME, row_##NAME};                              \
        (void)scratch;                                                                                                           \
        el_float_tiles_run(&tiles, w, row0, n_rows, x, y, y_stride);                                                             \
    }

FLOAT_MATMUL(f32, W_F32)
FLOAT_MATMUL(f16, W_F16)
FLOAT_MATMUL(bf16, W_BF16)

void el_matmul_init_neon(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_f32].fn = matmul_f32_neon;
    k->matmul[EL_ENC_IDX_f16].fn = matmul_f16_neon;
    k->matmul[EL_ENC_IDX_bf16].fn = matmul_bf16_neon;
}
#endif
