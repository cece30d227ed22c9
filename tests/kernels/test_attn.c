/*
 * Attention at every CPU level against float64, for caches of every type. Keys, values, query and result end at a guard page.
 */
#include "kernels/trap.h"

#include "base/f16.h"
#include "base/mem.h"
#include "kernels/kernels_ref.h"

enum { MOST_D = 320, MOST_POSITIONS = 2048 };

/* One head's store: its last tile ends at a guard page, and values of f32 and f16 end with the last position. */
struct cache {
    void *rows;
    enum el_kv_type type;
    bool key;
    uint32_t d;
};

static struct cache make_cache(bool key, uint64_t n_pos, uint32_t d, enum el_kv_type type)
{
    const bool whole_tiles = key || type == EL_KV_Q8_0;
    const uint64_t n = whole_tiles ? (n_pos + EL_KV_TILE - 1) / EL_KV_TILE * EL_KV_TILE : n_pos;
    const uint64_t nbytes = n * el_kv_row_nbytes(type, d);
    struct cache c = {.rows = trap_alloc(nbytes), .type = type, .key = key, .d = d};
    memset(c.rows, 0xff, nbytes); /* what is not stored is NaN */
    return c;
}

static void put(const struct cache *c, uint64_t p, const float *x)
{
    if (c->key)
        el_kv_store_key(el_kernels(), c->type, c->d, c->rows, p, x);
    else
        el_kv_store_value(el_kernels(), c->type, c->d, c->rows, p, x);
}

/* Row p [d] as it can be read back. */
static void get(const struct cache *c, uint64_t p, double *x)
{
    uint8_t row[4 * MOST_D];
    el_kv_get_row(c->type, c->key, c->d, c->rows, p, row);
    for (uint32_t i = 0; i < c->d; i++) {
        if (c->type == EL_KV_F32) {
            float v;
            memcpy(&v, row + 4 * (size_t)i, sizeof v);
            x[i] = (double)v;
        } else if (c->type == EL_KV_F16) {
            uint16_t v;
            memcpy(&v, row + 2 * (size_t)i, sizeof v);
            x[i] = (double)el_f16_to_f32(v);
        } else {
            uint16_t scale;
            memcpy(&scale, row + i / 32 * 34, sizeof scale);
            x[i] = (double)el_f16_to_f32(scale) * (double)(int8_t)row[i / 32 * 34 + 2 + i % 32];
        }
    }
}

static void fill(const struct cache *c, uint64_t n_pos, float size, uint64_t *seed)
{
    float x[MOST_D];
    for (uint64_t p = 0; p < n_pos; p++) {
        for (uint32_t i = 0; i < c->d; i++)
            x[i] = size * test_randf(seed);
        put(c, p, x);
    }
}

static void put_all(const struct cache *c, uint64_t p, float v)
{
    float x[MOST_D];
    for (uint32_t i = 0; i < c->d; i++)
        x[i] = v;
    put(c, p, x);
}

/* One row and one head, at the last of n_pos positions. */
static struct el_attn make_args(const float *q, const struct cache *k, const struct cache *v, uint64_t n_pos, float *out)
{
    return (struct el_attn){.q = q,
                            .q_stride = k->d,
                            .k = k->rows,
                            .v = v->rows,
                            .k_type = k->type,
                            .v_type = v->type,
                            .n_rows = 1,
                            .n_heads = 1,
                            .d = k->d,
                            .pos0 = n_pos - 1,
                            .scale = 1.0f / sqrtf((float)k->d),
                            .out = out,
                            .out_stride = k->d};
}

static void run(const struct el_kernels *kernels, const struct el_attn *a)
{
    const uint64_t nbytes = el_attn_scratch_nbytes((uint64_t)a->n_rows * a->n_heads, a->d);
    void *const scratch = el_alloc_aligned(nbytes);
    REQUIRE(scratch != NULL);
    memset(scratch, 0xff, nbytes);
    el_attn_all(kernels, a, scratch);
    el_free_aligned(scratch);
}

