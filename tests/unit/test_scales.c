/* The searches of AWQ and SmoothQuant against float64 references in numpy (scripts/fixtures/make_scales.py). */
#include <math.h>

#include "quant/scales.h"
#include "test.h"

enum { MAX_ROWS = 8, MAX_IN = 256, MAX_MATRICES = 2 };

struct problem {
    uint64_t n_in, n_channels, n;
    uint32_t step;
    double h[MAX_IN * MAX_IN], loss[EL_SCALES_STEPS];
    float mean[MAX_IN], s[MAX_IN], importance[MAX_IN];
    uint32_t channel[MAX_IN];
    float w[MAX_MATRICES][MAX_ROWS * MAX_IN];
    struct el_scales_matrix matrices[MAX_MATRICES];
};

static bool load(const char *name, struct problem *p)
{
    struct el_err err;
    size_t nbytes;
    unsigned long long n_in, n_channels, n;
    int used = 0;
    char path[64];
    (void)snprintf(path, sizeof path, "ptq/%s.txt", name);
    char *const text = test_read(test_data(path), &nbytes);
    bool ok = text && sscanf(text, "%llu %llu %llu %u%n", &n_in, &n_channels, &n, &p->step, &used) == 4;
    char *at = ok ? text + used : NULL;
    p->n_in = ok ? n_in : 0;
    p->n_channels = ok ? n_channels : 0;
    p->n = ok ? n : 0;
    for (uint64_t i = 0; i < p->n_in; i++)
        for (uint64_t j = 0; j <= i; j++)
            p->h[i * p->n_in + j] = p->h[j * p->n_in + i] = strtod(at, &at);
    for (uint64_t j = 0; j < p->n_channels; j++)
        p->mean[j] = strtof(at, &at);
    for (int k = 0; k < EL_SCALES_STEPS; k++)
        p->loss[k] = ok ? strtod(at, &at) : 0;
    for (uint64_t j = 0; j < p->n_channels; j++)
        p->s[j] = strtof(at, &at);
    for (uint64_t j = 0; j < p->n_in; j++) {
        p->channel[j] = (uint32_t)(j % p->n_channels);
        p->importance[j] = (float)p->h[j * p->n_in + j];
    }
    for (uint64_t i = 0; ok && i < p->n; i++) {
        struct el_scales_matrix *const m = &p->matrices[i];
        char enc[16];
        *m = (struct el_scales_matrix){
            .w = p->w[i], .channel = p->channel, .h = p->h, .importance = p->importance, .n_in = p->n_in};
        ok = sscanf(at, "%15s %llu %lf%n", enc, &n, &m->factor, &used) == 3 && el_enc_parse(enc, &m->enc, &err) == EL_OK;
        m->n_rows = n;
        at += used;
        for (uint64_t k = 0; ok && k < m->n_rows * m->n_in; k++)
            p->w[i][k] = strtof(at, &at);
    }
    free(text);
    return ok;
}

static enum el_status search(const struct problem *p, unsigned n_threads, double *loss, struct el_err *err)
{
    struct el_pool *pool;
    EL_TRY(el_pool_open(n_threads, &pool, err));
    const enum el_status status = el_scales_awq(p->matrices, p->n, p->mean, p->n_channels, pool, loss, err);
    el_pool_close(pool);
    return status;
}

TEST(scales, awq_chooses_those_of_the_reference)
{
    static const char *const names[] = {"awq", "awq_shared"};
    static struct problem p;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_err err;
        double loss[EL_SCALES_STEPS] = {0};
        float s[MAX_IN];
        REQUIRE(load(names[k], &p));
        REQUIRE_OK(search(&p, 2, loss, &err), err);
        for (int i = 0; i < EL_SCALES_STEPS; i++)
            CHECK_NEAR(loss[i], p.loss[i], 1e-5 * p.loss[i]);
        CHECK_EQ_INT(el_scales_best(loss), p.step);
        CHECK(p.step > 0 && loss[p.step] < 0.5 * loss[0]);
        el_scales_awq_at(p.mean, p.n_channels, p.step, s);
        for (uint64_t j = 0; j < p.n_channels; j++)
            CHECK_NEAR(s[j], p.s[j], 1e-6 * (double)p.s[j]);
    }
}

