/*
 * AVX2 and FMA: float32, float16 and bfloat16 weights. Eight sums per result, lane l of them over the columns k = l (mod 8); they
 * are added up in a fixed tree at the end.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles_float.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { LANES = 8, MAX_ROWS = 4, MAX_TOKENS = 3 }; /* 12 sums, a register per token and one for a row: all 16 */
enum weight_type { W_F32, W_F16, W_BF16 };

EL_INLINE unsigned elem_nbytes(enum weight_type type)
{
    return type == W_F32 ? 4 : 2;
}

EL_INLINE EL_AVX2 __m256 load_weights(enum weight_type type, const uint8_t *p)
{
    if (type == W_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    if (type == W_F16)
        return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* The first n < 8 weights, 0 in the other lanes; nothing beyond is read. */
EL_INLINE EL_AVX2 __m256 load_last_weights(enum weight_type type, const uint8_t *p, uint64_t n)
{
    uint8_t padded[LANES * 4] = {0};
    memcpy(padded, p, n * elem_nbytes(type));
    return load_weights(type, padded);
}

/* Eight columns of a tile, from k on. left < 8: only so many are there, the rest counts as 0. */
EL_INLINE EL_AVX2 void step(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_float_tile *t, uint64_t k,
                            uint64_t left, __m256 acc[MAX_TOKENS][MAX_ROWS])
{
    __m256 x[MAX_TOKENS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const float *const p = t->x + i * t->x_stride + k;
        x[i] = left < LANES ? el_load_part_avx2(p, left) : _mm256_loadu_ps(p);
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *const p = t->rows + r * t->row_nbytes + k * elem_nbytes(type);
        const __m256 w = left < LANES ? load_last_weights(type, p, left) : load_weights(type, p);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[i][r] = _mm256_fmadd_ps(w, x[i], acc[i][r]);
    }
}

EL_INLINE EL_AVX2 void sum_tile(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_float_tile *tile)
{
    const struct el_float_tile t = *tile;
    __m256 acc[MAX_TOKENS][MAX_ROWS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[i][r] = _mm256_setzero_ps();
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
        if (n_rows == MAX_ROWS)
            _mm_storeu_ps(y, el_hsum_4_avx2(acc[i]));
        else
            *y = el_hsum_avx2(acc[i][0]);
    }
}

EL_INLINE EL_AVX2 void tile_of(enum weight_type type, unsigned n_rows, const struct el_float_tile *t, unsigned n_tokens)
{
    switch (n_tokens) {
    case 1: sum_tile(type, n_rows, 1, t); break;
    case 2: sum_tile(type, n_rows, 2, t); break;
    default: sum_tile(type, n_rows, MAX_TOKENS, t);
    }
}

#define FLOAT_MATMUL(NAME, TYPE)                                                                                                 \
    EL_AVX2 static void rows_##NAME(const struct el_float_tile *t, unsigned n_tokens)                                            \
    {                                                                                                                            \
        tile_of(TYPE, MAX_ROWS, t, n_tokens);                                                                                    \
    }                                                                                                                            \
    EL_AVX2 static void row_##NAME(const struct el_float_tile *t, unsigned n_tokens)                                             \
    {                                                                                                                            \
        tile_of(TYPE, 1, t, n_tokens);                                                                                           \
    }                                                                                                                            \
    static void matmul_##NAME##_avx2(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,          \
                                     float *y, uint64_t y_stride, void *scratch)                                                 \
    {                                                                                                                            \
        static const struct el_float_tiles tiles = {MAX_ROWS, MAX_TOKENS, rows_##NAME, row_##NAME};                              \
        (void)scratch;                                                                                                           \
        el_float_tiles_run(&tiles, w, row0, n_rows, x, y, y_stride);                                                             \
    }

FLOAT_MATMUL(f32, W_F32)
FLOAT_MATMUL(f16, W_F16)
FLOAT_MATMUL(bf16, W_BF16)

void el_matmul_init_avx2(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_f32].fn = matmul_f32_avx2;
    k->matmul[EL_ENC_IDX_f16].fn = matmul_f16_avx2;
    k->matmul[EL_ENC_IDX_bf16].fn = matmul_bf16_avx2;
}
#endif
