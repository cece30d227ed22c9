/* AVX-512 attention: sixteen positions of keys, sixteen elements of values at a time; see attn.h and attn_x86.h. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx512.h"

enum { LANES = 16, VECTORS = 4, FETCH_AHEAD = 4096 };

/* ---- scores ---- */

EL_INLINE EL_AVX512 __m512 load_key(const uint8_t *tile, bool f16, uint32_t i)
{
    return f16 ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(tile + (uint64_t)i * 32)))
               : _mm512_loadu_ps(tile + (uint64_t)i * 64);
}

/* Queries j0 to j0 + n_q of the block by n_tiles tiles. While these are read, the tiles behind them are fetched. */
EL_INLINE EL_AVX512 void score_tiles(const struct el_attn_block *b, bool f16, uint32_t j0, unsigned n_q, uint32_t tile,
                                     unsigned n_tiles, el_attn_score *score)
{
    const uint8_t *const k = b->k + tile * b->k_tile_nbytes;
    const uint32_t per_line = f16 ? 2 : 1;
    __m512 acc[EL_ATTN_QUERIES][4];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles; t++)
            acc[j][t] = _mm512_setzero_ps();
    }
    for (uint32_t i = 0; i < b->a->d; i++) {
        __m512 key[4];
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            key[t] = load_key(k + t * b->k_tile_nbytes, f16, i);
            if (i % per_line == 0)
                el_prefetch_next(k + t * b->k_tile_nbytes + (uint64_t)i * (f16 ? 32 : 64), n_tiles, b->k_tile_nbytes);
        }
        EL_UNROLL
        for (unsigned j = 0; j < n_q; j++) {
            const __m512 q = _mm512_set1_ps(b->q[j0 + j][i]);
            EL_UNROLL
            for (unsigned t = 0; t < n_tiles; t++)
                acc[j][t] = _mm512_fmadd_ps(q, key[t], acc[j][t]);
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles; t++)
            _mm512_storeu_ps(score[j0 + j] + (tile + t) * EL_KV_TILE, acc[j][t]);
    }
}

EL_INLINE EL_AVX512 void score_queries(const struct el_attn_block *b, bool f16, uint32_t j0, unsigned n_q, unsigned n_tiles,
                                       el_attn_score *score)
{
    uint32_t tile = b->tile0;
    for (; tile + n_tiles <= b->tile1; tile += n_tiles)
        score_tiles(b, f16, j0, n_q, tile, n_tiles, score);
    for (; tile < b->tile1; tile++)
        score_tiles(b, f16, j0, n_q, tile, 1, score);
}

EL_INLINE EL_AVX512 void scores(const struct el_attn_block *b, bool f16, el_attn_score *score)
{
    uint32_t j = 0;
    for (; j + 8 <= b->n; j += 8)
        score_queries(b, f16, j, 8, 2, score);
    for (; j + 4 <= b->n; j += 4)
        score_queries(b, f16, j, 4, 4, score);
    for (; j + 2 <= b->n; j += 2)
        score_queries(b, f16, j, 2, 4, score);
    if (j < b->n)
        score_queries(b, f16, j, 1, 4, score);
}

EL_AVX512 static void scores_f16(const struct el_attn_block *b, el_attn_score *score)
{
    scores(b, true, score);
}

EL_AVX512 static void scores_f32(const struct el_attn_block *b, el_attn_score *score)
{
    scores(b, false, score);
}

