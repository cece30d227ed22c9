/* The families of kernels that bench times: what each works on, how it is called, how much a call does. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/f16.h"
#include "kernels/kernels_bench.h"
#include "tensor/encoding.h"
#include "tensor/layout.h"

enum { PIECE_NBYTES = 1 << 16, N_VECTOR = 4096, D_HEAD = 128, N_HEADS = 4, N_POS = 2 * EL_ATTN_CHUNK, N_FIRST = 16 };

static const struct el_bench_shape by_rows[] = {
    {"1 from memory", 1, true}, {"1 from cache", 1, false}, {"2", 2, true}, {"8", 8, true}, {"64", 64, true}, {NULL, 0, false}};
static const struct el_bench_shape in_cache[] = {{"from cache", 1, false}, {NULL, 0, false}};
static const struct el_bench_shape both[] = {{"from memory", 1, true}, {"from cache", 1, false}, {NULL, 0, false}};

/* ---- matrices of every encoding ---- */

/* Of the encodings with parameters some that differ in how they are unpacked. */
static const char *const groups[] = {"G2_32", "G3_64Z", "G4_32", "G4_128Z", "G5_32Z", "G6_ROW", "G8_ROWZ"};

static bool type_at(size_t i, struct el_enc *enc)
{
    for (size_t e = 0; e < EL_ENC_COUNT; e++) {
        const struct el_encoding *const encoding = el_encoding_at(e);
        if (encoding->flags & EL_ENC_PARAMS)
            continue;
        if (i-- == 0) {
            *enc = (struct el_enc){.e = encoding};
            return true;
        }
    }
    return i < sizeof groups / sizeof *groups && el_enc_parse(groups[i], enc, NULL) == EL_OK;
}

/* The first rows: small weights encoded, or any bytes under ordinary scales where an encoding can only be read. */
static void fill_first(const struct el_bench_bed *bed, uint8_t *const parts[EL_MAX_PARTS], uint64_t part0_nbytes)
{
    const struct el_encoding *const e = bed->enc.e;
    float *const x = bed->y[0];
    uint32_t seed = 7;
    for (uint64_t i = 0; i < N_FIRST * EL_BENCH_N_IN; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)((int)(seed >> 16 & 0x3ff) - 511) / 8192.0f;
    }
    if (e->encode) {
        e->encode(&bed->enc, x, NULL, N_FIRST, EL_BENCH_N_IN, EL_ENCODE_NEAREST, parts);
        return;
    }
    for (uint64_t i = 0; i < part0_nbytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        parts[0][i] = (uint8_t)(seed >> 16);
    }
    const uint16_t scale = el_f32_to_f16(0.01f);
    for (uint64_t at = 0; e->block_nbytes && at + e->block_nbytes <= part0_nbytes; at += e->block_nbytes)
        for (uint32_t k = 0; k < e->n_f16; k++)
            memcpy(parts[0] + at + e->f16_at[k], &scale, sizeof scale);
}

static bool kind_matrix(size_t i, char out[32])
{
    struct el_enc enc;
    if (!type_at(i, &enc))
        return false;
    el_enc_name(&enc, out);
    return true;
}

/* The first arena_nbytes of the arena become one matrix of bed->enc, whose rows repeat. */
static void fill_matrix(struct el_bench_bed *bed, uint64_t arena_nbytes)
{
    struct el_part_shape one[EL_MAX_PARTS];
    uint8_t *parts[EL_MAX_PARTS] = {NULL};
    uint32_t n_parts = 0;
    uint64_t row_nbytes = 0, at = 0;
    const bool fits = bed->enc.e->parts(&bed->enc, 1, EL_BENCH_N_IN, one, &n_parts);
    assert(fits);
    (void)fits;
    for (uint32_t p = 0; p < n_parts; p++)
        row_nbytes += one[p].row_nbytes;
    bed->piece_rows = PIECE_NBYTES / row_nbytes < N_FIRST ? N_FIRST : PIECE_NBYTES / row_nbytes / N_FIRST * N_FIRST;
    bed->n_pieces = (arena_nbytes - EL_MAX_PARTS * 64) / (row_nbytes * bed->piece_rows);
    bed->w = (struct el_matrix){.enc = bed->enc, .n_rows = bed->n_pieces * bed->piece_rows, .n_in = EL_BENCH_N_IN};
    for (uint32_t p = 0; p < n_parts; p++) {
        bed->w.data[p] = parts[p] = bed->arena + at;
        bed->w.row_nbytes[p] = one[p].row_nbytes;
        at += (bed->w.n_rows * one[p].row_nbytes + 63) / 64 * 64;
    }
    fill_first(bed, parts, N_FIRST * one[0].row_nbytes);
    for (uint32_t p = 0; p < n_parts; p++) {
        const uint64_t first = N_FIRST * one[p].row_nbytes, all = bed->w.n_rows * one[p].row_nbytes;
        for (uint64_t done = first; done < all; done *= 2)
            memcpy(parts[p] + done, parts[p], (size_t)(done < all - done ? done : all - done));
    }
}

