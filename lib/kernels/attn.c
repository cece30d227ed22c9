/* The store of keys and values in tiles, and chunks of attention folded in order; see attn.h. */
#include "kernels/attn.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/f16.h"
#include "kernels/kernels.h"

const char *el_kv_type_name(enum el_kv_type type)
{
    static const char *const names[EL_KV_TYPES] = {"f32", "f16", "q8_0"};
    return names[type];
}

uint64_t el_kv_row_nbytes(enum el_kv_type type, uint32_t d)
{
    switch (type) {
    case EL_KV_F32: return (uint64_t)d * sizeof(float);
    case EL_KV_F16: return (uint64_t)d * sizeof(uint16_t);
    case EL_KV_Q8_0: break;
    }
    return (uint64_t)d / EL_KV_BLOCK * (EL_KV_BLOCK + sizeof(uint16_t));
}

/* ---- the store ---- */

enum { Q8_0_NBYTES = 2 + EL_KV_BLOCK };

static uint8_t *tile_at(enum el_kv_type type, uint32_t d, const void *head, uint64_t pos)
{
    return (uint8_t *)(uintptr_t)head + pos / EL_KV_TILE * EL_KV_TILE * el_kv_row_nbytes(type, d);
}

/* Where element i of position p of a tile lies in it, in elements; p is all that differs between keys and values. */
static uint64_t element_at(bool key, uint32_t d, uint64_t p, uint32_t i)
{
    return key ? (uint64_t)i * EL_KV_TILE + p : p * d + i;
}

/* The same for the code of q8_0, and its scale behind all codes. */
static uint64_t code_at(bool key, uint32_t d, uint64_t p, uint32_t i)
{
    return key ? (uint64_t)i / 4 * 4 * EL_KV_TILE + p * 4 + i % 4 : p * d + i;
}

static uint64_t scale_at(uint32_t d, uint64_t p, uint32_t block)
{
    return (uint64_t)d * EL_KV_TILE + ((uint64_t)block * EL_KV_TILE + p) * sizeof(uint16_t);
}

void el_kv_get_row(enum el_kv_type type, bool key, uint32_t d, const void *head, uint64_t pos, void *row)
{
    const uint8_t *const tile = tile_at(type, d, head, pos);
    uint8_t *const to = row;
    const uint64_t p = pos % EL_KV_TILE, size = type == EL_KV_F32 ? 4 : 2;
    if (type != EL_KV_Q8_0) {
        for (uint32_t i = 0; i < d; i++)
            memcpy(to + i * size, tile + element_at(key, d, p, i) * size, size);
        return;
    }
    for (uint32_t b = 0; b < d / EL_KV_BLOCK; b++) {
        uint8_t *const block = to + (uint64_t)b * Q8_0_NBYTES;
        memcpy(block, tile + scale_at(d, p, b), 2);
        for (uint32_t i = 0; i < EL_KV_BLOCK; i++)
            block[2 + i] = tile[code_at(key, d, p, b * EL_KV_BLOCK + i)];
    }
}

void el_kv_put_row(enum el_kv_type type, bool key, uint32_t d, void *head, uint64_t pos, const void *row)
{
    uint8_t *const tile = tile_at(type, d, head, pos);
    const uint8_t *const from = row;
    const uint64_t p = pos % EL_KV_TILE, size = type == EL_KV_F32 ? 4 : 2;
    if (type != EL_KV_Q8_0) {
        for (uint32_t i = 0; i < d; i++)
            memcpy(tile + element_at(key, d, p, i) * size, from + i * size, size);
        return;
    }
    for (uint32_t b = 0; b < d / EL_KV_BLOCK; b++) {
        const uint8_t *const block = from + (uint64_t)b * Q8_0_NBYTES;
        memcpy(tile + scale_at(d, p, b), block, 2);
        for (uint32_t i = 0; i < EL_KV_BLOCK; i++)
            tile[code_at(key, d, p, b * EL_KV_BLOCK + i)] = block[2 + i];
    }
}

