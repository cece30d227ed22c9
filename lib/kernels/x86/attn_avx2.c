/* AVX2 attention: eight positions of keys, eight elements of values at a time; see attn.h and attn_x86.h. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { LANES = 8, HALVES = EL_KV_TILE / LANES, MOST_TILES = 4, MOST_VECTORS = 8 };

/* ---- scores ---- */

/* Element i of half of a tile's positions. */
EL_INLINE EL_AVX2 __m256 load_key(const uint8_t *tile, bool f16, uint32_t i, unsigned half)
{
    if (f16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(tile + (uint64_t)i * 32 + half * 16)));
    return _mm256_loadu_ps((const float *)(const void *)(tile + (uint64_t)i * 64 + half * 32));
}

EL_INLINE EL_AVX2 void score_tiles(const struct el_attn_block *b, bool f16, uint32_t j0, unsigned n_q, uint32_t tile,
                                   unsigned n_tiles, el_attn_score *score)
{
    const uint8_t *const k = b->k + tile * b->k_tile_nbytes;
    __m256 acc[EL_ATTN_TOGETHER][MOST_TILES * HALVES];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles * HALVES; t++)
            acc[j][t] = _mm256_setzero_ps();
    }
    for (uint32_t i = 0; i < b->a->d; i++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles * HALVES; t++) {
            const __m256 key = load_key(k + t / HALVES * b->k_tile_nbytes, f16, i, t % HALVES);
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++)
                acc[j][t] = _mm256_fmadd_ps(_mm256_set1_ps(b->q[j0 + j][i]), key, acc[j][t]);
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles * HALVES; t++)
            _mm256_storeu_ps(score[j0 + j] + tile * EL_KV_TILE + t * LANES, acc[j][t]);
    }
}

EL_INLINE EL_AVX2 void score_queries(const struct el_attn_block *b, bool f16, uint32_t j0, unsigned n_q, unsigned n_tiles,
                                     el_attn_score *score)
{
    uint32_t tile = b->tile0;
    for (; tile + n_tiles <= b->tile1; tile += n_tiles)
        score_tiles(b, f16, j0, n_q, tile, n_tiles, score);
    for (; tile < b->tile1; tile++)
        score_tiles(b, f16, j0, n_q, tile, 1, score);
}

EL_INLINE EL_AVX2 void scores(const struct el_attn_block *b, bool f16, el_attn_score *score)
{
    uint32_t j = 0;
    for (; j + 4 <= b->n; j += 4)
        score_queries(b, f16, j, 4, 1, score);
    for (; j + 2 <= b->n; j += 2)
        score_queries(b, f16, j, 2, 2, score);
    if (j < b->n)
        score_queries(b, f16, j, 1, MOST_TILES, score);
}

EL_AVX2 static void scores_f16(const struct el_attn_block *b, el_attn_score *score)
{
    scores(b, true, score);
}

EL_AVX2 static void scores_f32(const struct el_attn_block *b, el_attn_score *score)
{
    scores(b, false, score);
}

/*
 * Keys in q8_0. Codes of four elements of eight positions are 32 bytes; multiply-add of bytes takes one operand without a sign,
 * so the query gives its sign to the keys. No sum of two products overflows 16 bits, since codes are within +-127. Per block of
 * 32 elements: score += float(dot) * (scale of the query * scale of the key).
 */
EL_AVX2 void el_attn_scores_q8_avx2(const struct el_attn_block *b, el_attn_score *score)
{
    const uint32_t d = b->a->d, n_blocks = d / EL_KV_BLOCK;
    for (uint32_t j = 0; j < b->n; j++) {
        const int8_t *const q8 = b->a->q8 + b->query[j] * d;
        const float *const q_scale = b->a->q8_scale + b->query[j] * n_blocks;
        for (uint32_t half = b->tile0 * HALVES; half < b->tile1 * HALVES; half++) {
            const uint8_t *const tile = b->k + half / HALVES * b->k_tile_nbytes, *const k = tile + half % HALVES * 32;
            const uint8_t *const k_scale = tile + (uint64_t)d * EL_KV_TILE + half % HALVES * 16;
            __m256 acc = _mm256_setzero_ps();
            for (uint32_t n = 0; n < n_blocks; n++) {
                __m256i dot = _mm256_setzero_si256();
                EL_UNROLL
                for (uint32_t i = 0; i < EL_KV_BLOCK; i += 4) {
                    int32_t four;
                    memcpy(&four, q8 + n * EL_KV_BLOCK + i, sizeof four);
                    const __m256i q = _mm256_set1_epi32(four);
                    const __m256i key =
                        _mm256_loadu_si256((const __m256i *)(const void *)(k + (uint64_t)(n * EL_KV_BLOCK + i) * EL_KV_TILE));
                    const __m256i pairs = _mm256_maddubs_epi16(_mm256_sign_epi8(q, q), _mm256_sign_epi8(key, q));
                    dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
                const __m256 ks = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(k_scale + (uint64_t)n * 32)));
                acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(ks, _mm256_set1_ps(q_scale[n])), acc);
            }
            _mm256_storeu_ps(score[j] + half * LANES, acc);
        }
    }
}

