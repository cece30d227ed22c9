/*
 * AVX-512: float32, float16 and bfloat16 weights. Sixteen sums per result, lane l of them over the columns k = l (mod 16); they
 * are added up in a fixed tree at the end.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles_float.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx512.h"

enum { LANES = 16, MAX_ROWS = 4, MAX_TOKENS = 6 }; /* 24 sums, a register per row and one for a token: 29 of 32 */
enum weight_type { W_F32, W_F16, W_BF16 };

EL_INLINE unsigned elem_nbytes(enum weight_type type)
{
    return type == W_F32 ? 4 : 2;
}

/* Sixteen weights from p on; where the mask is 0 nothing is read. */
EL_INLINE EL_AVX512 __m512 load_weights(enum weight_type type, const uint8_t *p, __mmask16 mask)
{
    if (type == W_F32)
        return _mm512_maskz_loadu_ps(mask, p);
    const __m256i half = _mm256_maskz_loadu_epi16(mask, p);
    if (type == W_F16)
        return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Sixteen columns of a tile, from k on. */
EL_INLINE EL_AVX512 void step(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_float_tile *t,
                              uint64_t k, __mmask16 mask, __m512 acc[MAX_TOKENS][MAX_ROWS])
{
    __m512 w[MAX_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        w[r] = load_weights(type, t->rows + r * t->row_nbytes + k * elem_nbytes(type), mask);
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const __m512 xk = _mm512_maskz_loadu_ps(mask, t->x + i * t->x_stride + k);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[i][r] = _mm512_fmadd_ps(w[r], xk, acc[i][r]);
    }
}

EL_INLINE EL_AVX512 void sum_tile(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_float_tile *tile)
{
    const struct el_float_tile t = *tile;
    __m512 acc[MAX_TOKENS][MAX_ROWS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[i][r] = _mm512_setzero_ps();
    }
    uintptr_t next = (uintptr_t)t.rows + n_rows * t.row_nbytes;
    uint64_t k = 0;
    for (; k + LANES <= t.n_in; k += LANES) {
        el_prefetch(&next, n_rows * LANES * elem_nbytes(type));
        step(type, n_rows, n_tokens, &t, k, 0xffff, acc);
    }
    if (k < t.n_in)
        step(type, n_rows, n_tokens, &t, k, el_left_avx512(t.n_in - k), acc);
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        float *const y = t.y + i * t.y_stride;
        if (n_rows == MAX_ROWS)
            _mm_storeu_ps(y, el_hsum_4_avx512(acc[i]));
        else
            *y = el_hsum_avx512(acc[i][0]);
    }
}

EL_INLINE EL_AVX512 void tile_of(enum weight_type type, unsigned n_rows, const struct el_float_tile *t, unsigned n_tokens)
{
    switch (n_tokens) {
    case 1: sum_tile(type, n_rows, 1, t); break;
    case 2: sum_tile(type, n_rows, 2, t); break;
    case 3: sum_tile(type, n_rows, 3, t); break;
    case 4: sum_tile(type, n_rows, 4, t); break;
    case 5: sum_tile(type, n_rows, 5, t); break;
    default: sum_tile(type, n_rows, MAX_TOKENS, t);
    }
}

#define FLOAT_MATMUL(NAME, TYPE)                                                                                                 \
    EL_AVX512 static void rows_##NAME(const struct el_float_tile *t, unsigned n_tokens)                                          \
    {                                                                                                                            \
        tile_of(TYPE, MAX_ROWS, t, n_tokens);                                                                                    \
    }                                                                                                                            \
    EL_AVX512 static void row_##NAME(const struct el_float_tile *t, unsigned n_tokens)                                           \
    {                                                                                                                            \
        tile_of(TYPE, 1, t, n_tokens);                                                                                           \
    }                                                                                                                            \
    static void matmul_##NAME##_avx512(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,        \
                                       float *y, uint64_t y_stride, void *scratch)                                               \
    {                                                                                                                            \
        static const struct el_float_tiles tiles = {MAX_ROWS, MAX_TOKENS, rows_##NAME, row_##NAME};                              \
        (void)scratch;                                                                                                           \
        el_float_tiles_run(&tiles, w, row0, n_rows, x, y, y_stride);                                                             \
    }

FLOAT_MATMUL(f32, W_F32)
FLOAT_MATMUL(f16, W_F16)
FLOAT_MATMUL(bf16, W_BF16)

void el_matmul_init_avx512(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_f32].fn = matmul_f32_avx512;
    k->matmul[EL_ENC_IDX_f16].fn = matmul_f16_avx512;
    k->matmul[EL_ENC_IDX_bf16].fn = matmul_bf16_avx512;
}
#endif