static void store_q8_0(bool key, uint32_t d, uint8_t *tile, uint64_t p, const float *x)
{
    assert(d % EL_KV_BLOCK == 0);
    for (uint32_t b = 0; b < d / EL_KV_BLOCK; b++) {
        float max = 0;
        bool finite = true;
        for (uint32_t i = 0; i < EL_KV_BLOCK; i++) {
            const float size = fabsf(x[b * EL_KV_BLOCK + i]);
            finite = finite && size <= FLT_MAX;
            max = size > max ? size : max;
        }
        const uint16_t stored = el_f32_to_f16(finite ? max / 127.0f : (float)NAN);
        const float scale = el_f16_to_f32(stored);
        memcpy(tile + scale_at(d, p, b), &stored, sizeof stored);
        for (uint32_t i = 0; i < EL_KV_BLOCK; i++) {
            float q = 0;
            if (scale > 0) {
                q = rintf(x[b * EL_KV_BLOCK + i] / scale);
                q = q > 127 ? 127 : q < -127 ? -127 : q;
            }
            const int8_t code = (int8_t)q;
            memcpy(tile + code_at(key, d, p, b * EL_KV_BLOCK + i), &code, 1);
        }
    }
}

void el_kv_store_key(const struct el_kernels *k, enum el_kv_type type, uint32_t d, void *head, uint64_t pos, const float *x)
{
    uint8_t *const tile = tile_at(type, d, head, pos);
    const uint64_t p = pos % EL_KV_TILE;
    if (type == EL_KV_Q8_0) {
        store_q8_0(true, d, tile, p, x);
    } else if (type == EL_KV_F32) {
        float *const to = (float *)(void *)tile + p;
        for (uint32_t i = 0; i < d; i++)
            to[(uint64_t)i * EL_KV_TILE] = x[i];
    } else {
        uint16_t *const to = (uint16_t *)(void *)tile + p;
        uint16_t h[64];
        for (uint32_t i = 0; i < d; i += 64) {
            const uint32_t n = d - i < 64 ? d - i : 64;
            k->f32_to_f16(x + i, n, h);
            for (uint32_t j = 0; j < n; j++)
                to[(uint64_t)(i + j) * EL_KV_TILE] = h[j];
        }
    }
}

void el_kv_store_value(const struct el_kernels *k, enum el_kv_type type, uint32_t d, void *head, uint64_t pos, const float *x)
{
    uint8_t *const tile = tile_at(type, d, head, pos);
    const uint64_t p = pos % EL_KV_TILE;
    if (type == EL_KV_Q8_0)
        store_q8_0(false, d, tile, p, x);
    else if (type == EL_KV_F32)
        memcpy(tile + p * d * sizeof(float), x, d * sizeof(float));
    else
        k->f32_to_f16(x, d, (uint16_t *)(void *)tile + p * d);
}

/* ---- chunks ---- */

static uint64_t first_visible(const struct el_attn *a, uint32_t r)
{
    const uint64_t pos = a->pos0 + r;
    return a->window != 0 && pos >= a->window ? pos - a->window + 1 : 0;
}

uint64_t el_attn_first_chunk(const struct el_attn *a, uint32_t r)
{
    return first_visible(a, r) / EL_ATTN_CHUNK;
}

uint64_t el_attn_end_chunk(const struct el_attn *a, uint32_t r)
{
    return (a->pos0 + r) / EL_ATTN_CHUNK + 1;
}

void el_attn_visible(const struct el_attn *a, uint64_t chunk, uint32_t r, uint32_t *begin, uint32_t *end)
{
    const uint64_t at = chunk * EL_ATTN_CHUNK, first = first_visible(a, r), behind = a->pos0 + r + 1;
    *begin = first <= at ? 0 : first - at < EL_ATTN_CHUNK ? (uint32_t)(first - at) : EL_ATTN_CHUNK;
    *end = behind <= at ? 0 : behind - at < EL_ATTN_CHUNK ? (uint32_t)(behind - at) : EL_ATTN_CHUNK;
}

static uint64_t padded(uint64_t nbytes)
{
    return (nbytes + 63) / 64 * 64;
}

uint64_t el_attn_part_nbytes(uint64_t n_queries, uint32_t d)
{
    return padded(n_queries * d * sizeof(float)) + 2 * padded(n_queries * sizeof(float));
}

struct el_attn_part el_attn_part_at(void *memory, uint64_t n_queries, uint32_t d)
{
    float *const out = memory;
    float *const max = out + padded(n_queries * d * sizeof(float)) / sizeof(float);
    return (struct el_attn_part){max, max + padded(n_queries * sizeof(float)) / sizeof(float), out};
}

/* Of one query, while its chunks are folded. */
struct state {
    float max, sum;
};

/* A part of a query and what came before it are put on the greater of both maxima; `first`: nothing came before. */
static void fold(const struct el_kernels *k, struct state *s, float max, float sum, const float *part, uint32_t d, bool first,
                 float *out)
{
    if (first) {
        *s = (struct state){max, sum};
        memcpy(out, part, d * sizeof *out);
        return;
    }
    const bool greater = max > s->max;
    const float a = greater ? expf(s->max - max) : 1.0f, b = greater ? 1.0f : expf(max - s->max);
    s->max = greater ? max : s->max;
    s->sum = a * s->sum + b * sum;
    k->axpby(out, a, part, b, d);
}

