/* AVX-512 attention, sixteen elements of a row at a time; see kernels.h for the formula. */
#include <math.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx512.h"

enum { LANES = 16, POSITIONS = 4, VECTORS = 8 };

EL_INLINE EL_AVX512 __m512 load_cached(const char *row, bool f16, uint32_t i, __mmask16 mask)
{
    return f16 ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row + 2 * (uint64_t)i))
               : _mm512_maskz_loadu_ps(mask, row + 4 * (uint64_t)i);
}

/* scale q K^T for n_pos positions from row k on. */
EL_INLINE EL_AVX512 void scores(const struct el_attn_args *a, const char *k, bool f16, unsigned n_pos, float *score)
{
    __m512 acc[POSITIONS];
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        acc[p] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < a->d; i += LANES) {
        const __mmask16 m = el_left_avx512(a->d - i);
        const __m512 q = _mm512_maskz_loadu_ps(m, a->q + i);
        EL_UNROLL
        for (unsigned p = 0; p < n_pos; p++)
            acc[p] = _mm512_fmadd_ps(q, load_cached(k + p * a->k_stride_nbytes, f16, i, m), acc[p]);
    }
    EL_UNROLL
    for (unsigned p = 0; p < n_pos; p++)
        score[p] = _mm512_reduce_add_ps(acc[p]) * a->scale;
}

EL_INLINE EL_AVX512 void all_scores(const struct el_attn_args *a, const char *k, bool f16, uint64_t n, float *score)
{
    uint64_t p = 0;
    for (; p + POSITIONS <= n; p += POSITIONS)
        scores(a, k + p * a->k_stride_nbytes, f16, POSITIONS, score + p);
    for (; p < n; p++)
        scores(a, k + p * a->k_stride_nbytes, f16, 1, score + p);
}

/* score = exp(score - *max) with the new maximum; score has room for whole vectors. Returns the sum. */
EL_AVX512 static float exponentials(float *score, uint64_t n, float *max)
{
    __m512 m = _mm512_set1_ps(*max);
    for (uint64_t p = 0; p < n; p += LANES)
        m = _mm512_max_ps(m, _mm512_mask_loadu_ps(m, el_left_avx512(n - p), score + p));
    *max = _mm512_reduce_max_ps(m);
    m = _mm512_set1_ps(*max);
    __m512 sum = _mm512_setzero_ps();
    for (uint64_t p = 0; p < n; p += LANES) {
        const __mmask16 left = el_left_avx512(n - p);
        const __m512 e = _mm512_maskz_mov_ps(left, el_exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(left, score + p), m)));
        _mm512_storeu_ps(score + p, e);
        sum = _mm512_add_ps(sum, e);
    }
    return _mm512_reduce_add_ps(sum);
}

/* out = out * shrink + sum_p weight[p] V[p] for n_vectors vectors of elements from i on, the last under a mask. */
EL_INLINE EL_AVX512 void add_values(const struct el_attn_args *a, const char *v, bool f16, uint64_t n, const float *weight,
                                    float shrink, uint32_t i, unsigned n_vectors, __mmask16 last)
{
    __m512 acc[VECTORS];
    EL_UNROLL
    for (unsigned j = 0; j < n_vectors; j++)
        acc[j] = _mm512_setzero_ps();
    for (uint64_t p = 0; p < n; p++) {
        const __m512 wp = _mm512_set1_ps(weight[p]);
        const char *const row = v + p * a->v_stride_nbytes;
        EL_UNROLL
        for (unsigned j = 0; j < n_vectors; j++)
            acc[j] =
                _mm512_fmadd_ps(wp, load_cached(row, f16, i + j * LANES, j + 1 == n_vectors ? last : (__mmask16)0xffff), acc[j]);
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_vectors; j++) {
        const __mmask16 m = j + 1 == n_vectors ? last : (__mmask16)0xffff;
        float *const out = a->out + i + j * LANES;
        _mm512_mask_storeu_ps(out, m, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, out), _mm512_set1_ps(shrink), acc[j]));
    }
}

EL_INLINE EL_AVX512 void all_values(const struct el_attn_args *a, const char *v, bool f16, uint64_t n, const float *weight,
                                    float shrink)
{
    const __mmask16 all = (__mmask16)0xffff;
    uint32_t i = 0;
    for (; i + VECTORS * LANES <= a->d; i += VECTORS * LANES)
        add_values(a, v, f16, n, weight, shrink, i, VECTORS, all);
    for (; i + VECTORS / 2 * LANES <= a->d; i += VECTORS / 2 * LANES)
        add_values(a, v, f16, n, weight, shrink, i, VECTORS / 2, all);
    for (; i < a->d; i += LANES)
        add_values(a, v, f16, n, weight, shrink, i, 1, el_left_avx512(a->d - i));
}

EL_AVX512 static void attn_avx512(const struct el_attn_args *a)
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

void el_attn_init_avx512(struct el_kernels *k)
{
    k->attn = attn_avx512;
}
#endif
