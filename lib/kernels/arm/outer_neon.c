/* Sums of outer products on NEON: 4 rows of the result by 4 vectors stay in registers for a run of tokens. */
#include "kernels/arm/kernels_arm.h"

#if EL_ARM64
#include <arm_neon.h>

enum { ROWS = 4, LANES = 4, VECTORS = 4, COLS = VECTORS * LANES };

static void block(const float *a, const float *b, uint64_t n, double *c)
{
    float32x4_t sum[ROWS][VECTORS];
    EL_UNROLL
    for (unsigned i = 0; i < ROWS * VECTORS; i++)
        sum[i / VECTORS][i % VECTORS] = vdupq_n_f32(0);
    for (uint64_t t = 0; t < n; t++) {
        const float32x4_t ai = vld1q_f32(a + t * EL_OUTER);
        EL_UNROLL
        for (unsigned j = 0; j < VECTORS; j++) {
            const float32x4_t bj = vld1q_f32(b + t * EL_OUTER + j * LANES);
            sum[0][j] = vfmaq_laneq_f32(sum[0][j], bj, ai, 0);
            sum[1][j] = vfmaq_laneq_f32(sum[1][j], bj, ai, 1);
            sum[2][j] = vfmaq_laneq_f32(sum[2][j], bj, ai, 2);
            sum[3][j] = vfmaq_laneq_f32(sum[3][j], bj, ai, 3);
        }
    }
    EL_UNROLL
    for (unsigned i = 0; i < ROWS * VECTORS; i++) {
        const float32x4_t v = sum[i / VECTORS][i % VECTORS];
        double *const to = c + i / VECTORS * EL_OUTER + i % VECTORS * LANES;
        vst1q_f64(to, vaddq_f64(vld1q_f64(to), vcvt_f64_f32(vget_low_f32(v))));
        vst1q_f64(to + 2, vaddq_f64(vld1q_f64(to + 2), vcvt_high_f64_f32(v)));
    }
}

static void outer_neon(const float *a, const float *b, uint64_t n, double *c)
{
    for (uint64_t t = 0; t < n; t += EL_OUTER_RUN)
        for (unsigned j = 0; j < EL_OUTER; j += COLS)
            for (unsigned i = 0; i < EL_OUTER; i += ROWS)
                block(a + t * EL_OUTER + i, b + t * EL_OUTER + j, n - t < EL_OUTER_RUN ? n - t : EL_OUTER_RUN,
                      c + i * EL_OUTER + j);
}

void el_outer_init_neon(struct el_kernels *k)
{
    k->outer = outer_neon;
}
#endif