/* A query as kernels see it: with keys in q8_0 as int8 in blocks of 32. */
static void seen_query(const struct el_attn *a, const float *q, double *x)
{
    int8_t q8[MOST_D];
    float scale[MOST_D / 32];
    int16_t sum[MOST_D / 16];
    if (a->k_type == EL_KV_Q8_0)
        el_quantize_act_ref(q, a->d, 1, a->d, q8, scale, sum);
    for (uint32_t i = 0; i < a->d; i++)
        x[i] = a->k_type == EL_KV_Q8_0 ? (double)scale[i / 32] * (double)q8[i] : (double)q[i];
}

/* want [d] of the first head of the first row and, per element, how far float32 may be off. */
static void attend(const struct el_attn *a, const struct cache *k, const struct cache *v, double *want, double *bound)
{
    static double s[MOST_POSITIONS];
    double max = -INFINITY, sum = 0, score_error = 0, q[MOST_D], x[MOST_D], sum_abs_v[MOST_D];
    const uint64_t end = a->pos0 + 1, begin = a->window != 0 && end > a->window ? end - a->window : 0;
    seen_query(a, a->q, q);
    for (uint64_t p = begin; p < end; p++) {
        double dot = 0, sum_abs = 0;
        get(k, p, x);
        for (uint32_t i = 0; i < a->d; i++) {
            dot += q[i] * x[i];
            sum_abs += fabs(q[i] * x[i]);
        }
        s[p] = dot * (double)a->scale;
        if (a->cap != 0)
            s[p] = (double)a->cap * tanh(s[p] / (double)a->cap);
        max = fmax(max, s[p]);
        score_error = fmax(score_error, (a->d + 4) * 0x1p-24 * sum_abs * (double)a->scale + 4 * 0x1p-24 * (double)a->cap);
    }
    for (uint64_t p = begin; p < end; p++)
        sum += s[p] = exp(s[p] - max);
    for (uint32_t i = 0; i < a->d; i++)
        want[i] = sum_abs_v[i] = 0;
    for (uint64_t p = begin; p < end; p++) {
        get(v, p, x);
        for (uint32_t i = 0; i < a->d; i++) {
            want[i] += s[p] / sum * x[i];
            sum_abs_v[i] += fabs(s[p] / sum * x[i]);
        }
    }
    for (uint32_t i = 0; i < a->d; i++)
        bound[i] = (4 * score_error + ((double)(end - begin) / 8 + 16) * 0x1p-23) * sum_abs_v[i] + 1e-40;
}

static void check_capped(uint32_t d, uint64_t n_pos, uint64_t window, enum el_kv_type k_type, enum el_kv_type v_type, float sharp,
                         float cap, uint64_t seed)
{
    const struct cache k = make_cache(true, n_pos, d, k_type), v = make_cache(false, n_pos, d, v_type);
    fill(&k, n_pos, sharp, &seed);
    fill(&v, n_pos, 1.0f, &seed);
    float *const q = trap_alloc(d * 4), *const out = trap_alloc(d * 4);
    for (uint32_t i = 0; i < d; i++)
        q[i] = sharp * test_randf(&seed);
    double want[MOST_D], bound[MOST_D];
    struct el_attn a = make_args(q, &k, &v, n_pos, out);
    a.cap = cap;
    a.window = window;
    attend(&a, &k, &v, want, bound);
    FOR_EACH_LEVEL(level)
    {
        memset(out, 0xff, d * 4);
        run(&level, &a);
        unsigned bad = 0;
        for (uint32_t i = 0; i < d; i++)
            bad += !(fabs((double)out[i] - want[i]) <= bound[i]);
        if (bad)
            test_fail(__FILE__, __LINE__, "%s: d %u, %u positions, window %u, k %s, v %s: %u elements out of bounds",
                      el_cpu_name(level.level), d, (unsigned)n_pos, (unsigned)window, el_kv_type_name(k_type),
                      el_kv_type_name(v_type), bad);
    }
    trap_free_all();
}

static void check_one(uint32_t d, uint64_t n_pos, enum el_kv_type k_type, enum el_kv_type v_type, float sharp, uint64_t seed)
{
    check_capped(d, n_pos, 0, k_type, v_type, sharp, 0, seed);
}