static void prepare_matrix(struct el_bench_bed *bed, size_t i)
{
    const bool known = type_at(i, &bed->enc);
    assert(known);
    (void)known;
    fill_matrix(bed, bed->arena_nbytes);
}

static double row_nbytes(const struct el_bench_bed *bed)
{
    uint64_t sum = 0;
    for (uint32_t p = 0; p < EL_MAX_PARTS; p++)
        sum += bed->w.row_nbytes[p];
    return (double)sum;
}

static bool same_decode(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b)
{
    const size_t e = el_encoding_index(bed->enc.e);
    return a->decode[e] == b->decode[e];
}

static bool same_matmul(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b)
{
    const size_t e = el_encoding_index(bed->enc.e);
    if (a->matmul[e].fn || b->matmul[e].fn)
        return a->matmul[e].fn == b->matmul[e].fn;
    return same_decode(bed, a, b) && a->decode_dot[e] == b->decode_dot[e] &&
           a->matmul[EL_ENC_IDX_f32].fn == b->matmul[EL_ENC_IDX_f32].fn;
}

static void run_matmul(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                       uint64_t piece, unsigned thread)
{
    struct el_act x = bed->x;
    x.n = shape->n;
    el_matmul(k, &bed->w, piece * bed->piece_rows, bed->piece_rows, &x, bed->y[thread], bed->piece_rows, bed->scratch[thread]);
}

static void work_matmul(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                        double *nbytes, double *ops, enum el_meter_limit *kind)
{
    *nbytes = row_nbytes(bed) * (double)bed->piece_rows;
    *ops = 2.0 * (double)bed->piece_rows * EL_BENCH_N_IN * shape->n;
    *kind = el_matmul_form(k, &bed->enc) == EL_ACT_Q8 ? EL_PEAK_INT8 : EL_PEAK_F32;
}

/* ---- re-laid matrices: half of the arena is the matrix as it lies, for levels that read it so, half its strips ---- */

static bool laid_type_at(size_t i, struct el_enc *enc)
{
    for (size_t e = 0; e < EL_ENC_COUNT; e++)
        if (el_layout_of(el_encoding_at(e)) && i-- == 0) {
            *enc = (struct el_enc){.e = el_encoding_at(e)};
            return true;
        }
    return false;
}

static bool kind_laid(size_t i, char out[32])
{
    struct el_enc enc;
    if (!laid_type_at(i, &enc))
        return false;
    el_enc_name(&enc, out);
    return true;
}

static void prepare_laid(struct el_bench_bed *bed, size_t i)
{
    uint8_t *const strips = bed->arena + bed->arena_nbytes / 2;
    const bool known = laid_type_at(i, &bed->enc);
    assert(known && (int)N_FIRST == (int)EL_STRIP_ROWS);
    (void)known;
    fill_matrix(bed, bed->arena_nbytes / 2);
    const uint64_t strip = el_strip_nbytes(bed->enc.e, EL_BENCH_N_IN), n_strips = bed->w.n_rows / EL_STRIP_ROWS;
    el_lay_strip(bed->enc.e, bed->w.data[0], bed->w.row_nbytes[0], EL_STRIP_ROWS, EL_BENCH_N_IN, strips);
    for (uint64_t s = 1; s < n_strips; s++)
        memcpy(strips + s * strip, strips, strip);
    bed->laid =
        (struct el_laid){(enum el_encoding_index)el_encoding_index(bed->enc.e), bed->w.n_rows, EL_BENCH_N_IN, strip, strips};
}

static bool same_laid(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b)
{
    return a->laid[bed->laid.index] == b->laid[bed->laid.index];
}

static void run_laid(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                     uint64_t piece, unsigned thread)
{
    struct el_act x = bed->x;
    x.n = shape->n;
    if (k->laid[bed->laid.index])
        k->laid[bed->laid.index](&bed->laid, piece * bed->piece_rows, bed->piece_rows, &x, bed->y[thread], bed->piece_rows,
                                 bed->scratch[thread]);
    else
        run_matmul(k, bed, shape, piece, thread);
}

static void run_decode(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                       uint64_t piece, unsigned thread)
{
    (void)shape;
    el_kernels_decode(k, &bed->w, piece * bed->piece_rows, N_FIRST, bed->y[thread]);
}

