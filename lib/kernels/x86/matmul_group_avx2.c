/*
 * AVX2: the group encoding times int8 activations, 32 columns at a time. Codes become 16-bit numbers, so that a code of 8 bits
 * cannot saturate; eight exact integer sums, less the zero point times the activations' sum, meet one float32 scale.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/group_codes.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { MAX_ROWS = 2, MAX_TOKENS = 4, REACH = 32 };

EL_INLINE EL_AVX2 __m256i load_32(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

EL_INLINE EL_AVX2 __m128i load_16(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Sixteen codes as 16-bit numbers. */
EL_INLINE EL_AVX2 __m256i unpack_16(const uint8_t *p, const struct el_group_codes *c, __m256i mask)
{
    const __m256i windows = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_16(p)), load_32(c->shuffle));
    return _mm256_and_si256(_mm256_srli_epi16(_mm256_mullo_epi16(windows, load_32(c->up)), 8), mask);
}

struct job {
    const struct el_group_codes *codes;
    __m256i mask;
    struct el_group_row rows[MAX_ROWS];
    unsigned bits, shift;
    uint64_t nbytes; /* of the codes of a row */
    const struct el_act *x;
    uint64_t t;
};

/* Block b. `last`: loads of REACH bytes might leave the row. */
EL_INLINE EL_AVX2 void step(const struct job *job, unsigned n_rows, unsigned n_tokens, uint64_t b, bool last,
                            __m256 acc[MAX_ROWS][MAX_TOKENS])
{
    const struct el_act *const x = job->x;
    const uint64_t g = b >> job->shift, at = b * 4 * job->bits;
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const struct el_group_row *const row = &job->rows[r];
        const float d = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(el_block_u16(row->scales + 2 * g))));
        const int zero = el_group_zero(row, job->bits, g);
        uint8_t buffer[REACH];
        const uint8_t *const p = last ? el_group_last(row->codes, at, job->nbytes, REACH, buffer) : row->codes + at;
        const __m256i low = unpack_16(p, job->codes, job->mask), high = unpack_16(p + 2 * job->bits, job->codes, job->mask);
        el_prefetch_next(row->codes + at, n_rows, job->nbytes);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++) {
            const int8_t *const xq = x->q8 + (job->t + i) * x->n_pad + b * 32;
            const int16_t *const sum = x->sum + (job->t + i) * (x->n_pad / 16) + b * 2;
            const __m256i less = _mm256_zextsi128_si256(_mm_cvtsi32_si128(zero * (sum[0] + sum[1])));
            const __m256i dot = _mm256_add_epi32(_mm256_madd_epi16(low, _mm256_cvtepi8_epi16(load_16(xq))),
                                                 _mm256_madd_epi16(high, _mm256_cvtepi8_epi16(load_16(xq + 16))));
            const __m256 scale = _mm256_set1_ps(d * x->scale[(job->t + i) * (x->n_pad / 32) + b]);
            acc[r][i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(dot, less)), scale, acc[r][i]);
        }
    }
}

EL_INLINE EL_AVX2 void tile(int kind, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                            const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    (void)kind;
    struct job job = {.codes = &el_group_codes[w->enc.bits],
                      .mask = _mm256_set1_epi16((short)((1u << w->enc.bits) - 1)),
                      .bits = w->enc.bits,
                      .shift = el_group_shift(w),
                      .nbytes = w->row_nbytes[0],
                      .x = x,
                      .t = t};
    const uint64_t n_blocks = x->n_pad / EL_ACT_BLOCK, step_nbytes = 4 * (uint64_t)job.bits;
    __m256 acc[MAX_ROWS][MAX_TOKENS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        job.rows[r] = el_group_row(w, row + r);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[r][i] = _mm256_setzero_ps();
    }
    uint64_t b = 0;
    for (; b < n_blocks && b * step_nbytes + REACH <= job.nbytes; b++)
        step(&job, n_rows, n_tokens, b, false, acc);
    for (; b < n_blocks; b++)
        step(&job, n_rows, n_tokens, b, true, acc);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = el_hsum_avx2(acc[r][i]);
    }
}

EL_DEFINE_TILED_MATMUL(matmul_group_avx2, tile, 0, EL_AVX2, MAX_ROWS, MAX_TOKENS)

void el_matmul_group_init_avx2(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_group].fn = matmul_group_avx2;
}
#endif