TEST(attn, capped_scores)
{
    const float caps[] = {0.5f, 4.0f, 50.0f};
    for (int c = 0; c < 3; c++)
        for (uint64_t n = 1; n <= 600; n += 1 + n / 7)
            check_capped(n % 3 ? 32 : 40, n, 0, n % 2 ? EL_KV_F32 : EL_KV_F16, n % 5 ? EL_KV_F32 : EL_KV_F16, 3.0f, caps[c], n);
    float x[3] = {0, 1e30f, -1e30f};
    el_soft_cap(x, 3, 2.5f);
    CHECK(x[0] == 0 && x[1] == 2.5f && x[2] == -2.5f);
}

TEST(attn, windows)
{
    static const uint64_t windows[] = {1, 2, 15, 16, 17, 100, 255, 256, 257, 300, 600};
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++)
        for (uint64_t n = 1; n <= 800; n += 1 + n / 5)
            check_capped(32, n, windows[w], (enum el_kv_type)(n % 3), (enum el_kv_type)(w % 3), 2.0f, 0, n);
}

TEST(attn, every_number_of_positions)
{
    for (uint64_t n = 1; n <= 600; n += n < 300 ? 1 : 3)
        check_one(32, n, (enum el_kv_type)(n % 3), (enum el_kv_type)(n / 3 % 3), 2.0f, n);
}

TEST(attn, head_sizes)
{
    static const uint32_t sizes[] = {1,  7,  8,   15,  16,  17,  24,  40,  48,  64,  72,
                                     80, 96, 112, 120, 128, 136, 144, 160, 192, 256, 320};
    static const uint64_t positions[] = {1, 3, 4, 5, 16, 255, 256, 257, 600};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t p = 0; p < sizeof positions / sizeof positions[0]; p++)
            for (int types = 0; types < EL_KV_TYPES * EL_KV_TYPES; types++) {
                const enum el_kv_type k = (enum el_kv_type)(types % 3), v = (enum el_kv_type)(types / 3);
                if (sizes[s] % 32 != 0 && (k == EL_KV_Q8_0 || v == EL_KV_Q8_0))
                    continue;
                if (positions[p] < 20 || types == (int)(s % 9))
                    check_one(sizes[s], positions[p], k, v, 1.5f, s * 100 + p);
            }
}

TEST(attn, sharp_distributions)
{
    for (int i = 0; i < 9; i++)
        check_one(64, 400, (enum el_kv_type)(i % 3), (enum el_kv_type)(i / 3), (float)(4 << i % 6) / 4, 77 + (uint64_t)i);
}

/* Rows and heads together, alone, and chunk by chunk give the same bits at every level. */
static void check_together(uint32_t n_rows, uint32_t n_heads, uint32_t d, uint64_t pos0, uint64_t window, enum el_kv_type k_type,
                           enum el_kv_type v_type)
{
    uint64_t seed = pos0 + n_rows + d;
    const uint64_t n_pos = pos0 + n_rows, n = (uint64_t)n_rows * n_heads;
    const struct cache k = make_cache(true, n_pos, d, k_type), v = make_cache(false, n_pos, d, v_type);
    fill(&k, n_pos, 2.0f, &seed);
    fill(&v, n_pos, 1.0f, &seed);
    float *const q = trap_alloc(n * d * 4), *const out = trap_alloc(n * d * 4), *const one = trap_alloc(d * 4);
    for (uint64_t i = 0; i < n * d; i++)
        q[i] = test_randf(&seed);
    struct el_attn all = make_args(q, &k, &v, n_pos, out);
    all.q_stride = all.out_stride = (uint64_t)n_heads * d;
    all.n_rows = n_rows;
    all.n_heads = n_heads;
    all.pos0 = pos0;
    all.window = window;
    const uint64_t part_nbytes = el_attn_part_nbytes(1, d), n_chunks = n_pos / EL_ATTN_CHUNK + 1;
    uint8_t *const parts = el_alloc_aligned(n_chunks * part_nbytes), *const scratch =
                                                                         el_alloc_aligned(el_attn_scratch_nbytes(1, d));
    REQUIRE(parts && scratch);
    FOR_EACH_LEVEL(level)
    {
        unsigned bad = 0;
        memset(out, 0xff, n * d * 4);
        run(&level, &all);
        for (uint64_t i = 0; i < n; i++) {
            struct el_attn a = all;
            a.q = q + i * d;
            a.n_rows = a.n_heads = 1;
            a.pos0 = pos0 + i / n_heads;
            a.out = one;
            memset(one, 0xff, d * 4);
            run(&level, &a);
            bad += !same_bits(one, out + i * d, d);
            const uint64_t c0 = el_attn_first_chunk(&a, 0), c1 = el_attn_end_chunk(&a, 0);
            for (uint64_t c = c1; c-- > c0;) {
                const struct el_attn_part part = el_attn_part_at(parts + (c - c0) * part_nbytes, 1, d);
                el_attn_chunk(&level, &a, c, &part, scratch);
            }
            memset(one, 0xff, d * 4);
            el_attn_join(&level, &a, parts, part_nbytes);
            bad += !same_bits(one, out + i * d, d);
        }
        if (bad)
            test_fail(__FILE__, __LINE__, "%s: %u rows of %u heads of %u at %u, window %u, k %s, v %s: %u differ",
                      el_cpu_name(level.level), n_rows, n_heads, d, (unsigned)pos0, (unsigned)window, el_kv_type_name(k_type),
                      el_kv_type_name(v_type), bad);
    }
    el_free_aligned(parts);
    el_free_aligned(scratch);
    trap_free_all();
}

