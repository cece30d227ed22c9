/* Sampling: exact expectations for every step, and the draw as a known sequence. */
#include <math.h>

#include "base/mem.h"
#include "edgellm.h"
#include "test.h"

/* Everything off: a plain draw from the softmax. */
static struct el_sampler_opts plain(void)
{
    return (struct el_sampler_opts){.temp = 1, .top_p = 1, .repeat_penalty = 1, .seed = 7};
}

static struct el_sampler *open_sampler(const struct el_sampler_opts *opts, size_t n)
{
    struct el_err err;
    struct el_sampler *s = NULL;
    CHECK_OK(el_sampler_open(opts, n, &s, &err), err);
    return s;
}

/* How often each of n tokens comes in `draws` draws. */
static void histogram(const struct el_sampler_opts *opts, const float *logits, size_t n, unsigned draws, unsigned *counts)
{
    struct el_sampler *const s = open_sampler(opts, n);
    memset(counts, 0, n * sizeof *counts);
    for (unsigned i = 0; s && i < draws; i++)
        counts[el_sampler_pick(s, logits)]++;
    el_sampler_close(s);
}

TEST(sampler, greedy_takes_the_largest_and_the_lowest_of_equals)
{
    struct el_sampler_opts opts = plain();
    opts.temp = 0;
    struct el_sampler *const s = open_sampler(&opts, 4);
    REQUIRE(s);
    const float a[] = {1, 3, 3, 2}, b[] = {-1, -2, -1, -3}, c[] = {NAN, 1, NAN, 0}, d[] = {NAN, NAN, NAN, NAN};
    CHECK_EQ_INT(el_sampler_pick(s, a), 1);
    CHECK_EQ_INT(el_sampler_pick(s, b), 0);
    CHECK_EQ_INT(el_sampler_pick(s, c), 1);
    CHECK_EQ_INT(el_sampler_pick(s, d), 0);
    el_sampler_close(s);
}

TEST(sampler, draws_follow_the_softmax)
{
    const struct el_sampler_opts opts = plain();
    const float logits[] = {logf(0.5f), logf(0.3f), logf(0.15f), logf(0.05f)};
    const double want[] = {0.5, 0.3, 0.15, 0.05};
    unsigned counts[4];
    histogram(&opts, logits, 4, 100000, counts);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(counts[i] / 1e5, want[i], 5 * sqrt(want[i] / 1e5));
}

TEST(sampler, temperature_divides_the_logits)
{
    struct el_sampler_opts opts = plain();
    opts.temp = 0.5f;
    const float logits[] = {0, logf(0.5f), -INFINITY};
    unsigned counts[3];
    histogram(&opts, logits, 3, 100000, counts);
    CHECK_NEAR(counts[0] / 1e5, 0.8, 0.007);
    CHECK_EQ_INT(counts[2], 0);
}

TEST(sampler, top_k_keeps_k_and_breaks_ties_by_id)
{
    struct el_sampler_opts opts = plain();
    opts.top_k = 2;
    const float logits[] = {0, 1, 0, 1, 1, -1};
    unsigned counts[6];
    histogram(&opts, logits, 6, 20000, counts);
    CHECK(counts[1] > 9000 && counts[3] > 9000);
    CHECK_EQ_INT(counts[1] + counts[3], 20000);
    opts.top_k = 1;
    histogram(&opts, logits, 6, 100, counts);
    CHECK_EQ_INT(counts[1], 100);
}

TEST(sampler, top_p_keeps_the_smallest_set_that_reaches_p_before_temperature)
{
    struct el_sampler_opts opts = plain();
    opts.top_p = 0.75f;
    opts.temp = 100; /* would flatten the distribution, were it applied first */
    const float logits[] = {logf(0.05f), logf(0.5f), logf(0.15f), logf(0.3f)};
    unsigned counts[4];
    histogram(&opts, logits, 4, 20000, counts);
    CHECK_EQ_INT(counts[0] + counts[2], 0);
    CHECK(counts[1] > 9000 && counts[3] > 9000);
    opts.top_p = 0; /* the first stays */
    histogram(&opts, logits, 4, 100, counts);
    CHECK_EQ_INT(counts[1], 100);
}

