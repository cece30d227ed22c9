/*
 * Attention at every CPU level against float64, for float32 and float16 caches. Keys, values, query and result end at a guard
 * page.
 */
#include "kernels/trap.h"

#include "base/f16.h"

struct cache {
    void *rows;
    uint64_t stride;
    bool f16;
    uint32_t d;
};

static struct cache make_cache(uint64_t n_pos, uint32_t d, bool f16, uint32_t gap)
{
    const uint64_t size = f16 ? 2 : 4;
    struct cache c = {.stride = (d + gap) * size, .f16 = f16, .d = d};
    c.rows = trap_alloc((n_pos - 1) * c.stride + d * size);
    memset(c.rows, 0xff, (n_pos - 1) * c.stride + d * size); /* what lies between rows is NaN */
    return c;
}

static void put(const struct cache *c, uint64_t p, uint32_t i, float v)
{
    if (c->f16)
        ((uint16_t *)(void *)((char *)c->rows + p * c->stride))[i] = el_f32_to_f16(v);
    else
        ((float *)(void *)((char *)c->rows + p * c->stride))[i] = v;
}

static double get(const struct cache *c, uint64_t p, uint32_t i)
{
    if (c->f16)
        return (double)el_f16_to_f32(((const uint16_t *)(const void *)((const char *)c->rows + p * c->stride))[i]);
    return (double)((const float *)(const void *)((const char *)c->rows + p * c->stride))[i];
}

static void fill(const struct cache *c, uint64_t n_pos, float size, uint64_t *seed)
{
    for (uint64_t p = 0; p < n_pos; p++)
        for (uint32_t i = 0; i < c->d; i++)
            put(c, p, i, size * test_randf(seed));
}

static struct el_attn_args make_args(const float *q, const struct cache *k, const struct cache *v, uint64_t n_pos, float *out)
{
    return (struct el_attn_args){.q = q,
                                 .k = k->rows,
                                 .v = v->rows,
                                 .k_stride_nbytes = k->stride,
                                 .v_stride_nbytes = v->stride,
                                 .n_pos = n_pos,
                                 .d = k->d,
                                 .scale = 1.0f / sqrtf((float)k->d),
                                 .k_f16 = k->f16,
                                 .v_f16 = v->f16,
                                 .out = out};
}

/* want [d] and, per element, how far float32 may be off. */
static void attend(const struct el_attn_args *a, const struct cache *k, const struct cache *v, double *want, double *bound)
{
    static double s[2048];
    double max = -INFINITY, sum = 0, score_error = 0;
    for (uint64_t p = 0; p < a->n_pos; p++) {
        double dot = 0, sum_abs = 0;
        for (uint32_t i = 0; i < a->d; i++) {
            dot += (double)a->q[i] * get(k, p, i);
            sum_abs += fabs((double)a->q[i] * get(k, p, i));
        }
        s[p] = dot * (double)a->scale;
        if (a->cap != 0)
            s[p] = (double)a->cap * tanh(s[p] / (double)a->cap);
        max = fmax(max, s[p]);
        score_error = fmax(score_error, (a->d + 4) * 0x1p-24 * sum_abs * (double)a->scale + 4 * 0x1p-24 * (double)a->cap);
    }
    for (uint64_t p = 0; p < a->n_pos; p++)
        sum += s[p] = exp(s[p] - max);
    for (uint32_t i = 0; i < a->d; i++) {
        double w = 0, sum_abs = 0;
        for (uint64_t p = 0; p < a->n_pos; p++) {
            w += s[p] / sum * get(v, p, i);
            sum_abs += fabs(s[p] / sum * get(v, p, i));
        }
        want[i] = w;
        bound[i] = (4 * score_error + ((double)a->n_pos / 8 + 16) * 0x1p-23) * sum_abs + 1e-40;
    }
}

static void check_capped(uint32_t d, uint64_t n_pos, bool k_f16, bool v_f16, float sharp, float cap, uint64_t seed)
{
    const struct cache k = make_cache(n_pos, d, k_f16, 2), v = make_cache(n_pos, d, v_f16, 6);
    fill(&k, n_pos, sharp, &seed);
    fill(&v, n_pos, 1.0f, &seed);
    float *const q = trap_alloc(d * 4), *const out = trap_alloc(d * 4);
    for (uint32_t i = 0; i < d; i++)
        q[i] = sharp * test_randf(&seed);
    double want[512], bound[512];
    struct el_attn_args a = make_args(q, &k, &v, n_pos, out);
    a.cap = cap;
    attend(&a, &k, &v, want, bound);
    FOR_EACH_LEVEL(level)
    {
        memset(out, 0xff, d * 4);
        level.attn(&a);
        unsigned bad = 0;
        for (uint32_t i = 0; i < d; i++)
            bad += !(fabs((double)out[i] - want[i]) <= bound[i]);
        if (bad)
            test_fail(__FILE__, __LINE__, "%s: d %u, %u positions, k %s, v %s: %u elements out of bounds",
                      el_cpu_name(level.level), d, (unsigned)n_pos, k_f16 ? "f16" : "f32", v_f16 ? "f16" : "f32", bad);
    }
    trap_free_all();
}

static void check_one(uint32_t d, uint64_t n_pos, bool k_f16, bool v_f16, float sharp, uint64_t seed)
{
    check_capped(d, n_pos, k_f16, v_f16, sharp, 0, seed);
}