TEST(attn, rows_and_heads_together_have_the_bits_of_each_alone)
{
    static const uint32_t heads[] = {1, 2, 3, 4, 5, 7, 8, 9};
    static const uint64_t positions[] = {0, 1, 14, 250, 256, 500};
    static const uint64_t windows[] = {0, 3, 16, 40, 300};
    int types = 0;
    for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++)
        for (size_t p = 0; p < sizeof positions / sizeof positions[0]; p++)
            for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++, types = (types + 1) % 9)
                check_together(1 + (uint32_t)(h * 5 + p + w) % 21, heads[h], p % 2 ? 64 : 32, positions[p], windows[w],
                               (enum el_kv_type)(types % 3), (enum el_kv_type)(types / 3));
    check_together(5, 4, 40, 270, 0, EL_KV_F16, EL_KV_F32);
    check_together(5, 4, 128, 270, 0, EL_KV_F16, EL_KV_F16);
    check_together(3, 6, 96, 300, 0, EL_KV_Q8_0, EL_KV_Q8_0);
}

TEST(attn, stored_rows_are_read_back)
{
    uint64_t seed = 3;
    float x[96];
    double back[96];
    for (int type = 0; type < EL_KV_TYPES; type++)
        for (int key = 0; key < 2; key++) {
            const struct cache a = make_cache(key, 40, 96, (enum el_kv_type)type);
            const struct cache b = make_cache(key, 40, 96, (enum el_kv_type)type);
            const uint64_t nbytes = el_kv_row_nbytes(a.type, 96);
            for (uint64_t p = 0; p < 40; p++) {
                uint8_t row[96 * 4], again[96 * 4];
                for (int i = 0; i < 96; i++)
                    x[i] = (float)(1 << p % 11) * test_randf(&seed);
                put(&a, p, x);
                get(&a, p, back);
                for (int i = 0; i < 96; i++) {
                    /* Half a step: of the mantissa, or of the greatest of 32, whose scale is a float16. */
                    float max = 0;
                    for (int j = i / 32 * 32; j < i / 32 * 32 + 32; j++)
                        max = fmaxf(max, fabsf(x[j]));
                    const double bound = type == EL_KV_F32   ? 0
                                         : type == EL_KV_F16 ? fabs((double)x[i]) * 0x1p-11 + 0x1p-25
                                                             : (double)max * (0.5 / 127 + 0x1p-11);
                    CHECK(fabs(back[i] - (double)x[i]) <= bound);
                }
                el_kv_get_row(a.type, key, 96, a.rows, p, row);
                el_kv_put_row(b.type, key, 96, b.rows, p, row);
                el_kv_get_row(b.type, key, 96, b.rows, p, again);
                CHECK(memcmp(row, again, nbytes) == 0);
            }
            trap_free_all();
        }
}