/* All ones in the lanes of the eight positions from p on that are in [begin, end). */
EL_INLINE EL_AVX2 __m256 seen(uint32_t p, uint32_t begin, uint32_t end)
{
    const __m256i at = _mm256_add_epi32(_mm256_set1_epi32((int)p), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    const __m256i early = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)begin), at);
    return _mm256_castsi256_ps(_mm256_andnot_si256(early, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)end), at)));
}

/* The scores of one query become exp(score - max), times the model's scale before that; 0 for what it does not see. */
EL_AVX2 static void exponentials(const struct el_attn_block *b, uint32_t j, float *s, const struct el_attn_part *part)
{
    const uint32_t begin = b->begin[j], end = b->end[j], p0 = begin / LANES * LANES;
    const __m256 scale = _mm256_set1_ps(b->a->scale), least = _mm256_set1_ps(-FLT_MAX);
    for (uint32_t p = p0; p < end; p += LANES)
        _mm256_storeu_ps(s + p, _mm256_mul_ps(_mm256_loadu_ps(s + p), scale));
    if (b->a->cap != 0)
        el_soft_cap(s + begin, end - begin, b->a->cap);
    __m256 max = least, sum = _mm256_setzero_ps();
    for (uint32_t p = p0; p < end; p += LANES)
        max = _mm256_max_ps(max, _mm256_blendv_ps(least, _mm256_loadu_ps(s + p), seen(p, begin, end)));
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps(max, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    half = _mm_max_ss(half, _mm_movehdup_ps(half));
    max = _mm256_set1_ps(_mm_cvtss_f32(half));
    for (uint32_t p = p0; p < end; p += LANES) {
        const __m256 e = _mm256_and_ps(el_exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(s + p), max)), seen(p, begin, end));
        _mm256_storeu_ps(s + p, e);
        sum = _mm256_add_ps(sum, e);
    }
    part->max[b->query[j]] = _mm_cvtss_f32(half);
    part->sum[b->query[j]] = el_hsum_avx2(sum);
}

/* ---- values ---- */

EL_INLINE EL_AVX2 __m256 load_value(const uint8_t *row, enum el_kv_type type, uint32_t i, uint32_t left)
{
    if (type == EL_KV_F32) {
        const float *const p = (const float *)(const void *)row + i;
        return left < LANES ? el_load_part_avx2(p, left) : _mm256_loadu_ps(p);
    }
    if (type == EL_KV_F16) {
        __m128i h = _mm_setzero_si128();
        memcpy(&h, row + 2 * (uint64_t)i, left < LANES ? 2 * left : sizeof h);
        return _mm256_cvtph_ps(h);
    }
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(row + i))));
}

/*
 * out += sum over positions begin to end of weight[p] V[p] for n_vectors vectors of elements from i on; left < 8 elements in a
 * single last one.
 */
