/* AVX2 attention, eight elements of a row at a time; see kernels.h for the formula. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { LANES = 8, POSITIONS = 4, VECTORS = 8 };

/* Elements i to i + 7 of a row; left < 8: only so many are there, the rest is 0. */
EL_INLINE EL_AVX2 __m256 load_cached(const char *row, bool f16, uint32_t i, uint32_t left)
{
    if (!f16) {
        const float *const p = (const float *)(const void *)row + i;
        return left < LANES ? el_load_part_avx2(p, left) : _mm256_loadu_ps(p);
    }
    __m128i h = _mm_setzero_si128();
    memcpy(&h, row + 2 * (uint64_t)i, left < LANES ? 2 * left : sizeof h);
    return _mm256_cvtph_ps(h);
}

EL_INLINE EL_AVX2 void score_step(const struct el_attn_args *a, const char *k, bool f16, unsigned n_pos, uint32_t i,
                                  uint32_t left, __m256 acc[POSITIONS])
{
    const __m256 q = left < LANES ? el_load_part_avx2(a->q + i, left) : _mm256_loadu_ps(a->q + i);
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        acc[p] = _mm256_fmadd_ps(q, load_cached(k + p * a->k_stride_nbytes, f16, i, left), acc[p]);
}

/* scale q K^T for n_pos positions from row k on. */
EL_INLINE EL_AVX2 void scores(const struct el_attn_args *a, const char *k, bool f16, unsigned n_pos, float *score)
{
    __m256 acc[POSITIONS];
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        acc[p] = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + LANES <= a->d; i += LANES)
        score_step(a, k, f16, n_pos, i, LANES, acc);
    if (i < a->d)
        score_step(a, k, f16, n_pos, i, a->d - i, acc);
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        score[p] = el_hsum_avx2(acc[p]) * a->scale;
}

EL_INLINE EL_AVX2 void all_scores(const struct el_attn_args *a, const char *k, bool f16, uint64_t n, float *score)
{
    uint64_t p = 0;
    for (; p + POSITIONS <= n; p += POSITIONS)
        scores(a, k + p * a->k_stride_nbytes, f16, POSITIONS, score + p);
    for (; p < n; p++)
        scores(a, k + p * a->k_stride_nbytes, f16, 1, score + p);
}

/* score = exp(score - *max) with the new maximum; score has room for whole vectors. Returns the sum. */
EL_AVX2 static float exponentials(float *score, uint64_t n, float *max)
{
    for (uint64_t p = n; p % LANES; p++)
        score[p] = -INFINITY;
    __m256 m = _mm256_set1_ps(*max);
    for (uint64_t p = 0; p < n; p += LANES)
        m = _mm256_max_ps(m, _mm256_loadu_ps(score + p));
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    half = _mm_max_ss(half, _mm_movehdup_ps(half));
    *max = _mm_cvtss_f32(half);
    m = _mm256_set1_ps(*max);
    __m256 sum = _mm256_setzero_ps();
    for (uint64_t p = 0; p < n; p += LANES) {
        const __m256 e = el_exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(score + p), m));
        _mm256_storeu_ps(score + p, e);
        sum = _mm256_add_ps(sum, e);
    }
    return el_hsum_avx2(sum);
}

/*
 * out = out * shrink + sum_p weight[p] V[p] for n_vectors vectors of elements from i on; left < 8 elements in a single last one.
 */
EL_INLINE EL_AVX2 void add_values(const struct el_attn_args *a, const char *v, bool f16, uint64_t n, const float *weight,
                                  float shrink, uint32_t i, unsigned n_vectors, uint32_t left)
{
    __m256 acc[VECTORS];
    EL_UNROLL
    for (unsigned j = 0; j < n_vectors; j++)
        acc[j] = _mm256_setzero_ps();
    for (uint64_t p = 0; p < n; p++) {
        const __m256 wp = _mm256_set1_ps(weight[p]);
        const char *const row = v + p * a->v_stride_nbytes;
        EL_UNROLL
        for (unsigned j = 0; j < n_vectors; j++)
            acc[j] = _mm256_fmadd_ps(wp, load_cached(row, f16, i + j * LANES, left), acc[j]);
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_vectors; j++) {
        float *const out = a->out + i + j * LANES;
        if (left < LANES)
            el_store_part_avx2(out, left, _mm256_fmadd_ps(el_load_part_avx2(out, left), _mm256_set1_ps(shrink), acc[j]));
        else
            _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_loadu_ps(out), _mm256_set1_ps(shrink), acc[j]));
    }
}

EL_INLINE EL_AVX2 void all_values(const struct el_attn_args *a, const char *v, bool f16, uint64_t n, const float *weight,
                                  float shrink)
{
    uint32_t i = 0;
    for (; i + VECTORS * LANES <= a->d; i += VECTORS * LANES)
        add_values(a, v, f16, n, weight, shrink, i, VECTORS, LANES);
    for (; i + LANES <= a->d; i += LANES)
        add_values(a, v, f16, n, weight, shrink, i, 1, LANES);
    if (i < a->d)
        add_values(a, v, f16, n, weight, shrink, i, 1, a->d - i);
}

EL_AVX2 static void attn_avx2(const struct el_attn_args *a)
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

void el_attn_init_avx2(struct el_kernels *k)
{
    k->attn = attn_avx2;
}
#endif
