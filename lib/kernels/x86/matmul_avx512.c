/*
 * AVX-512: float32, float16 and bfloat16 weights. Sixteen sums per result, lane l of them over the columns k = l (mod 16); they
 * are added up in a fixed tree at the end.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"

enum { LANES = 16, MAX_ROWS = 4, MAX_TOKENS = 4 };
enum weight_type { W_F32, W_F16, W_BF16 };

/* Sixteen weights from column k on; where the mask is 0 nothing is read. */
EL_INLINE EL_AVX512 __m512 load_weights(enum weight_type type, const uint8_t *row, uint64_t k, __mmask16 mask)
{
    if (type == W_F32)
        return _mm512_maskz_loadu_ps(mask, row + 4 * k);
    const __m256i half = _mm256_maskz_loadu_epi16(mask, row + 2 * k);
    if (type == W_F16)
        return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Sixteen columns of a tile. */
EL_INLINE EL_AVX512 void step(enum weight_type type, unsigned n_rows, unsigned n_tokens, const uint8_t *rows, uint64_t row_nbytes,
                              const float *x, uint64_t x_stride, uint64_t k, __mmask16 mask, __m512 acc[MAX_ROWS][MAX_TOKENS])
{
    __m512 w[MAX_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        w[r] = load_weights(type, rows + r * row_nbytes, k, mask);
        el_prefetch_next(rows + r * row_nbytes + k * (type == W_F32 ? 4 : 2), n_rows, row_nbytes);
    }
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const __m512 xk = _mm512_maskz_loadu_ps(mask, x + i * x_stride + k);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[r][i] = _mm512_fmadd_ps(w[r], xk, acc[r][i]);
    }
}

EL_INLINE EL_AVX512 void tile(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                              const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const uint64_t row_nbytes = w->row_nbytes[0], n_in = w->n_in, x_stride = x->f32_stride;
    const uint8_t *const rows = w->data[0] + row * row_nbytes;
    const float *const xt = x->f32 + t * x_stride;
    __m512 acc[MAX_ROWS][MAX_TOKENS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[r][i] = _mm512_setzero_ps();
    }
    uint64_t k = 0;
    for (; k + LANES <= n_in; k += LANES)
        step(type, n_rows, n_tokens, rows, row_nbytes, xt, x_stride, k, (__mmask16)0xffff, acc);
    if (k < n_in)
        step(type, n_rows, n_tokens, rows, row_nbytes, xt, x_stride, k, (__mmask16)((1u << (n_in - k)) - 1), acc);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = _mm512_reduce_add_ps(acc[r][i]);
    }
}

EL_DEFINE_TILED_MATMUL(matmul_f32_avx512, tile, W_F32, EL_AVX512, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_f16_avx512, tile, W_F16, EL_AVX512, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_bf16_avx512, tile, W_BF16, EL_AVX512, MAX_ROWS, MAX_TOKENS)

void el_matmul_init_avx512(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_f32].fn = matmul_f32_avx512;
    k->matmul[EL_ENC_IDX_f16].fn = matmul_f16_avx512;
    k->matmul[EL_ENC_IDX_bf16].fn = matmul_bf16_avx512;
}
#endif
