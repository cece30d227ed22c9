/* Reference attention: one chunk by the formulas of attn.h, query after query. Sums are made in float64. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/f16.h"
#include "kernels/kernels.h"
#include "kernels/kernels_ref.h"

/* Element i of position p of the store. */
static float stored(const struct el_attn *a, bool key, uint64_t p, uint32_t i)
{
    const enum el_kv_type type = key ? a->k_type : a->v_type;
    const uint64_t tile_nbytes = EL_KV_TILE * el_kv_row_nbytes(type, a->d), in_tile = p % EL_KV_TILE;
    const uint8_t *const tile = (const uint8_t *)(key ? a->k : a->v) + p / EL_KV_TILE * tile_nbytes;
    const uint64_t at = key ? (uint64_t)i * EL_KV_TILE + in_tile : in_tile * a->d + i;
    if (type == EL_KV_F32)
        return ((const float *)(const void *)tile)[at];
    if (type == EL_KV_F16)
        return el_f16_to_f32(((const uint16_t *)(const void *)tile)[at]);
    const uint16_t *const scales = (const uint16_t *)(const void *)(tile + (uint64_t)a->d * EL_KV_TILE);
    const uint64_t code_at = key ? (uint64_t)i / 4 * 4 * EL_KV_TILE + in_tile * 4 + i % 4 : at;
    return el_f16_to_f32(scales[(uint64_t)i / EL_KV_BLOCK * EL_KV_TILE + in_tile]) * (float)((const int8_t *)tile)[code_at];
}

/* q . K_p; with keys in q8_0 the query is what struct el_act makes of it. */
static float score(const struct el_attn *a, uint32_t r, uint32_t h, uint64_t p)
{
    const uint64_t n = (uint64_t)a->n_heads * a->d, q8_at = r * n + (uint64_t)h * a->d;
    double dot = 0;
    for (uint32_t i = 0; i < a->d; i++) {
        const double q = a->k_type == EL_KV_Q8_0 ? (double)a->q8[q8_at + i] * (double)a->q8_scale[(q8_at + i) / EL_ACT_BLOCK]
                                                 : (double)a->q[r * a->q_stride + (uint64_t)h * a->d + i];
        dot += q * (double)stored(a, true, p, i);
    }
    return (float)dot * a->scale;
}

static void one_query(const struct el_attn *a, uint64_t chunk, uint32_t r, uint32_t h, const struct el_attn_part *part)
{
    const uint64_t at = chunk * EL_ATTN_CHUNK, query = (uint64_t)r * a->n_heads + h;
    float s[EL_ATTN_CHUNK], max = -FLT_MAX;
    uint32_t begin, end;
    el_attn_visible(a, chunk, r, &begin, &end);
    if (begin >= end)
        return;
    for (uint32_t p = begin; p < end; p++)
        s[p] = score(a, r, h, at + p);
    if (a->cap != 0)
        el_soft_cap(s + begin, end - begin, a->cap);
    for (uint32_t p = begin; p < end; p++)
        max = s[p] > max ? s[p] : max;
    double sum = 0;
    for (uint32_t p = begin; p < end; p++) {
        s[p] = expf(s[p] - max);
        sum += (double)s[p];
    }
    part->max[query] = max;
    part->sum[query] = (float)sum;
    for (uint32_t i = 0; i < a->d; i++) {
        double v = 0;
        for (uint32_t p = begin; p < end; p++)
            v += (double)s[p] * (double)stored(a, false, at + p, i);
        part->out[query * a->d + i] = (float)v;
    }
}

void el_attn_ref(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    for (uint32_t r = 0; r < a->n_rows; r++)
        for (uint32_t h = 0; h < a->n_heads; h++)
            one_query(a, chunk, r, h, part);
}
