/* NEON attention, eight elements of a row at a time; see kernels.h for the formula. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include <arm_neon.h>

#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/simd_neon.h"

enum { LANES = EL_V8_LANES, POSITIONS = 4, VECTORS = 8 };

/* Elements i to i + 7 of a row; left < 8: only so many are there, the rest is 0. */
EL_INLINE struct el_v8 load_cached(const char *row, bool f16, uint32_t i, uint32_t left)
{
    if (!f16) {
        const float *const p = (const float *)(const void *)row + i;
        return el_v8_load_n(p, left);
    }
    uint16_t part[LANES] = {0};
    if (left >= LANES)
        return el_v8_load_f16(row + 2 * (uint64_t)i);
    memcpy(part, row + 2 * (uint64_t)i, 2 * left);
    return el_v8_load_f16(part);
}

EL_INLINE void score_step(const struct el_attn_args *a, const char *k, bool f16, unsigned n_pos, uint32_t i, uint32_t left,
                          struct el_v8 acc[POSITIONS])
{
    const struct el_v8 q = el_v8_load_n(a->q + i, left);
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        acc[p] = el_v8_fma(q, load_cached(k + p * a->k_stride_nbytes, f16, i, left), acc[p]);
}

/* scale q K^T for n_pos positions from row k on. */
EL_INLINE void scores(const struct el_attn_args *a, const char *k, bool f16, unsigned n_pos, float *score)
{
    struct el_v8 acc[POSITIONS];
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        acc[p] = el_v8_set(0);
    uint32_t i = 0;
    for (; i + LANES <= a->d; i += LANES)
        score_step(a, k, f16, n_pos, i, LANES, acc);
    if (i < a->d)
        score_step(a, k, f16, n_pos, i, a->d - i, acc);
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        score[p] = el_v8_sum(acc[p]) * a->scale;
}

EL_INLINE void all_scores(const struct el_attn_args *a, const char *k, bool f16, uint64_t n, float *score)
{
    uint64_t p = 0;
    for (; p + POSITIONS <= n; p += POSITIONS)
        scores(a, k + p * a->k_stride_nbytes, f16, POSITIONS, score + p);
    for (; p < n; p++)
        scores(a, k + p * a->k_stride_nbytes, f16, 1, score + p);
}

/* score = exp(score - *max) with the new maximum; score has room for whole vectors. Returns the sum. */
static float exponentials(float *score, uint64_t n, float *max)
{
    for (uint64_t p = n; p % LANES; p++)
        score[p] = -INFINITY;
    struct el_v8 m = el_v8_set(*max);
    for (uint64_t p = 0; p < n; p += LANES)
        m = el_v8_max(m, el_v8_load(score + p));
    *max = vmaxvq_f32(vmaxq_f32(m.a, m.b));
    m = el_v8_set(*max);
    struct el_v8 sum = el_v8_set(0);
    for (uint64_t p = 0; p < n; p += LANES) {
        const struct el_v8 e = el_v8_exp(el_v8_sub(el_v8_load(score + p), m));
        el_v8_store(score + p, e);
        sum = el_v8_add(sum, e);
    }
    return el_v8_sum(sum);
}

/*
 * out = out * shrink + sum_p weight[p] V[p] for n_vectors vectors of elements from i on; left < 8 elements in a single last one.
 */
EL_INLINE void add_values(const struct el_attn_args *a, const char *v, bool f16, uint64_t n, const float *weight, float shrink,
                          uint32_t i, unsigned n_vectors, uint32_t left)
{
    struct el_v8 acc[VECTORS];
    EL_UNROLL
    for (unsigned j = 0; j < n_vectors; j++)
        acc[j] = el_v8_set(0);
    for (uint64_t p = 0; p < n; p++) {
        const struct el_v8 wp = el_v8_set(weight[p]);
        const char *const row = v + p * a->v_stride_nbytes;
        EL_UNROLL
        for (unsigned j = 0; j < n_vectors; j++)
            acc[j] = el_v8_fma(wp, load_cached(row, f16, i + j * LANES, left), acc[j]);
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_vectors; j++) {
        float *const out = a->out + i + j * LANES;
        el_v8_store_n(out, left, el_v8_fma(el_v8_load_n(out, left), el_v8_set(shrink), acc[j]));
    }
}

EL_INLINE void all_values(const struct el_attn_args *a, const char *v, bool f16, uint64_t n, const float *weight, float shrink)
{
    uint32_t i = 0;
    for (; i + VECTORS * LANES <= a->d; i += VECTORS * LANES)
        add_values(a, v, f16, n, weight, shrink, i, VECTORS, LANES);
    for (; i + LANES <= a->d; i += LANES)
        add_values(a, v, f16, n, weight, shrink, i, 1, LANES);
    if (i < a->d)
        add_values(a, v, f16, n, weight, shrink, i, 1, a->d - i);
}

static void attn_neon(const struct el_attn_args *a)
{
    float score[EL_ATTN_CHUNK];
    float max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < a->d; i++)
        a->out[i] = 0;
    for (uint64_t p = 0; p < a->n_pos; p += EL_ATTN_CHUNK) {
        const uint64_t n = a->n_pos - p < EL_ATTN_CHUNK ? a->n_pos - p : EL_ATTN_CHUNK;
        const char *const k = (const char *)a->k + p * a->k_stride_nbytes, *const v = (const char *)a->v + p * a->v_stride_nbytes;
        if (a->k_f16)
            all_scores(a, k, true, n, score);
        else
            all_scores(a, k, false, n, score);
        if (a->cap != 0)
            el_soft_cap(score, n, a->cap);
        /* What was summed so far was relative to the old maximum; at first that is nothing. */
        const float old_max = max, chunk_sum = exponentials(score, n, &max);
        const float shrink = p ? expf(old_max - max) : 0;
        sum = sum * shrink + chunk_sum;
        if (a->v_f16)
            all_values(a, v, true, n, score, shrink);
        else
            all_values(a, v, false, n, score, shrink);
    }
    for (uint32_t i = 0; i < a->d; i++)
        a->out[i] /= sum;
}

void el_attn_init_neon(struct el_kernels *k)
{
    k->attn = attn_neon;
}
#endif