EL_INLINE EL_AVX2 void add_values(const struct el_attn_block *b, enum el_kv_type type, el_attn_score *weight, float *const *out,
                                  unsigned n_q, uint32_t begin, uint32_t end, uint32_t i, unsigned n_vectors, uint32_t left)
{
    const uint64_t row_nbytes = (uint64_t)b->a->d * (type == EL_KV_F32 ? 4 : type == EL_KV_F16 ? 2 : 1);
    __m256 acc[EL_ATTN_TOGETHER][MOST_VECTORS];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++)
            acc[j][t] = left < LANES ? el_load_part_avx2(out[j] + i, left) : _mm256_loadu_ps(out[j] + i + t * LANES);
    }
    for (uint32_t p = begin; p < end; p++) {
        const uint8_t *const row = b->v + p / EL_KV_TILE * b->v_tile_nbytes + p % EL_KV_TILE * row_nbytes;
        __m256 w[EL_ATTN_TOGETHER];
        EL_UNROLL
        for (unsigned j = 0; j < n_q; j++)
            w[j] = _mm256_set1_ps(weight[j][p]);
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++) {
            const __m256 value = load_value(row, type, i + t * LANES, left);
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++)
                acc[j][t] = _mm256_fmadd_ps(w[j], value, acc[j][t]);
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++) {
            if (left < LANES)
                el_store_part_avx2(out[j] + i, left, acc[j][t]);
            else
                _mm256_storeu_ps(out[j] + i + t * LANES, acc[j][t]);
        }
    }
}

/* Elements from i0 to i1: as many vectors at a time as there are registers for. */
EL_INLINE EL_AVX2 void add_elements(const struct el_attn_block *b, enum el_kv_type type, el_attn_score *weight, float *const *out,
                                    unsigned n_q, uint32_t begin, uint32_t end, uint32_t i0, uint32_t i1)
{
    const unsigned n_vectors = n_q == 1 ? 8 : n_q == 2 ? 4 : 2;
    uint32_t i = i0;
    for (; i + n_vectors * LANES <= i1; i += n_vectors * LANES)
        add_values(b, type, weight, out, n_q, begin, end, i, n_vectors, LANES);
    for (; i + LANES <= i1; i += LANES)
        add_values(b, type, weight, out, n_q, begin, end, i, 1, LANES);
    if (i < i1)
        add_values(b, type, weight, out, n_q, begin, end, i, 1, i1 - i);
}

/* q8_0: a block of 32 at a time, with its scales multiplied into the weights. */
EL_INLINE EL_AVX2 void add_q8_rows(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q,
                                   uint32_t begin, uint32_t end)
{
    const uint32_t d = b->a->d;
    el_attn_score scaled[EL_ATTN_TOGETHER];
    for (uint32_t i = 0; i < d; i += EL_KV_BLOCK) {
        for (uint32_t p = begin / LANES * LANES; p < end; p += LANES) {
            const uint8_t *const at = b->v + p / EL_KV_TILE * b->v_tile_nbytes + (uint64_t)d * EL_KV_TILE +
                                      (i / EL_KV_BLOCK * EL_KV_TILE + p % EL_KV_TILE) * 2;
            const __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++)
                _mm256_storeu_ps(scaled[j] + p, _mm256_mul_ps(_mm256_loadu_ps(weight[j] + p), scale));
        }
        add_elements(b, EL_KV_Q8_0, scaled, out, n_q, begin, end, i, i + EL_KV_BLOCK);
    }
}

EL_INLINE EL_AVX2 void add_of_type(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q,
                                   uint32_t begin, uint32_t end)
{
    switch (b->a->v_type) {
    case EL_KV_F32: add_elements(b, EL_KV_F32, weight, out, n_q, begin, end, 0, b->a->d); break;
    case EL_KV_F16: add_elements(b, EL_KV_F16, weight, out, n_q, begin, end, 0, b->a->d); break;
    case EL_KV_Q8_0: add_q8_rows(b, weight, out, n_q, begin, end); break;
    }
}

EL_AVX2 static void add_together(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q,
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

EL_AVX2 static void attn_avx2(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    _Alignas(64) el_attn_score score[EL_ATTN_QUERIES];
    const uint64_t n = (uint64_t)a->n_rows * a->n_heads;
    struct el_attn_block b;
    for (uint64_t i = 0; i < n;) {
        i = el_attn_block_at(a, chunk, i, &b);
        switch (a->k_type) {
        case EL_KV_F32: scores_f32(&b, score); break;
        case EL_KV_F16: scores_f16(&b, score); break;
        case EL_KV_Q8_0: el_attn_scores_q8_avx2(&b, score); break;
        }
        for (uint32_t j = 0; j < b.n; j++)
            exponentials(&b, j, score[j], part);
        el_attn_values(&b, score, part, add_together);
    }
}

void el_attn_init_avx2(struct el_kernels *k)
{
    k->attn = attn_avx2;
}
#endif
