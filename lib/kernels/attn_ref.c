/* Reference attention: the formula of kernels.h, chunk by chunk. */
#include <math.h>
#include <stdint.h>

#include "base/f16.h"
#include "kernels/kernels.h"
#include "kernels/kernels_ref.h"

/* Element i of position p of a cache. */
static float cached(const void *rows, uint64_t stride_nbytes, bool f16, uint64_t p, uint32_t i)
{
    const void *const row = (const char *)rows + p * stride_nbytes;
    return f16 ? el_f16_to_f32(((const uint16_t *)row)[i]) : ((const float *)row)[i];
}

void el_soft_cap(float *x, uint64_t n, float cap)
{
    for (uint64_t i = 0; i < n; i++)
        x[i] = cap * tanhf(x[i] / cap);
}

void el_attn_ref(const struct el_attn_args *a)
{
    float score[EL_ATTN_CHUNK];
    float max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < a->d; i++)
        a->out[i] = 0;
    for (uint64_t p0 = 0; p0 < a->n_pos; p0 += EL_ATTN_CHUNK) {
        const uint64_t n = a->n_pos - p0 < EL_ATTN_CHUNK ? a->n_pos - p0 : EL_ATTN_CHUNK;
        float new_max = max;
        for (uint64_t p = 0; p < n; p++) {
            double dot = 0;
            for (uint32_t i = 0; i < a->d; i++)
                dot += (double)a->q[i] * (double)cached(a->k, a->k_stride_nbytes, a->k_f16, p0 + p, i);
            score[p] = (float)dot * a->scale;
        }
        if (a->cap != 0)
            el_soft_cap(score, n, a->cap);
        for (uint64_t p = 0; p < n; p++)
            new_max = score[p] > new_max ? score[p] : new_max;
        /* What was summed so far was relative to the old maximum. */
        const float shrink = expf(max - new_max);
        max = new_max;
        double chunk_sum = 0;
        for (uint64_t p = 0; p < n; p++) {
            score[p] = expf(score[p] - max);
            chunk_sum += (double)score[p];
        }
        sum = sum * shrink + (float)chunk_sum;
        for (uint32_t i = 0; i < a->d; i++) {
            double v = 0;
            for (uint64_t p = 0; p < n; p++)
                v += (double)score[p] * (double)cached(a->v, a->v_stride_nbytes, a->v_f16, p0 + p, i);
            a->out[i] = a->out[i] * shrink + (float)v;
        }
    }
    for (uint32_t i = 0; i < a->d; i++)
        a->out[i] /= sum;
}
