/* Sums of outer products on AVX2: 4 rows of the result by 2 vectors stay in registers for a run of tokens. */
#include "kernels/x86/kernels_x86.h"

#if EL_X86
enum { ROWS = 4, LANES = 8, COLS = 2 * LANES };

/* to [8] += v */
EL_INLINE EL_AVX2 void add_f64(double *to, __m256 v)
{
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), low));
    _mm256_storeu_pd(to + 4, _mm256_add_pd(_mm256_loadu_pd(to + 4), high));
}

EL_AVX2 static void block(const float *a, const float *b, uint64_t n, double *c)
{
    __m256 sum[ROWS][2];
    EL_UNROLL
    for (unsigned i = 0; i < ROWS; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    for (uint64_t t = 0; t < n; t++) {
        const __m256 b0 = _mm256_loadu_ps(b + t * EL_OUTER), b1 = _mm256_loadu_ps(b + t * EL_OUTER + LANES);
        EL_UNROLL
        for (unsigned i = 0; i < ROWS; i++) {
            const __m256 ai = _mm256_set1_ps(a[t * EL_OUTER + i]);
            sum[i][0] = _mm256_fmadd_ps(ai, b0, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(ai, b1, sum[i][1]);
        }
    }
    EL_UNROLL
    for (unsigned i = 0; i < ROWS; i++) {
        add_f64(c + i * EL_OUTER, sum[i][0]);
        add_f64(c + i * EL_OUTER + LANES, sum[i][1]);
    }
}

static void outer_avx2(const float *a, const float *b, uint64_t n, double *c)
{
    for (uint64_t t = 0; t < n; t += EL_OUTER_RUN)
        for (unsigned j = 0; j < EL_OUTER; j += COLS)
            for (unsigned i = 0; i < EL_OUTER; i += ROWS)
                block(a + t * EL_OUTER + i, b + t * EL_OUTER + j, n - t < EL_OUTER_RUN ? n - t : EL_OUTER_RUN,
                      c + i * EL_OUTER + j);
}

void el_outer_init_avx2(struct el_kernels *k)
{
    k->outer = outer_avx2;
}
#endif
