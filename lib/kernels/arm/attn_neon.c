/* NEON attention: eight positions of keys, eight elements of values at a time; see attn.h and attn_blocks.h. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include <arm_neon.h>

#include "kernels/arm/attn_arm.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/simd_neon.h"

enum { LANES = EL_V8_LANES, HALVES = EL_KV_TILE / LANES, MOST_TILES = 4, MOST_VECTORS = 8 };

/* ---- scores ---- */

/* Element i of half of a tile's positions. */
EL_INLINE struct el_v8 load_key(const uint8_t *tile, bool f16, uint32_t i, unsigned half)
{
    if (f16)
        return el_v8_load_f16(tile + (uint64_t)i * 32 + half * 16);
    return el_v8_load((const float *)(const void *)(tile + (uint64_t)i * 64 + half * 32));
}

EL_INLINE void score_tiles(const struct el_attn_block *b, bool f16, uint32_t j0, unsigned n_q, uint32_t tile, unsigned n_tiles,
                           el_attn_score *score)
{
    const uint8_t *const k = b->k + tile * b->k_tile_nbytes;
    struct el_v8 acc[EL_ATTN_TOGETHER][MOST_TILES * HALVES];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles * HALVES; t++)
            acc[j][t] = el_v8_set(0);
    }
    for (uint32_t i = 0; i < b->a->d; i++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles * HALVES; t++) {
            const struct el_v8 key = load_key(k + t / HALVES * b->k_tile_nbytes, f16, i, t % HALVES);
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++)
                acc[j][t] = el_v8_fma(el_v8_set(b->q[j0 + j][i]), key, acc[j][t]);
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles * HALVES; t++)
            el_v8_store(score[j0 + j] + tile * EL_KV_TILE + t * LANES, acc[j][t]);
    }
}

EL_INLINE void score_queries(const struct el_attn_block *b, bool f16, uint32_t j0, unsigned n_q, unsigned n_tiles,
                             el_attn_score *score)
{
    uint32_t tile = b->tile0;
    for (; tile + n_tiles <= b->tile1; tile += n_tiles)
        score_tiles(b, f16, j0, n_q, tile, n_tiles, score);
    for (; tile < b->tile1; tile++)
        score_tiles(b, f16, j0, n_q, tile, 1, score);
}

EL_INLINE void scores(const struct el_attn_block *b, bool f16, el_attn_score *score)
{
    uint32_t j = 0;
    for (; j + 4 <= b->n; j += 4)
        score_queries(b, f16, j, 4, 1, score);
    for (; j + 2 <= b->n; j += 2)
        score_queries(b, f16, j, 2, 2, score);
    if (j < b->n)
        score_queries(b, f16, j, 1, MOST_TILES, score);
}

static void scores_f16(const struct el_attn_block *b, el_attn_score *score)
{
    scores(b, true, score);
}

static void scores_f32(const struct el_attn_block *b, el_attn_score *score)
{
    scores(b, false, score);
}

/* v in the lanes of the eight positions from p on that are in [begin, end), else other. */
EL_INLINE struct el_v8 where_seen(uint32_t p, uint32_t begin, uint32_t end, struct el_v8 v, float other)
{
    static const uint32_t lanes[LANES] = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint32x4_t first = vdupq_n_u32(begin), behind = vdupq_n_u32(end);
    const uint32x4_t a = vaddq_u32(vdupq_n_u32(p), vld1q_u32(lanes)), b = vaddq_u32(vdupq_n_u32(p), vld1q_u32(lanes + 4));
    const float32x4_t o = vdupq_n_f32(other);
    return (struct el_v8){vbslq_f32(vandq_u32(vcgeq_u32(a, first), vcltq_u32(a, behind)), v.a, o),
                          vbslq_f32(vandq_u32(vcgeq_u32(b, first), vcltq_u32(b, behind)), v.b, o)};
}

/* The scores of one query become exp(score - max), times the model's scale before that; 0 for what it does not see. */
static void exponentials(const struct el_attn_block *b, uint32_t j, float *s, const struct el_attn_part *part)
{
    const uint32_t begin = b->begin[j], end = b->end[j], p0 = begin / LANES * LANES;
    const struct el_v8 scale = el_v8_set(b->a->scale);
    for (uint32_t p = p0; p < end; p += LANES)
        el_v8_store(s + p, el_v8_mul(el_v8_load(s + p), scale));
    if (b->a->cap != 0)
        el_soft_cap(s + begin, end - begin, b->a->cap);
    struct el_v8 max = el_v8_set(-FLT_MAX), sum = el_v8_set(0);
    for (uint32_t p = p0; p < end; p += LANES)
        max = el_v8_max(max, where_seen(p, begin, end, el_v8_load(s + p), -FLT_MAX));
    const float greatest = vmaxvq_f32(vmaxq_f32(max.a, max.b));
    max = el_v8_set(greatest);
    for (uint32_t p = p0; p < end; p += LANES) {
        const struct el_v8 e = where_seen(p, begin, end, el_v8_exp(el_v8_sub(el_v8_load(s + p), max)), 0);
        el_v8_store(s + p, e);
        sum = el_v8_add(sum, e);
    }
    part->max[b->query[j]] = greatest;
    part->sum[b->query[j]] = el_v8_sum(sum);
}

