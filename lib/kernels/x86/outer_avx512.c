/*
 * Sums of outer products on AVX-512: 8 rows of the result by 2 vectors stay in registers for a run of tokens, whose 32 columns
 * of b and 8 of a fit the first-level cache together.
 */
#include "kernels/x86/kernels_x86.h"

#if EL_X86
enum { ROWS = 8, LANES = 16, COLS = 2 * LANES };

/* to [16] += v */
EL_INLINE EL_AVX512 void add_f64(double *to, __m512 v)
{
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), low));
    _mm512_storeu_pd(to + 8, _mm512_add_pd(_mm512_loadu_pd(to + 8), high));
}

EL_AVX512 static void block(const float *a, const float *b, uint64_t n, double *c)
{
    __m512 sum[ROWS][2];
    EL_UNROLL
    for (unsigned i = 0; i < ROWS; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (uint64_t t = 0; t < n; t++) {
        const __m512 b0 = _mm512_loadu_ps(b + t * EL_OUTER), b1 = _mm512_loadu_ps(b + t * EL_OUTER + LANES);
        EL_UNROLL
        for (unsigned i = 0; i < ROWS; i++) {
            const __m512 ai = _mm512_set1_ps(a[t * EL_OUTER + i]);
            sum[i][0] = _mm512_fmadd_ps(ai, b0, sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(ai, b1, sum[i][1]);
        }
    }
    EL_UNROLL
    for (unsigned i = 0; i < ROWS; i++) {
        add_f64(c + i * EL_OUTER, sum[i][0]);
        add_f64(c + i * EL_OUTER + LANES, sum[i][1]);
    }
}

static void outer_avx512(const float *a, const float *b, uint64_t n, double *c)
{
    for (uint64_t t = 0; t < n; t += EL_OUTER_RUN)
        for (unsigned j = 0; j < EL_OUTER; j += COLS)
            for (unsigned i = 0; i < EL_OUTER; i += ROWS)
                block(a + t * EL_OUTER + i, b + t * EL_OUTER + j, n - t < EL_OUTER_RUN ? n - t : EL_OUTER_RUN,
                      c + i * EL_OUTER + j);
}

void el_outer_init_avx512(struct el_kernels *k)
{
    k->outer = outer_avx512;
}
#endif