TEST(sampler, min_p_is_relative_to_the_largest)
{
    struct el_sampler_opts opts = plain();
    opts.min_p = 0.5f;
    opts.temp = 50;
    const float logits[] = {logf(0.24f), logf(0.5f), logf(0.26f)};
    unsigned counts[3];
    histogram(&opts, logits, 3, 20000, counts);
    CHECK_EQ_INT(counts[0], 0);
    CHECK(counts[1] > 9000 && counts[2] > 9000);
}

/* After accepting `ids`, the greedy choice. */
static int32_t greedy_after(const struct el_sampler_opts *opts, const float *logits, size_t n, const int32_t *ids, size_t n_ids)
{
    struct el_sampler_opts greedy = *opts;
    greedy.temp = 0;
    struct el_sampler *const s = open_sampler(&greedy, n);
    for (size_t i = 0; i < n_ids; i++)
        el_sampler_accept(s, ids[i]);
    const int32_t id = el_sampler_pick(s, logits);
    el_sampler_close(s);
    return id;
}

TEST(sampler, penalties)
{
    struct el_sampler_opts opts = plain();
    const float up[] = {4, 3, 1}, down[] = {-1, -1.5f, -4};
    const int32_t once[] = {0}, twice[] = {0, 0}, gone[] = {0, 1, 2, 2};
    opts.penalty_last_n = 3;
    opts.repeat_penalty = 2; /* 4 -> 2; -1 -> -2 */
    CHECK_EQ_INT(greedy_after(&opts, up, 3, NULL, 0), 0);
    CHECK_EQ_INT(greedy_after(&opts, up, 3, once, 1), 1);
    CHECK_EQ_INT(greedy_after(&opts, down, 3, once, 1), 1);
    /* The ring holds three: the 0 has left it, 1 and 2 are penalised. */
    CHECK_EQ_INT(greedy_after(&opts, up, 3, gone, 4), 0);
    opts.repeat_penalty = 1;
    opts.presence_penalty = 0.9f; /* 4 -> 3.1, however often */
    CHECK_EQ_INT(greedy_after(&opts, up, 3, twice, 2), 0);
    opts.presence_penalty = 1.1f;
    CHECK_EQ_INT(greedy_after(&opts, up, 3, once, 1), 1);
    opts.presence_penalty = 0;
    opts.frequency_penalty = 0.6f; /* 4 -> 3.4, then 2.8 */
    CHECK_EQ_INT(greedy_after(&opts, up, 3, once, 1), 0);
    CHECK_EQ_INT(greedy_after(&opts, up, 3, twice, 2), 1);
    opts.penalty_last_n = 0;
    CHECK_EQ_INT(greedy_after(&opts, up, 3, twice, 2), 0);
    opts.penalty_last_n = 3;
    const int32_t outside[] = {-1, 3, INT32_MAX};
    CHECK_EQ_INT(greedy_after(&opts, up, 3, outside, 3), 0);
}

TEST(sampler, same_seed_same_tokens_and_picking_does_not_accept)
{
    struct el_sampler_opts opts = el_sampler_defaults();
    float logits[100];
    uint64_t state = 3;
    for (int i = 0; i < 100; i++)
        logits[i] = 3 * test_randf(&state);
    opts.seed = 42;
    struct el_sampler *const a = open_sampler(&opts, 100), *const b = open_sampler(&opts, 100);
    opts.seed = 43;
    struct el_sampler *const c = open_sampler(&opts, 100);
    unsigned differ = 0;
    const uint64_t n_allocs = el_mem_count();
    for (int i = 0; i < 200; i++) {
        const int32_t id = el_sampler_pick(a, logits);
        CHECK_EQ_INT(id, el_sampler_pick(b, logits));
        differ += id != el_sampler_pick(c, logits);
    }
    CHECK(differ > 20);
    CHECK_EQ_INT(el_mem_count(), n_allocs);
    el_sampler_close(a);
    el_sampler_close(b);
    el_sampler_close(c);
}