static void work_decode(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                        double *nbytes, double *ops, enum el_meter_limit *kind)
{
    (void)k;
    (void)shape;
    *nbytes = (row_nbytes(bed) + 4.0 * EL_BENCH_N_IN) * N_FIRST;
    *ops = 0;
    *kind = EL_PEAK_F32;
}

/* ---- attention: two chunks of positions of one head, one query row of four heads ---- */

static bool kind_attn(size_t i, char out[32])
{
    (void)snprintf(out, 32, "%s", i < EL_KV_TYPES ? el_kv_type_name((enum el_kv_type)i) : "");
    return i < EL_KV_TYPES;
}

static void prepare_attn(struct el_bench_bed *bed, size_t i)
{
    const struct el_kernels *const k = el_kernels();
    const uint64_t row = el_kv_row_nbytes((enum el_kv_type)i, D_HEAD), piece = 2 * N_POS * row;
    bed->kv_type = (enum el_kv_type)i;
    bed->w.row_nbytes[0] = row; /* a position of keys, or of values */
    bed->n_pieces = bed->arena_nbytes / piece;
    for (uint64_t p = 0; p < N_POS; p++) {
        float *const x = bed->y[0];
        for (uint64_t j = 0; j < D_HEAD; j++)
            x[j] = (float)((p * 31 + j * 17) % 61) / 64.0f - 0.5f;
        el_kv_store_key(k, bed->kv_type, D_HEAD, bed->arena, p, x);
        el_kv_store_value(k, bed->kv_type, D_HEAD, bed->arena + N_POS * row, p, x);
    }
    for (uint64_t p = 1; p < bed->n_pieces; p++)
        memcpy(bed->arena + p * piece, bed->arena, piece);
}

static bool same_attn(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b)
{
    (void)bed;
    return a->attn == b->attn;
}

static void run_attn(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                     uint64_t piece, unsigned thread)
{
    const uint64_t row = bed->w.row_nbytes[0];
    const uint8_t *const keys = bed->arena + piece * 2 * N_POS * row;
    const struct el_attn args = {.q = bed->x.f32,
                                 .q_stride = (uint64_t)N_HEADS * D_HEAD,
                                 .k = keys,
                                 .v = keys + N_POS * row,
                                 .k_type = bed->kv_type,
                                 .v_type = bed->kv_type,
                                 .n_rows = 1,
                                 .n_heads = N_HEADS,
                                 .d = D_HEAD,
                                 .pos0 = N_POS - 1,
                                 .scale = 0.01f,
                                 .out = bed->y[thread],
                                 .out_stride = (uint64_t)N_HEADS * D_HEAD,
                                 .q8 = bed->x.q8,
                                 .q8_scale = bed->x.scale,
                                 .q8_sum = bed->x.sum};
    (void)shape;
    el_attn_all(k, &args, bed->y[thread] + EL_BENCH_Y_NELEMS / 2);
}

static void work_attn(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                      double *nbytes, double *ops, enum el_meter_limit *kind)
{
    (void)k;
    (void)shape;
    *nbytes = 2.0 * N_POS * (double)bed->w.row_nbytes[0];
    *ops = 4.0 * N_POS * D_HEAD * N_HEADS;
    *kind = EL_PEAK_F32;
}

/* ---- vectors: N_VECTOR elements, in the cache ---- */

static bool kind_vector(size_t i, char out[32])
{
    out[0] = '\0';
    return i == 0;
}

/* 0.6 and 0.8: a cosine and its sine, so that what is turned again and again keeps its length. */
static void prepare_vector(struct el_bench_bed *bed, size_t i)
{
    (void)i;
    bed->n_pieces = bed->n_threads;
    for (unsigned t = 0; t < bed->n_threads; t++)
        for (uint64_t k = 0; k < 4 * N_VECTOR; k++)
            bed->y[t][k] = k / N_VECTOR == 2 ? 0.8f : 0.6f;
}

/* Defines the two functions of a kernel on vectors: how it is called (on y, x, z, w of this thread) and what a call touches. */
#define VECTOR(NAME, CALL, BYTES_PER_ELEMENT)                                                                                    \
    static bool same_##NAME(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b)              \
    {                                                                                                                            \
        (void)bed;                                                                                                               \
        return a->NAME == b->NAME;                                                                                               \
    }                                                                                                                            \
    static void run_##NAME(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,       \
                           uint64_t piece, unsigned thread)                                                                      \
    {                                                                                                                            \
        float *const y = bed->y[thread], *const x = y + N_VECTOR, *const z = y + 2 * N_VECTOR;                                   \
        void *const w = y + 3 * N_VECTOR;                                                                                        \
        (void)shape;                                                                                                             \
        (void)piece;                                                                                                             \
        (void)z;                                                                                                                 \
        (void)x;                                                                                                                 \
        (void)w;                                                                                                                 \
        k->NAME CALL;                                                                                                            \
    }                                                                                                                            \
    static void work_##NAME(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,      \
                            double *nbytes, double *ops, enum el_meter_limit *kind)                                              \
    {                                                                                                                            \
        (void)k;                                                                                                                 \
        (void)bed;                                                                                                               \
        (void)shape;                                                                                                             \
        *nbytes = (double)(BYTES_PER_ELEMENT)*N_VECTOR;                                                                          \
        *ops = 0;                                                                                                                \
        *kind = EL_PEAK_F32;                                                                                                     \
    }