TEST(attn, capped_scores)
{
    const float caps[] = {0.5f, 4.0f, 50.0f};
    for (int c = 0; c < 3; c++)
        for (uint64_t n = 1; n <= 600; n += 1 + n / 7)
            check_capped(n % 3 ? 32 : 40, n, n % 2 == 0, n % 5 == 0, 3.0f, caps[c], n);
    float x[3] = {0, 1e30f, -1e30f};
    el_soft_cap(x, 3, 2.5f);
    CHECK(x[0] == 0 && x[1] == 2.5f && x[2] == -2.5f);
}

TEST(attn, every_number_of_positions)
{
    for (uint64_t n = 1; n <= 600; n += n < 300 ? 1 : 3)
        check_one(32, n, n % 2 == 0, n % 3 == 0, 2.0f, n);
}

TEST(attn, head_sizes)
{
    static const uint32_t sizes[] = {1,  7,  8,   15,  16,  17,  24,  40,  48,  64,  72,
                                     80, 96, 112, 120, 128, 136, 144, 160, 192, 256, 320};
    static const uint64_t positions[] = {1, 3, 4, 5, 16, 255, 256, 257, 600};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t p = 0; p < sizeof positions / sizeof positions[0]; p++)
            for (int type = 0; type < 4; type++)
                if (positions[p] < 200 || type == (int)(s % 4))
                    check_one(sizes[s], positions[p], type & 1, type & 2, 1.5f, s * 100 + p);
}

TEST(attn, sharp_distributions)
{
    for (int i = 0; i < 6; i++)
        check_one(64, 400, i & 1, i & 2, (float)(4 << i) / 4, 77 + (uint64_t)i);
}

/* Equal scores: the mean of small integers, exact at every level. */
TEST(attn, equal_scores_give_the_exact_mean)
{
    uint64_t seed = 6;
    static const uint32_t sizes[] = {16, 24, 64, 80, 128, 33};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (uint64_t n = 1; n <= 600; n += 1 + n / 5) {
            const uint32_t d = sizes[s];
            const struct cache k = make_cache(n, d, s & 1, 0), v = make_cache(n, d, s & 1, 0);
            fill(&k, n, 1.0f, &seed);
            float *const q = trap_alloc(d * 4), *const out = trap_alloc(d * 4);
            memset(q, 0, d * 4);
            double sum[128] = {0};
            for (uint64_t p = 0; p < n; p++)
                for (uint32_t i = 0; i < d; i++) {
                    put(&v, p, i, (float)((int)(test_rand(&seed) % 15) - 7));
                    sum[i] += get(&v, p, i);
                }
            const struct el_attn_args a = make_args(q, &k, &v, n, out);
            FOR_EACH_LEVEL(level)
            {
                memset(out, 0xff, d * 4);
                level.attn(&a);
                unsigned bad = 0;
                for (uint32_t i = 0; i < d; i++)
                    bad += out[i] != (float)sum[i] / (float)n;
                CHECK_EQ_INT(bad, 0);
            }
            trap_free_all();
        }
    }
}

/* One position far above the others, in every place: its value comes out to the bit, whatever came before and after. */
TEST(attn, one_hot)
{
    enum { D = 24, N = 530 };
    uint64_t seed = 12;
    const struct cache k = make_cache(N, D, false, 0), v = make_cache(N, D, false, 0);
    float *const q = trap_alloc(D * 4), *const out = trap_alloc(D * 4);
    for (uint32_t i = 0; i < D; i++)
        q[i] = 30.0f;
    fill(&v, N, 3.0f, &seed);
    const struct el_attn_args a = make_args(q, &k, &v, N, out);
    for (uint64_t hot = 0; hot < N; hot += 1 + hot % 7) {
        for (uint64_t p = 0; p < N; p++)
            for (uint32_t i = 0; i < D; i++)
                put(&k, p, i, p == hot ? 5.0f : -5.0f - (float)(p % 3));
        FOR_EACH_LEVEL(level)
        {
            level.attn(&a);
            unsigned bad = 0;
            for (uint32_t i = 0; i < D; i++)
                bad += (double)out[i] != get(&v, hot, i);
            CHECK_EQ_INT(bad, 0);
        }
    }
    trap_free_all();
}

TEST(attn, a_nan_is_never_hidden)
{
    enum { D = 40, N = 300 };
    static const uint64_t places[] = {0, 5, 255, 256, 299};
    uint64_t seed = 13;
    for (int f16 = 0; f16 < 2; f16++) {
        const struct cache k = make_cache(N, D, f16, 0), v = make_cache(N, D, f16, 0);
        float *const q = trap_alloc(D * 4), *const out = trap_alloc(D * 4);
        const struct el_attn_args a = make_args(q, &k, &v, N, out);
        fill(&k, N, 1.0f, &seed);
        fill(&v, N, 1.0f, &seed);
        for (uint32_t i = 0; i < D; i++)
            q[i] = test_randf(&seed);
        FOR_EACH_LEVEL(level)
        {
            for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
                const uint64_t p = places[j];
                put(&k, p, 39, NAN);
                level.attn(&a);
                for (uint32_t i = 0; i < D; i++)
                    CHECK(isnan(out[i]));
                put(&k, p, 39, 0.25f);
                put(&v, p, 17, NAN);
                level.attn(&a);
                for (uint32_t i = 0; i < D; i++)
                    CHECK(isnan(out[i]) == (i == 17));
                put(&v, p, 17, 0.25f);
            }
            q[D - 1] = NAN;
            level.attn(&a);
            CHECK(isnan(out[0]));
            q[D - 1] = 0.5f;
        }
        trap_free_all();
    }
}