/* The generator itself: xoshiro256** from splitmix64(0) gives these first numbers, as in the authors' code. */
TEST(sampler, generator_is_xoshiro256starstar)
{
    struct el_sampler_opts opts = plain();
    opts.seed = 0;
    enum { N = 1 << 16 };
    float *const flat = calloc(N, sizeof *flat);
    REQUIRE(flat);
    struct el_sampler *const s = open_sampler(&opts, N);
    /* All tokens alike: the token is the draw's first 16 bits. */
    const int32_t want[] = {0x99ec, 0xbf6e, 0x1a5f, 0x6aa5};
    for (int i = 0; i < 4; i++)
        CHECK_EQ_INT(el_sampler_pick(s, flat), want[i]);
    el_sampler_close(s);
    free(flat);
}

TEST(sampler, refuses_what_makes_no_sense)
{
    const struct {
        const char *names;
        struct el_sampler_opts opts;
        size_t n_vocab;
    } bad[] = {
        {"temperature", {.temp = -1, .top_p = 1, .repeat_penalty = 1}, 4},
        {"temperature", {.temp = NAN, .top_p = 1, .repeat_penalty = 1}, 4},
        {"top-p", {.temp = 1, .top_p = 1.5f, .repeat_penalty = 1}, 4},
        {"min-p", {.temp = 1, .top_p = 1, .min_p = -0.1f, .repeat_penalty = 1}, 4},
        {"repetition", {.temp = 1, .top_p = 1, .repeat_penalty = 0}, 4},
        {"repetition", {.temp = 1, .top_p = 1, .repeat_penalty = INFINITY}, 4},
        {"presence", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .presence_penalty = NAN}, 4},
        {"frequency", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .frequency_penalty = INFINITY}, 4},
        {"last", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .penalty_last_n = UINT32_MAX}, 4},
        {"vocabulary", {.temp = 1, .top_p = 1, .repeat_penalty = 1}, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct el_err err = {.code = EL_OK};
        struct el_sampler *s = NULL;
        CHECK_EQ_INT(el_sampler_open(&bad[i].opts, bad[i].n_vocab, &s, &err), EL_E_USAGE);
        CHECK(s == NULL && strstr(err.text, bad[i].names));
    }
}

TEST(sampler, out_of_memory_at_every_allocation)
{
    for (uint64_t n = 1; n < 20; n++) {
        struct el_err err;
        struct el_sampler *s = NULL;
        el_mem_fail_after(n);
        const enum el_status status = el_sampler_open(NULL, 50, &s, &err);
        el_mem_fail_after(0);
        el_sampler_close(s);
        if (status == EL_OK) {
            CHECK(n > 1);
            return;
        }
        CHECK_EQ_INT(status, EL_E_MEMORY);
    }
    CHECK(!"an end");
}

TEST(log_softmax, is_exact_and_survives_large_logits)
{
    const float logits[] = {1000, 999, 998};
    double out[3];
    const double base = log(1 + exp(-1.0) + exp(-2.0));
    CHECK_NEAR(el_log_softmax(logits, 3, 1, out), -1 - base, 1e-15);
    CHECK_NEAR(out[0], -base, 1e-15);
    CHECK_NEAR(out[2], -2 - base, 1e-15);
    CHECK_NEAR(exp(out[0]) + exp(out[1]) + exp(out[2]), 1, 1e-15);
    CHECK(isnan(el_log_softmax(logits, 3, 3, NULL)) && isnan(el_log_softmax(logits, 3, -1, NULL)));
}