VECTOR(quantize_act, (x, N_VECTOR, 1, N_VECTOR, w, y, (int16_t *)(void *)z), 4 + 1 + 1.0 / 4)
VECTOR(rmsnorm, (x, z, 1e-5f, 1, N_VECTOR, y), 12)
VECTOR(layernorm, (x, z, z, 1e-5f, 1, N_VECTOR, y), 12)
VECTOR(silu_mul, (x, z, N_VECTOR, y), 12)
VECTOR(gelu_tanh, (x, N_VECTOR, y), 8)
VECTOR(add, (w, x, N_VECTOR), 12)
VECTOR(axpy, (w, 1e-3f, x, N_VECTOR), 12)
VECTOR(axpby, (w, 0.5f, x, 0.5f, N_VECTOR), 12)
VECTOR(rope, (w, x, z, N_VECTOR), 12)
VECTOR(f32_to_f16, (x, N_VECTOR, w), 6)
VECTOR(f16_to_f32, (w, N_VECTOR, y), 6)

#define VECTOR_LINE(NAME)                                                                                                        \
    {                                                                                                                            \
#NAME, in_cache, kind_vector, prepare_vector, same_##NAME, run_##NAME, work_##NAME                                       \
    }

/* ---- sums of outer products: one run of rows ---- */

static void prepare_outer(struct el_bench_bed *bed, size_t i)
{
    (void)i;
    bed->n_pieces = bed->n_threads;
    for (unsigned t = 0; t < bed->n_threads; t++) {
        for (uint64_t k = 0; k < 2 * EL_OUTER_RUN * EL_OUTER; k++)
            bed->y[t][k] = (float)(k % 61) / 64.0f - 0.5f;
        memset(bed->y[t] + 2 * EL_OUTER_RUN * EL_OUTER, 0, EL_OUTER * EL_OUTER * sizeof(double));
    }
}

static bool same_outer(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b)
{
    (void)bed;
    return a->outer == b->outer;
}

static void run_outer(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                      uint64_t piece, unsigned thread)
{
    float *const a = bed->y[thread], *const b = a + EL_OUTER_RUN * EL_OUTER;
    (void)shape;
    (void)piece;
    k->outer(a, b, EL_OUTER_RUN, (double *)(void *)(b + EL_OUTER_RUN * EL_OUTER));
}

static void work_outer(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape,
                       double *nbytes, double *ops, enum el_meter_limit *kind)
{
    (void)k;
    (void)bed;
    (void)shape;
    *nbytes = 2.0 * EL_OUTER_RUN * EL_OUTER * sizeof(float) + 2.0 * EL_OUTER * EL_OUTER * sizeof(double);
    *ops = 2.0 * EL_OUTER_RUN * EL_OUTER * EL_OUTER;
    *kind = EL_PEAK_F32;
}

static const struct el_bench_family families[] = {
    {"matmul", by_rows, kind_matrix, prepare_matrix, same_matmul, run_matmul, work_matmul},
    {"laid", by_rows, kind_laid, prepare_laid, same_laid, run_laid, work_matmul},
    {"decode", in_cache, kind_matrix, prepare_matrix, same_decode, run_decode, work_decode},
    {"attn", both, kind_attn, prepare_attn, same_attn, run_attn, work_attn},
    {"outer", in_cache, kind_vector, prepare_outer, same_outer, run_outer, work_outer},
    VECTOR_LINE(quantize_act),
    VECTOR_LINE(rmsnorm),
    VECTOR_LINE(layernorm),
    VECTOR_LINE(silu_mul),
    VECTOR_LINE(gelu_tanh),
    VECTOR_LINE(add),
    VECTOR_LINE(axpy),
    VECTOR_LINE(axpby),
    VECTOR_LINE(rope),
    VECTOR_LINE(f32_to_f16),
    VECTOR_LINE(f16_to_f32),
};

const struct el_bench_family *el_bench_family_at(size_t i)
{
    return i < sizeof families / sizeof *families ? &families[i] : NULL;
}
