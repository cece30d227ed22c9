/*
 * Re-laid weights: the layout is a permutation, and their products have the reference's bits at every level, for every number of
 * rows and tokens. The reference itself is held against a float64 sum over the decoded weights. All inputs and outputs end at a
 * guard page.
 */
#include "kernels/trap.h"

#include <math.h>

#include "base/f16.h"
#include "tensor/encoding.h"
#include "tensor/layout.h"

struct problem {
    struct el_matrix w;
    struct el_laid laid;
    uint8_t *rows, *strips;
    struct el_act x;
    int8_t *q8;
    float *scale;
    int16_t *sum;
    struct el_act_sums *sums;
};

#define FOR_EACH_LAYOUT(e)                                                                                                       \
    for (size_t e##_i = 0; e##_i < EL_ENC_COUNT; e##_i++)                                                                        \
        for (const struct el_encoding *e = el_encoding_at(e##_i); e && el_layout_of(e); e = NULL)

static float small_scale(uint64_t *seed)
{
    return 0.01f * (1.5f + test_randf(seed));
}

/* Random bytes but for the scales, which stay far from infinity. */
static void fill_blocks(const struct el_encoding *e, uint8_t *p, uint64_t n_blocks, uint64_t *seed)
{
    for (uint64_t b = 0; b < n_blocks; b++, p += e->block_nbytes) {
        for (uint32_t i = 0; i < e->block_nbytes; i++)
            p[i] = (uint8_t)test_rand(seed);
        for (uint32_t i = 0; i < e->n_f16; i++) {
            const uint16_t h = el_f32_to_f16(small_scale(seed));
            memcpy(p + e->f16_at[i], &h, 2);
        }
        if (strcmp(e->name, "MXFP4") == 0) /* an exponent; the smallest make subnormal scales */
            p[0] = (uint8_t)(test_rand(seed) % 4 ? 120 + p[0] % 8 : p[0] % 3);
        if (strcmp(e->name, "IQ1_M") == 0) /* its nibbles are the highest of four numbers */
            for (uint32_t i = 0, h = el_f32_to_f16(small_scale(seed)); i < 4; i++)
                p[49 + 2 * i] = (uint8_t)((p[49 + 2 * i] & 15) | (h >> (4 * i) & 15) << 4);
    }
}

static void make_act(struct problem *p, uint64_t n, uint64_t n_in, uint64_t *seed)
{
    p->q8 = trap_alloc(n * n_in);
    p->scale = trap_alloc(n * (n_in / 32) * sizeof *p->scale);
    p->sum = trap_alloc(n * (n_in / 16) * sizeof *p->sum);
    memset(p->sum, 0, n * (n_in / 16) * sizeof *p->sum);
    for (uint64_t i = 0; i < n * (n_in / 32); i++)
        p->scale[i] = small_scale(seed);
    for (uint64_t i = 0; i < n * n_in; i++) {
        /* The extremes are frequent: they are where a sum of bytes would overflow. */
        const uint64_t v = test_rand(seed);
        p->q8[i] = (int8_t)(v % 4 == 0 ? 127 : v % 4 == 1 ? -127 : (int)(v / 4 % 255) - 127);
        p->sum[i / 16] = (int16_t)(p->sum[i / 16] + p->q8[i]);
    }
    p->sums = trap_alloc(n * (n_in / EL_ACT_BLOCK) * sizeof *p->sums);
    el_act_sums(p->scale, p->sum, n * (n_in / EL_ACT_BLOCK), p->sums);
    p->x = (struct el_act){.n = n, .n_in = n_in, .n_pad = n_in, .q8 = p->q8, .scale = p->scale, .sum = p->sum, .sums = p->sums};
}

static void make_problem(struct problem *p, const struct el_encoding *e, uint64_t n_rows, uint64_t n_tokens, uint64_t n_in,
                         uint64_t seed)
{
    const uint64_t row_nbytes = n_in / e->block_n * e->block_nbytes, n_strips = (n_rows + EL_STRIP_ROWS - 1) / EL_STRIP_ROWS;
    p->rows = trap_alloc(n_rows * row_nbytes);
    fill_blocks(e, p->rows, n_rows * (n_in / e->block_n), &seed);
    p->w = (struct el_matrix){
        .enc = {.e = e}, .n_rows = n_rows, .n_in = n_in, .data = {p->rows}, .row_nbytes = {row_nbytes}};
    p->laid = (struct el_laid){(enum el_encoding_index)el_encoding_index(e), n_rows, n_in, el_strip_nbytes(e, n_in), NULL};
    p->strips = trap_alloc(n_strips * p->laid.strip_nbytes);
    for (uint64_t s = 0; s < n_strips; s++) {
        const uint64_t left = n_rows - s * EL_STRIP_ROWS;
        el_lay_strip(e, p->rows + s * EL_STRIP_ROWS * row_nbytes, row_nbytes,
                     left < EL_STRIP_ROWS ? (uint32_t)left : EL_STRIP_ROWS, n_in, p->strips + s * p->laid.strip_nbytes);
    }
    p->laid.data = p->strips;
    make_act(p, n_tokens, n_in, &seed);
}

static void reference(const struct problem *p, float *y)
{
    struct el_kernels k;
    el_kernels_init(&k, EL_CPU_REF);
    el_matmul(&k, &p->w, 0, p->w.n_rows, &p->x, y, p->w.n_rows, NULL);
}

TEST(laid, layout_is_a_permutation)
{
    FOR_EACH_LAYOUT(e)
    {
        for (uint64_t n_rows = 1; n_rows <= 35; n_rows += 17) {
            struct problem p;
            make_problem(&p, e, n_rows, 1, 3 * e->block_n, 5);
            float *const want = trap_alloc(p.w.n_in * 4), *const got = trap_alloc(p.w.n_in * 4);
            uint8_t *const block = trap_alloc(e->block_nbytes);
            for (uint64_t r = 0; r < n_rows; r++) {
                for (uint64_t b = 0; b < 3; b++) {
                    el_laid_block(&p.laid, r, b, block);
                    CHECK(memcmp(block, p.rows + r * p.w.row_nbytes[0] + b * e->block_nbytes, e->block_nbytes) == 0);
                }
                el_matrix_decode(&p.w, r, 1, want);
                el_laid_decode_row(&p.laid, r, got);
                CHECK(same_bits(got, want, p.w.n_in));
            }
            trap_free_all();
        }
    }
}

/* Within the bound of float32 summation of what the decoded weights give in float64. */
TEST(laid, reference_is_the_product)
{
    FOR_EACH_LAYOUT(e)
    {
        enum { ROWS = 5, TOKENS = 3 };
        struct problem p;
        make_problem(&p, e, ROWS, TOKENS, 8 * e->block_n, 77);
        float y[ROWS * TOKENS], *const row = trap_alloc(p.w.n_in * 4);
        unsigned bad = 0;
        reference(&p, y);
        for (uint64_t r = 0; r < ROWS; r++) {
            el_matrix_decode(&p.w, r, 1, row);
            for (uint64_t t = 0; t < TOKENS; t++) {
                double want = 0, sum_abs = 0;
                for (uint64_t i = 0; i < p.w.n_in; i++) {
                    const double x = (double)p.scale[t * (p.w.n_in / 32) + i / 32] * (double)p.q8[t * p.w.n_in + i];
                    want += (double)row[i] * x;
                    /* A weight may be the difference of two larger terms: scale times code, and a min. */
                    sum_abs += (fabs((double)row[i]) + 2 * 63 * 0.025) * fabs(x);
                }
                bad += !(fabs((double)y[t * ROWS + r] - want) <= (double)(p.w.n_in + 8) * 0x1p-24 * sum_abs);
            }
        }
        if (bad)
            test_fail(__FILE__, __LINE__, "%s: %u of the reference's results are out of bounds", e->name, bad);
        trap_free_all();
    }
}

static void check_shape(const struct el_encoding *e, uint64_t n_rows, uint64_t n_tokens, uint64_t n_in)
{
    struct problem p;
    make_problem(&p, e, n_rows, n_tokens, n_in, n_rows * 1000 + n_tokens * 10 + n_in);
    float *const want = trap_alloc(n_rows * n_tokens * 4), *const y = trap_alloc(n_rows * n_tokens * 4);
    /* Not what is given to all products, but what is said of these: so it is seen when it does not suffice. */
    void *const scratch = trap_alloc(el_laid_panels(n_in) * el_laid_panel_nbytes(n_in));
    reference(&p, want);
    FOR_EACH_LEVEL(k)
    {
        if (!k.laid[p.laid.index])
            continue;
        memset(y, 0xff, n_rows * n_tokens * 4);
        k.laid[p.laid.index](&p.laid, 0, n_rows, &p.x, y, n_rows, scratch);
        if (!same_bits(y, want, n_rows * n_tokens))
            test_fail(__FILE__, __LINE__, "%s at %s, %u x %u x %u: not the reference's bits", e->name, el_cpu_name(k.level),
                      (unsigned)n_rows, (unsigned)n_tokens, (unsigned)n_in);
    }
    trap_free_all();
}

TEST(laid, every_length)
{
    FOR_EACH_LAYOUT(e)
    {
        for (uint64_t n = 1; n <= (e->block_n == 32 ? 9 : 3); n++) {
            check_shape(e, 16, 1, n * e->block_n);
            check_shape(e, 17, 3, n * e->block_n);
            check_shape(e, 33, 23, n * e->block_n);
            check_shape(e, 50, 39, n * e->block_n); /* strips unpacked, with tokens and rows left over */
            if (n == 1)
                check_shape(e, 155, 38, n * e->block_n); /* panels one after another, a second time, and a rest */
        }
    }
}

/* A session has one scratch, of its widest matrix, for all: fewer columns may take more panels. */
TEST(laid, scratch_suffices_for_narrower_matrices)
{
    uint64_t most = 0;
    for (uint64_t n_in = 32; n_in <= 16384; n_in += 32) {
        const uint64_t used = el_laid_panels(n_in) * el_laid_panel_nbytes(n_in), scratch = el_matmul_scratch_nbytes(n_in);
        most = used > most ? used : most;
        CHECK(scratch >= most && scratch % 64 == 0);
    }
}

TEST(laid, every_number_of_rows_and_tokens)
{
    FOR_EACH_LAYOUT(e)
    {
        for (uint64_t n_rows = 1; n_rows <= 65; n_rows += n_rows < 34 ? 1 : 15)
            check_shape(e, n_rows, 1 + n_rows % 5, e->block_n);
        for (uint64_t n_tokens = 1; n_tokens <= 40; n_tokens++) {
            check_shape(e, 16, n_tokens, e->block_n);
            check_shape(e, 35, n_tokens, e->block_n);
        }
    }
}

/* Strips from the middle into a wider result: what lies between is not touched. */
TEST(laid, row_range_and_stride)
{
    enum { ROWS = 75, STRIDE = 60, MAX_TOKENS = 41 };
    FOR_EACH_LAYOUT(e)
    {
        for (uint64_t n = 1; n <= MAX_TOKENS; n += 8) {
            struct problem p;
            make_problem(&p, e, ROWS, n, 2 * e->block_n, 3);
            float whole[ROWS * MAX_TOKENS], part[STRIDE * MAX_TOKENS];
            void *const scratch = trap_alloc(el_matmul_scratch_nbytes(p.w.n_in));
            reference(&p, whole);
            FOR_EACH_LEVEL(k)
            {
                if (!k.laid[p.laid.index])
                    continue;
                unsigned bad = 0;
                for (int i = 0; i < STRIDE * MAX_TOKENS; i++)
                    part[i] = 12345.0f;
                k.laid[p.laid.index](&p.laid, 32, 39, &p.x, part, STRIDE, scratch);
                for (uint64_t t = 0; t < n; t++)
                    for (uint64_t r = 0; r < STRIDE; r++)
                        bad += part[t * STRIDE + r] != (r < 39 ? whole[t * ROWS + 32 + r] : 12345.0f);
                CHECK_EQ_INT(bad, 0);
            }
            trap_free_all();
        }
    }
}

/* A NaN among the scales of activations or weights is seen in the results that it belongs to, and in no other. */
TEST(laid, a_nan_is_never_hidden)
{
    enum { ROWS = 36, TOKENS = 40 }; /* enough for strips unpacked at every level */
    FOR_EACH_LAYOUT(e)
    {
        struct problem p;
        make_problem(&p, e, ROWS, TOKENS, 2 * e->block_n, 9);
        p.scale[7 * (p.w.n_in / 32) + 1] = NAN;
        el_act_sums(p.scale, p.sum, TOKENS * p.w.n_in / EL_ACT_BLOCK, p.sums);
        float y[ROWS * TOKENS];
        void *const scratch = trap_alloc(el_matmul_scratch_nbytes(p.w.n_in));
        FOR_EACH_LEVEL(k)
        {
            if (!k.laid[p.laid.index])
                continue;
            unsigned bad = 0;
            k.laid[p.laid.index](&p.laid, 0, ROWS, &p.x, y, ROWS, scratch);
            for (int t = 0; t < TOKENS; t++)
                for (int r = 0; r < ROWS; r++)
                    bad += (t == 7) != isnan(y[t * ROWS + r]);
            CHECK_EQ_INT(bad, 0);
        }
        trap_free_all();
    }
}
