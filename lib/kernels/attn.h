/*
 * Attention of query rows over stored keys and values: out = sum_p softmax(scale q K^T)_p V_p.
 *
 * Positions come in chunks of EL_ATTN_CHUNK, counted from position 0 of the sequence. Each chunk that a row sees is done alone,
 * relative to its own greatest score, and the chunks are folded in order (the online softmax of Milakov and Gimelshein 2018,
 * arXiv:1805.02867). What chunks a row has depends on its position and the window only; so its bits depend neither on the other
 * rows of a call nor on who computes which chunk.
 *
 * A head's keys and values are stored in tiles of EL_KV_TILE positions:
 *   keys    f32, f16: [tile][d][16], so that 16 positions of one element lie side by side and a score needs no sum over lanes
 *           q8_0: [tile] of codes int8 [d / 4][16][4], then scales f16 [d / 32][16]
 *   values  f32, f16: [tile][16][d], that is, rows
 *           q8_0: [tile] of codes int8 [16][d], then scales f16 [d / 32][16]
 * q8_0: x = scale code in blocks of 32 elements; d is a multiple of 32.
 */
#ifndef EL_KERNELS_ATTN_H
#define EL_KERNELS_ATTN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct el_kernels;

enum el_kv_type { EL_KV_F32, EL_KV_F16, EL_KV_Q8_0 };
enum { EL_KV_TYPES = 3, EL_KV_TILE = 16, EL_KV_BLOCK = 32, EL_ATTN_CHUNK = 256 };

/* "f32", "f16", "q8_0" */
const char *el_kv_type_name(enum el_kv_type type);

/* Bytes of one position of one head; EL_KV_TILE times that is a tile. */
uint64_t el_kv_row_nbytes(enum el_kv_type type, uint32_t d);

/*
 * Position pos of a head's keys or values from x [d] f32. q8_0, for each 32 elements: scale = max|x| / 127 rounded to f16, codes
 * round to nearest even of x / scale, held within +-127; a block with a NaN or an infinity has scale NaN, so that nothing hides
 * it.
 */
void el_kv_store_key(const struct el_kernels *k, enum el_kv_type type, uint32_t d, void *head, uint64_t pos, const float *x);
void el_kv_store_value(const struct el_kernels *k, enum el_kv_type type, uint32_t d, void *head, uint64_t pos, const float *x);

/*
 * The same position as a plain row of el_kv_row_nbytes: d elements, or for q8_0 d / 32 times a scale and 32 codes. Copies without
 * loss, both ways.
 */
void el_kv_get_row(enum el_kv_type type, bool key, uint32_t d, const void *head, uint64_t pos, void *row);
void el_kv_put_row(enum el_kv_type type, bool key, uint32_t d, void *head, uint64_t pos, const void *row);

/* Rows of one sequence at positions pos0, pos0 + 1, ..., and the query heads that share one head of keys and values. */
struct el_attn {
    const float *q;    /* head h of row r: [d] f32 at q + r q_stride + h d, already rotated */
    uint64_t q_stride; /* elements */
    const void *k, *v; /* the head's store, from position 0 on */
    enum el_kv_type k_type, v_type;
    uint32_t n_rows, n_heads, d;
    uint64_t pos0;
    uint64_t window; /* row r sees positions max(0, pos0 + r - window + 1) to pos0 + r; 0: all to there */
    float scale;     /* of scores */
    float cap;       /* not 0: scores s become cap tanh(s / cap) */
    float *out;      /* head h of row r: [d] f32 at out + r out_stride + h d; overlaps nothing else */
    uint64_t out_stride;
    /* Keys in q8_0: the queries by the rule of struct el_act: [n_rows, n_heads d], [n_rows, n_heads d / 32] and / 16. */
    const int8_t *q8;
    const float *q8_scale;
    const int16_t *q8_sum;
};

/* What a chunk gives, for query i = r n_heads + h: out [i, d] = sum_p e_p V_p, sum[i] = sum_p e_p, e_p = exp(s_p - max[i]). */
struct el_attn_part {
    float *max, *sum, *out;
};

/* A part for each query whose row sees a position of the chunk; those of other queries are left alone. */
typedef void el_attn_fn(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part);

/* First chunk that row r sees, and the one behind its last. */
uint64_t el_attn_first_chunk(const struct el_attn *a, uint32_t r);
uint64_t el_attn_end_chunk(const struct el_attn *a, uint32_t r);
/* The positions [*begin, *end) of a chunk, counted from its first, that row r sees; none: *begin >= *end. */
void el_attn_visible(const struct el_attn *a, uint64_t chunk, uint32_t r, uint32_t *begin, uint32_t *end);

/* Bytes of a part of n_queries; el_attn_part_at lays one over memory of that size, 64-aligned. */
uint64_t el_attn_part_nbytes(uint64_t n_queries, uint32_t d);
struct el_attn_part el_attn_part_at(void *memory, uint64_t n_queries, uint32_t d);

/* Scratch of the two below, 64-aligned. */
uint64_t el_attn_scratch_nbytes(uint64_t n_queries, uint32_t d);
/* out of all queries, chunk after chunk. */
void el_attn_all(const struct el_kernels *k, const struct el_attn *a, void *scratch);
/* One chunk into a part that the caller keeps. */
void el_attn_chunk(const struct el_kernels *k, const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part,
                   void *scratch);
/* out of a single row (n_rows 1) from the parts of all its chunks, which lie part_nbytes apart: the bits of el_attn_all. */
void el_attn_join(const struct el_kernels *k, const struct el_attn *a, const void *parts, uint64_t part_nbytes);

/* x = cap tanh(x / cap), elementwise [n]    (Bello et al., arXiv:1611.09940, section 5.2) */
void el_soft_cap(float *x, uint64_t n, float cap);

#endif