/* The scores of one query become exp(score - max), times the model's scale before that; 0 for what it does not see. */
EL_AVX512 static void exponentials(const struct el_attn_block *b, uint32_t j, float *s, const struct el_attn_part *part)
{
    const uint32_t begin = b->begin[j], end = b->end[j], p0 = begin / LANES * LANES;
    const __m512 scale = _mm512_set1_ps(b->a->scale);
    for (uint32_t p = p0; p < end; p += LANES)
        _mm512_storeu_ps(s + p, _mm512_mul_ps(_mm512_loadu_ps(s + p), scale));
    if (b->a->cap != 0)
        el_soft_cap(s + begin, end - begin, b->a->cap);
    __m512 max = _mm512_set1_ps(-FLT_MAX), sum = _mm512_setzero_ps();
    for (uint32_t p = p0; p < end; p += LANES) {
        const __mmask16 seen = el_left_avx512(end - p) & (__mmask16)(p < begin ? 0xffffu << (begin - p) : 0xffffu);
        max = _mm512_max_ps(max, _mm512_mask_loadu_ps(max, seen, s + p));
    }
    max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
    for (uint32_t p = p0; p < end; p += LANES) {
        const __mmask16 seen = el_left_avx512(end - p) & (__mmask16)(p < begin ? 0xffffu << (begin - p) : 0xffffu);
        const __m512 e = _mm512_maskz_mov_ps(seen, el_exp_avx512(_mm512_sub_ps(_mm512_loadu_ps(s + p), max)));
        _mm512_storeu_ps(s + p, e);
        sum = _mm512_add_ps(sum, e);
    }
    part->max[b->query[j]] = _mm512_cvtss_f32(max);
    part->sum[b->query[j]] = _mm512_reduce_add_ps(sum);
}

/* ---- values ---- */

EL_INLINE EL_AVX512 __m512 load_value(const uint8_t *row, enum el_kv_type type, uint32_t i, __mmask16 mask)
{
    if (type == EL_KV_F32)
        return _mm512_maskz_loadu_ps(mask, row + 4 * (uint64_t)i);
    if (type == EL_KV_F16)
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row + 2 * (uint64_t)i));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(row + i))));
}

/*
 * out += sum over positions begin to end of weight[p] V[p] for n_vectors vectors of elements from i on, the last under a mask.
 * weight: of query j, and with q8_0 of the blocks at j and j + EL_ATTN_TOGETHER.
 */
EL_INLINE EL_AVX512 void add_values(const struct el_attn_block *b, enum el_kv_type type, el_attn_score *weight, float *const *out,
                                    unsigned n_q, uint32_t begin, uint32_t end, uint32_t i, unsigned n_vectors, __mmask16 last)
{
    const uint64_t row_nbytes = (uint64_t)b->a->d * (type == EL_KV_F32 ? 4 : type == EL_KV_F16 ? 2 : 1);
    /* A prompt's values come from the cache; a single row's from memory, and codes faster than the hardware fetches them. */
    const bool fetch = type == EL_KV_Q8_0 && b->n <= EL_ATTN_TOGETHER;
    __m512 acc[EL_ATTN_TOGETHER][VECTORS];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++)
            acc[j][t] = _mm512_maskz_loadu_ps(t + 1 == n_vectors ? last : (__mmask16)0xffff, out[j] + i + t * LANES);
    }
    for (uint32_t p = begin; p < end; p++) {
        const uint8_t *const row = b->v + p / EL_KV_TILE * b->v_tile_nbytes + p % EL_KV_TILE * row_nbytes;
        __m512 value[VECTORS];
        if (fetch)
            el_prefetch_next(row + i, 1, FETCH_AHEAD);
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++)
            value[t] = load_value(row, type, i + t * LANES, t + 1 == n_vectors ? last : (__mmask16)0xffff);
        EL_UNROLL
        for (unsigned j = 0; j < n_q; j++) {
            EL_UNROLL
            for (unsigned t = 0; t < n_vectors; t++) {
                const unsigned block = type == EL_KV_Q8_0 ? t / 2 * EL_ATTN_TOGETHER : 0;
                acc[j][t] = _mm512_fmadd_ps(_mm512_set1_ps(weight[j + block][p]), value[t], acc[j][t]);
            }
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++)
            _mm512_mask_storeu_ps(out[j] + i + t * LANES, t + 1 == n_vectors ? last : (__mmask16)0xffff, acc[j][t]);
    }
}

