/*
 * AVX2 and FMA: float32, float16 and bfloat16 weights. Eight sums per result, lane l of them over the columns k = l (mod 8); they
 * are added up in a fixed tree at the end.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { LANES = 8, MAX_ROWS = 2, MAX_TOKENS = 4 };
enum weight_type { W_F32, W_F16, W_BF16 };

EL_INLINE EL_AVX2 __m256 load_weights(enum weight_type type, const uint8_t *p)
{
    if (type == W_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    if (type == W_F16)
        return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* Eight columns of a tile. left < 8: only so many are there, the rest counts as 0. */
EL_INLINE EL_AVX2 void step(enum weight_type type, unsigned n_rows, unsigned n_tokens, const uint8_t *rows, uint64_t row_nbytes,
                            const float *x, uint64_t x_stride, uint64_t k, uint64_t left, __m256 acc[MAX_ROWS][MAX_TOKENS])
{
    const unsigned nbytes = type == W_F32 ? 4 : 2;
    __m256 w[MAX_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *p = rows + r * row_nbytes + k * nbytes;
        el_prefetch_next(p, n_rows, row_nbytes);
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
        const __m256 xk = left < LANES ? el_load_part_avx2(p, left) : _mm256_loadu_ps(p);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            acc[r][i] = _mm256_fmadd_ps(w[r], xk, acc[r][i]);
    }
}

EL_INLINE EL_AVX2 void tile(enum weight_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                            const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const uint64_t row_nbytes = w->row_nbytes[0], n_in = w->n_in, x_stride = x->f32_stride;
    const uint8_t *const rows = w->data[0] + row * row_nbytes;
    const float *const xt = x->f32 + t * x_stride;
    __m256 acc[MAX_ROWS][MAX_TOKENS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[r][i] = _mm256_setzero_ps();
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
            y[i * y_stride + r] = el_hsum_avx2(acc[r][i]);
    }
}

EL_DEFINE_TILED_MATMUL(matmul_f32_avx2, tile, W_F32, EL_AVX2, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_f16_avx2, tile, W_F16, EL_AVX2, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_bf16_avx2, tile, W_BF16, EL_AVX2, MAX_ROWS, MAX_TOKENS)

void el_matmul_init_avx2(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_f32].fn = matmul_f32_avx2;
    k->matmul[EL_ENC_IDX_f16].fn = matmul_f16_avx2;
    k->matmul[EL_ENC_IDX_bf16].fn = matmul_bf16_avx2;
}
#endif
