/*
 * What the attention kernels of all levels share. A block is up to EL_ATTN_QUERIES queries against one chunk: its scores, their
 * exponentials, then the sum of values for up to EL_ATTN_TOGETHER queries at a time. Every score is made by one chain of
 * multiply-adds over the elements, every output element by one over the positions, so that the bits of a query do not depend on
 * what it is computed together with.
 */
#ifndef EL_KERNELS_ATTN_BLOCKS_H
#define EL_KERNELS_ATTN_BLOCKS_H

#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

enum { EL_ATTN_QUERIES = 8, EL_ATTN_TOGETHER = 4 };

struct el_attn_block {
    const struct el_attn *a;
    const uint8_t *k, *v; /* the chunk's first tile */
    uint64_t k_tile_nbytes, v_tile_nbytes;
    uint32_t n;                                            /* queries */
    uint64_t query[EL_ATTN_QUERIES];                       /* their numbers */
    const float *q[EL_ATTN_QUERIES];                       /* [d] each */
    uint32_t begin[EL_ATTN_QUERIES], end[EL_ATTN_QUERIES]; /* positions of the chunk that each sees; begin < end */
    uint32_t tile0, tile1;                                 /* tiles that any of them sees */
};

/*
 * Lays the block over the queries from `first` on whose rows see a position of the chunk; returns the number of the next query.
 * n may be 0.
 */
EL_INLINE uint64_t el_attn_block_at(const struct el_attn *a, uint64_t chunk, uint64_t first, struct el_attn_block *b)
{
    const uint64_t n = (uint64_t)a->n_rows * a->n_heads, tiles_before = chunk * (EL_ATTN_CHUNK / EL_KV_TILE);
    uint64_t i = first;
    b->a = a;
    b->k_tile_nbytes = EL_KV_TILE * el_kv_row_nbytes(a->k_type, a->d);
    b->v_tile_nbytes = EL_KV_TILE * el_kv_row_nbytes(a->v_type, a->d);
    b->k = (const uint8_t *)a->k + tiles_before * b->k_tile_nbytes;
    b->v = (const uint8_t *)a->v + tiles_before * b->v_tile_nbytes;
    b->n = 0;
    b->tile0 = EL_ATTN_CHUNK / EL_KV_TILE;
    b->tile1 = 0;
    for (; i < n && b->n < EL_ATTN_QUERIES; i++) {
        const uint32_t r = (uint32_t)(i / a->n_heads), h = (uint32_t)(i % a->n_heads), j = b->n;
        el_attn_visible(a, chunk, r, &b->begin[j], &b->end[j]);
        if (b->begin[j] >= b->end[j])
            continue;
        const uint32_t tile0 = b->begin[j] / EL_KV_TILE, tile1 = (b->end[j] + EL_KV_TILE - 1) / EL_KV_TILE;
        b->tile0 = tile0 < b->tile0 ? tile0 : b->tile0;
        b->tile1 = tile1 > b->tile1 ? tile1 : b->tile1;
        b->query[j] = i;
        b->q[j] = a->q + r * a->q_stride + (uint64_t)h * a->d;
        b->n++;
    }
    return i;
}

/* Scores of the positions of a chunk, then their exponentials. */
typedef float el_attn_score[EL_ATTN_CHUNK];

/* out[j] [d] += sum over positions begin to end of the chunk of weight[j][p] V_p, for n_q queries. */
typedef void el_attn_add_fn(const struct el_attn_block *b, el_attn_score *weight, float *const *out, unsigned n_q, uint32_t begin,
                            uint32_t end);

/* All sums of the block. What all queries of a group see goes together; what only some see, at the edges, query by query. */
EL_INLINE void el_attn_values(const struct el_attn_block *b, el_attn_score *weight, const struct el_attn_part *part,
                              el_attn_add_fn *add)
{
    for (uint32_t j0 = 0; j0 < b->n; j0 += EL_ATTN_TOGETHER) {
        const uint32_t n_q = b->n - j0 < EL_ATTN_TOGETHER ? b->n - j0 : EL_ATTN_TOGETHER;
        float *out[EL_ATTN_TOGETHER];
        uint32_t begin = 0, end = EL_ATTN_CHUNK;
        for (uint32_t j = 0; j < n_q; j++) {
            out[j] = part->out + b->query[j0 + j] * b->a->d;
            memset(out[j], 0, b->a->d * sizeof(float));
            begin = b->begin[j0 + j] > begin ? b->begin[j0 + j] : begin;
            end = b->end[j0 + j] < end ? b->end[j0 + j] : end;
        }
        begin = begin < end ? begin : end;
        for (uint32_t j = 0; j < n_q; j++)
            add(b, weight + j0 + j, out + j, 1, b->begin[j0 + j], begin);
        add(b, weight + j0, out, n_q, begin, end);
        for (uint32_t j = 0; j < n_q; j++)
            add(b, weight + j0 + j, out + j, 1, end > b->begin[j0 + j] ? end : b->begin[j0 + j], b->end[j0 + j]);
    }
}

/* score[j][p] = q_j . k_p of keys in q8_0, for all tiles of the block, before the model's scale. */
typedef void el_attn_q8_fn(const struct el_attn_block *b, el_attn_score *score);

#endif