/* Equal scores: the mean of small integers, exact at every level. */
TEST(attn, equal_scores_give_the_exact_mean)
{
    uint64_t seed = 6;
    static const uint32_t sizes[] = {16, 24, 64, 80, 128, 33};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (uint64_t n = 1; n <= 600; n += 1 + n / 5) {
            const uint32_t d = sizes[s];
            const enum el_kv_type type = s & 1 ? EL_KV_F16 : EL_KV_F32;
            const struct cache k = make_cache(true, n, d, type), v = make_cache(false, n, d, type);
            fill(&k, n, 1.0f, &seed);
            float *const q = trap_alloc(d * 4), *const out = trap_alloc(d * 4);
            memset(q, 0, d * 4);
            float x[128], sum[128] = {0};
            for (uint64_t p = 0; p < n; p++) {
                for (uint32_t i = 0; i < d; i++) {
                    x[i] = (float)((int)(test_rand(&seed) % 15) - 7);
                    sum[i] += x[i];
                }
                put(&v, p, x);
            }
            const struct el_attn a = make_args(q, &k, &v, n, out);
            FOR_EACH_LEVEL(level)
            {
                memset(out, 0xff, d * 4);
                run(&level, &a);
                unsigned bad = 0;
                for (uint32_t i = 0; i < d; i++)
                    bad += out[i] != sum[i] / (float)n;
                CHECK_EQ_INT(bad, 0);
            }
            trap_free_all();
        }
    }
}

/* One position far above the others, in every place: its value comes out to the bit, whatever came before and after. */
TEST(attn, one_hot)
{
    enum { D = 32, N = 530 };
    for (int type = 0; type < EL_KV_TYPES; type++) {
        uint64_t seed = 12;
        const struct cache k = make_cache(true, N, D, (enum el_kv_type)type), v = make_cache(false, N, D, (enum el_kv_type)type);
        float *const q = trap_alloc(D * 4), *const out = trap_alloc(D * 4);
        double want[D];
        for (uint32_t i = 0; i < D; i++)
            q[i] = 30.0f;
        fill(&v, N, 3.0f, &seed);
        const struct el_attn a = make_args(q, &k, &v, N, out);
        for (uint64_t hot = 0; hot < N; hot += 1 + hot % 7) {
            for (uint64_t p = 0; p < N; p++)
                put_all(&k, p, p == hot ? 5.0f : -5.0f - (float)(p % 3));
            get(&v, hot, want);
            FOR_EACH_LEVEL(level)
            {
                run(&level, &a);
                unsigned bad = 0;
                for (uint32_t i = 0; i < D; i++)
                    bad += out[i] != (float)want[i];
                CHECK_EQ_INT(bad, 0);
            }
        }
        trap_free_all();
    }
}

/* Element i of position p becomes v, the others of its row 0.25. */
static void spoil(const struct cache *c, uint64_t p, uint32_t at, float v)
{
    float x[MOST_D];
    for (uint32_t i = 0; i < c->d; i++)
        x[i] = i == at ? v : 0.25f;
    put(c, p, x);
}

TEST(attn, a_nan_is_never_hidden)
{
    enum { D = 64, N = 300 };
    static const uint64_t places[] = {0, 5, 255, 256, 299};
    uint64_t seed = 13;
    for (int t = 0; t < EL_KV_TYPES; t++) {
        const enum el_kv_type type = (enum el_kv_type)t;
        const struct cache k = make_cache(true, N, D, type), v = make_cache(false, N, D, type);
        float *const q = trap_alloc(D * 4), *const out = trap_alloc(D * 4);
        const struct el_attn a = make_args(q, &k, &v, N, out);
        fill(&k, N, 1.0f, &seed);
        fill(&v, N, 1.0f, &seed);
        for (uint32_t i = 0; i < D; i++)
            q[i] = test_randf(&seed);
        FOR_EACH_LEVEL(level)
        {
            for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
                const uint64_t p = places[j];
                spoil(&k, p, 39, NAN);
                run(&level, &a);
                for (uint32_t i = 0; i < D; i++)
                    CHECK(isnan(out[i]));
                spoil(&k, p, 39, 0.25f);
                spoil(&v, p, 17, NAN);
                run(&level, &a);
                for (uint32_t i = 0; i < D; i++)
                    CHECK(isnan(out[i]) == (type == EL_KV_Q8_0 ? i < 32 : i == 17));
                spoil(&v, p, 17, 0.25f);
            }
            q[D - 1] = NAN;
            run(&level, &a);
            CHECK(isnan(out[0]));
            q[D - 1] = 0.5f;
        }
        trap_free_all();
    }
}