/* ---- the two ways through them ---- */

/* Memory of a piece of work: a part, the states, and the queries as int8. */
struct scratch {
    struct el_attn_part part;
    struct state *states;
    int8_t *q8;
    float *q8_scale;
    int16_t *q8_sum;
};

static uint64_t lay_out(struct scratch *s, uint8_t *memory, uint64_t n, uint32_t d)
{
    const uint64_t n_elements = n * d;
    uint64_t at = el_attn_part_nbytes(n, d);
    s->part = el_attn_part_at(memory, n, d);
    s->states = (struct state *)(void *)(memory + at);
    at += padded(n * sizeof *s->states);
    s->q8 = (int8_t *)(memory + at);
    at += padded(n_elements);
    s->q8_scale = (float *)(void *)(memory + at);
    at += padded(n_elements / EL_ACT_BLOCK * sizeof(float));
    s->q8_sum = (int16_t *)(void *)(memory + at);
    return at + padded(n_elements / 16 * sizeof(int16_t));
}

uint64_t el_attn_scratch_nbytes(uint64_t n_queries, uint32_t d)
{
    uint8_t nothing[1];
    struct scratch s;
    return lay_out(&s, nothing, n_queries, d);
}

static struct el_attn with_q8(const struct el_kernels *k, const struct el_attn *a, const struct scratch *s)
{
    struct el_attn b = *a;
    if (a->k_type == EL_KV_Q8_0) {
        k->quantize_act(a->q, a->q_stride, a->n_rows, (uint64_t)a->n_heads * a->d, s->q8, s->q8_scale, s->q8_sum);
        b.q8 = s->q8;
        b.q8_scale = s->q8_scale;
        b.q8_sum = s->q8_sum;
    }
    return b;
}

void el_attn_chunk(const struct el_kernels *k, const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part,
                   void *scratch)
{
    struct scratch s;
    (void)lay_out(&s, scratch, (uint64_t)a->n_rows * a->n_heads, a->d);
    const struct el_attn b = with_q8(k, a, &s);
    k->attn(&b, chunk, part);
}

void el_attn_all(const struct el_kernels *k, const struct el_attn *a, void *scratch)
{
    struct scratch s;
    (void)lay_out(&s, scratch, (uint64_t)a->n_rows * a->n_heads, a->d);
    const struct el_attn b = with_q8(k, a, &s);
    const uint64_t end_chunk = el_attn_end_chunk(a, a->n_rows - 1);
    for (uint64_t c = el_attn_first_chunk(a, 0); c < end_chunk; c++) {
        k->attn(&b, c, &s.part);
        for (uint32_t i = 0; i < a->n_rows * a->n_heads; i++) {
            const uint32_t r = i / a->n_heads, h = i % a->n_heads;
            float *const out = a->out + r * a->out_stride + (uint64_t)h * a->d;
            const uint64_t first = el_attn_first_chunk(a, r), end = el_attn_end_chunk(a, r);
            if (c < first || c >= end)
                continue;
            fold(k, &s.states[i], s.part.max[i], s.part.sum[i], s.part.out + (uint64_t)i * a->d, a->d, c == first, out);
            if (c + 1 == end)
                k->divide(out, s.states[i].sum, a->d);
        }
    }
}

void el_attn_join(const struct el_kernels *k, const struct el_attn *a, const void *parts, uint64_t part_nbytes)
{
    assert(a->n_rows == 1);
    const uint64_t n_parts = el_attn_end_chunk(a, 0) - el_attn_first_chunk(a, 0);
    for (uint32_t h = 0; h < a->n_heads; h++) {
        float *const out = a->out + (uint64_t)h * a->d;
        struct state s;
        for (uint64_t c = 0; c < n_parts; c++) {
            void *const at = (uint8_t *)(uintptr_t)parts + c * part_nbytes;
            const struct el_attn_part p = el_attn_part_at(at, a->n_heads, a->d);
            fold(k, &s, p.max[h], p.sum[h], p.out + (uint64_t)h * a->d, a->d, c == 0, out);
        }
        k->divide(out, s.sum, a->d);
    }
}

void el_soft_cap(float *x, uint64_t n, float cap)
{
    for (uint64_t i = 0; i < n; i++)
        x[i] = cap * tanhf(x[i] / cap);
}