/* All elements of f32 or f16. */
EL_INLINE EL_AVX512 void add_rows(const struct el_attn_block *b, bool f16, el_attn_score *weight, float *const *out, unsigned n_q,
                                  uint32_t begin, uint32_t end)
{
    const enum el_kv_type type = f16 ? EL_KV_F16 : EL_KV_F32;
    const __mmask16 all = (__mmask16)0xffff;
    const uint32_t d = b->a->d;
    uint32_t i = 0;
    for (; i + VECTORS * LANES <= d; i += VECTORS * LANES)
        add_values(b, type, weight, out, n_q, begin, end, i, VECTORS, all);
    for (; i < d; i += LANES)
        add_values(b, type, weight, out, n_q, begin, end, i, 1, el_left_avx512(d - i));
}

/* All elements of q8_0: two blocks of 32 at a time, each with its scales multiplied into the weights. */
EL_INLINE EL_AVX512 void add_q8_rows(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q,
                                     uint32_t begin, uint32_t end)
{
    const __mmask16 all = (__mmask16)0xffff;
    const uint32_t d = b->a->d;
    el_attn_score scaled[2 * EL_ATTN_TOGETHER];
    for (uint32_t i = 0; i < d; i += 2 * EL_KV_BLOCK) {
        const unsigned n_blocks = d - i > EL_KV_BLOCK ? 2 : 1;
        for (uint32_t p = begin / LANES * LANES; p < end; p += LANES) {
            const uint8_t *const scales = b->v + p / EL_KV_TILE * b->v_tile_nbytes + (uint64_t)d * EL_KV_TILE;
            for (unsigned k = 0; k < n_blocks; k++) {
                const uint8_t *const at = scales + (i / EL_KV_BLOCK + k) * EL_KV_TILE * 2;
                const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
                EL_UNROLL
                for (unsigned j = 0; j < n_q; j++)
                    _mm512_storeu_ps(scaled[j + k * EL_ATTN_TOGETHER] + p, _mm512_mul_ps(_mm512_loadu_ps(weight[j] + p), scale));
            }
        }
        if (n_blocks == 2)
            add_values(b, EL_KV_Q8_0, scaled, out, n_q, begin, end, i, 4, all);
        else
            add_values(b, EL_KV_Q8_0, scaled, out, n_q, begin, end, i, 2, all);
    }
}

EL_INLINE EL_AVX512 void add_of_type(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q,
                                     uint32_t begin, uint32_t end)
{
    switch (b->a->v_type) {
    case EL_KV_F32: add_rows(b, false, weight, out, n_q, begin, end); break;
    case EL_KV_F16: add_rows(b, true, weight, out, n_q, begin, end); break;
    case EL_KV_Q8_0: add_q8_rows(b, weight, out, n_q, begin, end); break;
    }
}

EL_AVX512 static void add_together(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q,
                                   uint32_t begin, uint32_t end)
{
    if (begin >= end)
        return;
    switch (n_q) {
    case 1: add_of_type(b, weight, out, 1, begin, end); break;
    case 2: add_of_type(b, weight, out, 2, begin, end); break;
    case 3: add_of_type(b, weight, out, 3, begin, end); break;
    default: add_of_type(b, weight, out, EL_ATTN_TOGETHER, begin, end); break;
    }
}

void el_attn_avx512(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8)
{
    _Alignas(64) el_attn_score score[EL_ATTN_QUERIES];
    const uint64_t n = (uint64_t)a->n_rows * a->n_heads;
    struct el_attn_block b;
    for (uint64_t i = 0; i < n;) {
        i = el_attn_block_at(a, chunk, i, &b);
        switch (a->k_type) {
        case EL_KV_F32: scores_f32(&b, score); break;
        case EL_KV_F16: scores_f16(&b, score); break;
        case EL_KV_Q8_0: scores_q8(&b, score); break;
        }
        for (uint32_t j = 0; j < b.n; j++)
            exponentials(&b, j, score[j], part);
        el_attn_values(&b, score, part, add_together);
    }
}

static void attn_avx512(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    el_attn_avx512(a, chunk, part, el_attn_scores_q8_avx2);
}

void el_attn_init_avx512(struct el_kernels *k)
{
    k->attn = attn_avx512;
}
#endif