TEST(scales, awq_gives_the_same_bits_in_any_number_of_threads_and_calls)
{
    static struct problem p;
    struct el_err err;
    double one[EL_SCALES_STEPS] = {0}, many[EL_SCALES_STEPS] = {0}, apart[EL_SCALES_STEPS] = {0};
    REQUIRE(load("awq", &p));
    REQUIRE_OK(search(&p, 1, one, &err), err);
    REQUIRE_OK(search(&p, 3, many, &err), err);
    CHECK(memcmp(one, many, sizeof one) == 0);
    for (uint64_t i = 0; i < p.n; i++)
        CHECK_OK(el_scales_awq(&p.matrices[i], 1, p.mean, p.n_channels, NULL, apart, &err), err);
    CHECK(memcmp(one, apart, sizeof one) == 0);
}

/* Encodings of all kinds, with all that is known and with importance alone; floats lose nothing. */
TEST(scales, awq_takes_any_encoding)
{
    static const char *const names[] = {"Q4_0", "Q4_K", "Q2_K", "IQ4_XS", "MXFP4", "G2_64Z"};
    static struct problem p;
    uint64_t seed = 9;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        for (int known = 0; known < 2; known++) {
            struct el_err err;
            double loss[EL_SCALES_STEPS] = {0};
            p = (struct problem){.n_in = 256, .n_channels = 256, .n = 2};
            for (uint64_t j = 0; j < 256; j++) {
                p.mean[j] = expf(2 * test_randf(&seed));
                p.importance[j] = p.mean[j] * p.mean[j];
                p.h[j * 256 + j] = (double)p.importance[j];
            }
            for (uint64_t i = 0; i < p.n; i++) {
                p.matrices[i] = (struct el_scales_matrix){.w = p.w[i],
                                                          .h = known ? p.h : NULL,
                                                          .importance = p.importance,
                                                          .n_rows = 3,
                                                          .n_in = 256,
                                                          .factor = 1,
                                                          .effort = known ? EL_ENCODE_SEARCH : EL_ENCODE_NEAREST};
                REQUIRE_OK(el_enc_parse(i ? "F16" : names[k], &p.matrices[i].enc, &err), err);
                for (uint64_t j = 0; j < 3 * 256; j++)
                    p.w[i][j] = test_randf(&seed);
            }
            REQUIRE_OK(search(&p, 2, loss, &err), err);
            const uint32_t best = el_scales_best(loss);
            for (int i = 0; i < EL_SCALES_STEPS; i++)
                CHECK(isfinite(loss[i]) && loss[i] > 0);
            if (!(best > 0 && loss[best] < loss[0]))
                test_fail(__FILE__, __LINE__, "%s: no scales are better than some", names[k]);
        }
    }
}

TEST(scales, channels_without_inputs)
{
    const float mean[5] = {0, 4, 0.25f, 0, 1}, none[5] = {0};
    float s[5];
    el_scales_awq_at(mean, 5, 10, s); /* the root, over the root of sqrt(4 * 0.25) */
    CHECK_NEAR(s[1], 2, 1e-6);
    CHECK_NEAR(s[2], 0.5, 1e-6);
    CHECK_NEAR(s[4], 1, 1e-6);
    CHECK(s[0] == s[2] && s[3] == s[2]);
    el_scales_awq_at(none, 5, 10, s);
    for (int j = 0; j < 5; j++)
        CHECK(s[j] == 1);
}

TEST(scales, smoothquant_is_the_reference)
{
    size_t nbytes;
    char *const text = test_read(test_data("ptq/smooth.txt"), &nbytes);
    REQUIRE(text);
    char *at = text;
    const uint64_t n = strtoull(at, &at, 10);
    double alpha[2];
    float max_x[MAX_IN], max_w[MAX_IN], s[MAX_IN];
    for (int k = 0; k < 2; k++)
        alpha[k] = strtod(at, &at);
    for (uint64_t j = 0; j < n; j++)
        max_x[j] = strtof(at, &at);
    for (uint64_t j = 0; j < n; j++)
        max_w[j] = strtof(at, &at);
    for (int k = 0; k < 2; k++) {
        el_scales_smooth(max_x, max_w, n, alpha[k], s);
        for (uint64_t j = 0; j < n; j++) {
            const double want = strtod(at, &at);
            CHECK_NEAR(s[j], want, 1e-6 * want);
        }
    }
    CHECK(n == 24 && at < text + nbytes);
    free(text);
}

TEST(scales, powers)
{
    for (double x = 1e-30; x < 1e30; x *= 7.3)
        for (double a = 0; a <= 1; a += 0.05)
            CHECK_NEAR(el_scales_power(x, a), pow(x, a), 1e-12 * pow(x, a));
    CHECK(el_scales_power(1, 0.35) == 1);
    CHECK(el_scales_power(5, 0) == 1);
}