/* ---- values ---- */

EL_INLINE struct el_v8 load_value(const uint8_t *row, enum el_kv_type type, uint32_t i, uint32_t left)
{
    if (type == EL_KV_F32)
        return el_v8_load_n((const float *)(const void *)row + i, left);
    if (type == EL_KV_F16) {
        if (left >= LANES)
            return el_v8_load_f16(row + 2 * (uint64_t)i);
        uint16_t part[LANES] = {0};
        memcpy(part, row + 2 * (uint64_t)i, 2 * left);
        return el_v8_load_f16(part);
    }
    const int16x8_t code = vmovl_s8(vld1_s8((const int8_t *)row + i));
    return (struct el_v8){vcvtq_f32_s32(vmovl_s16(vget_low_s16(code))), vcvtq_f32_s32(vmovl_high_s16(code))};
}

/*
 * out += sum over positions begin to end of weight[p] V[p] for n_vectors vectors of elements from i on; left < 8 elements in a
 * single last one.
 */
EL_INLINE void add_values(const struct el_attn_block *b, enum el_kv_type type, el_attn_score *weight, float *const *out,
                          unsigned n_q, uint32_t begin, uint32_t end, uint32_t i, unsigned n_vectors, uint32_t left)
{
    const uint64_t row_nbytes = (uint64_t)b->a->d * (type == EL_KV_F32 ? 4 : type == EL_KV_F16 ? 2 : 1);
    struct el_v8 acc[EL_ATTN_TOGETHER][MOST_VECTORS];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++)
            acc[j][t] = el_v8_load_n(out[j] + i + t * LANES, left);
    }
    for (uint32_t p = begin; p < end; p++) {
        const uint8_t *const row = b->v + p / EL_KV_TILE * b->v_tile_nbytes + p % EL_KV_TILE * row_nbytes;
        struct el_v8 w[EL_ATTN_TOGETHER];
        EL_UNROLL
        for (unsigned j = 0; j < n_q; j++)
            w[j] = el_v8_set(weight[j][p]);
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++) {
            const struct el_v8 value = load_value(row, type, i + t * LANES, left);
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++)
                acc[j][t] = el_v8_fma(w[j], value, acc[j][t]);
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_vectors; t++) {
            el_v8_store_n(out[j] + i + t * LANES, left, acc[j][t]);
        }
    }
}

/* Elements from i0 to i1: as many vectors at a time as there are registers for. */
EL_INLINE void add_elements(const struct el_attn_block *b, enum el_kv_type type, el_attn_score *weight, float *const *out,
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
EL_INLINE void add_q8_rows(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q, uint32_t begin,
                           uint32_t end)
{
    const uint32_t d = b->a->d;
    el_attn_score scaled[EL_ATTN_TOGETHER];
    for (uint32_t i = 0; i < d; i += EL_KV_BLOCK) {
        for (uint32_t p = begin / LANES * LANES; p < end; p += LANES) {
            const uint8_t *const at = b->v + p / EL_KV_TILE * b->v_tile_nbytes + (uint64_t)d * EL_KV_TILE +
                                      (i / EL_KV_BLOCK * EL_KV_TILE + p % EL_KV_TILE) * 2;
            const struct el_v8 scale = el_v8_load_f16(at);
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++)
                el_v8_store(scaled[j] + p, el_v8_mul(el_v8_load(weight[j] + p), scale));
        }
        add_elements(b, EL_KV_Q8_0, scaled, out, n_q, begin, end, i, i + EL_KV_BLOCK);
    }
}

EL_INLINE void add_of_type(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q, uint32_t begin,
                           uint32_t end)
{
    switch (b->a->v_type) {
    case EL_KV_F32: add_elements(b, EL_KV_F32, weight, out, n_q, begin, end, 0, b->a->d); break;
    case EL_KV_F16: add_elements(b, EL_KV_F16, weight, out, n_q, begin, end, 0, b->a->d); break;
    case EL_KV_Q8_0: add_q8_rows(b, weight, out, n_q, begin, end); break;
    }
}

static void add_together(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q, uint32_t begin,
                         uint32_t end)
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

void el_attn_neon(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8)
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

static void scores_q8_neon(const struct el_attn_block *b, el_attn_score *score)
{
    el_attn_scores_q8(b, score);
}

static void attn_neon(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    el_attn_neon(a, chunk, part, scores_q8_neon);
}

void el_attn_init_neon(struct el_kernels *k)
{
    k->attn = attn_neon;
}
#endif
