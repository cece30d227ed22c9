/* The steps of the sampler chain beyond top-k, top-p and min-p, against expectations made by hand or by brute force. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "edgellm.h"
#include "test.h"

static struct el_sampler_opts plain(void)
{
    return (struct el_sampler_opts){.temp = 1, .top_p = 1, .repeat_penalty = 1, .seed = 11};
}

static struct el_sampler *open_sampler(const struct el_sampler_opts *opts, size_t n)
{
    struct el_err err;
    struct el_sampler *s = NULL;
    CHECK_OK(el_sampler_open(opts, n, &s, &err), err);
    return s;
}

/* Which of n <= 64 tokens come in 4000 draws, as bits. */
static uint64_t seen(const struct el_sampler_opts *opts, const float *logits, size_t n)
{
    struct el_sampler *const s = open_sampler(opts, n);
    uint64_t bits = 0;
    for (int i = 0; s && i < 4000; i++)
        bits |= UINT64_C(1) << el_sampler_pick(s, logits);
    el_sampler_close(s);
    return bits;
}

TEST(sampler_chain, order_is_read_and_matters)
{
    struct el_sampler_opts opts = plain();
    const float logits[] = {logf(0.5f), logf(0.3f), logf(0.15f), logf(0.05f)};
    opts.top_p = 0.75f;
    opts.temp = 100;
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x3); /* top-p before the temperature */
    opts.order = "temperature;top_p";
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x7); /* after it all are alike, and 3 of 4 hold 0.75 */
    opts.order = "tp";
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x7);
    opts.order = "";
    CHECK_EQ_INT(seen(&opts, logits, 4), 0xf);
    opts.order = "top-p,temp";
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x3);
    opts.order = "nucleus;topk;typical-p;typ";
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x3);
    opts.order = "p";
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x3);
    static const char *const bad[] = {
        "top_q", "pz", "top_p;;temp", "top_p;", "typicalx", "penalties;xt", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct el_err err = {.code = EL_OK};
        struct el_sampler *s = NULL;
        opts.order = bad[i];
        CHECK_EQ_INT(el_sampler_open(&opts, 4, &s, &err), EL_E_USAGE);
        CHECK(s == NULL && strstr(err.text, "sampler"));
    }
}

/* The logits are divided and not moved, whatever stood before: a repetition penalty goes by their sign. */
TEST(sampler_chain, penalties_behind_the_temperature)
{
    static const char *const orders[] = {"te", "kte", "pte"};
    const float logits[] = {6, 5};
    struct el_sampler_opts opts = plain();
    opts.temp = 2;
    opts.top_k = 1 << 20;
    opts.top_p = 0.9999f;
    opts.repeat_penalty = 3;
    opts.penalty_last_n = 4;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        opts.order = orders[i];
        struct el_sampler *const s = open_sampler(&opts, 2);
        REQUIRE(s);
        int n = 0;
        el_sampler_accept(s, 0);
        for (int k = 0; k < 4000; k++)
            n += el_sampler_pick(s, logits) == 1;
        el_sampler_close(s);
        CHECK(n > 3150 && n < 3400); /* 6 / 2 / 3 against 5 / 2: e^1.5 to 1, 3270 of 4000 */
    }
}

TEST(sampler_chain, tiny_temperatures_take_the_best)
{
    const float logits[] = {4, 5, -5};
    struct el_sampler_opts opts = plain();
    opts.temp = 1e-39f;
    opts.order = "t";
    CHECK_EQ_INT(seen(&opts, logits, 3), 0x2);
    opts.order = "pt";
    opts.top_p = 0.9999f;
    CHECK_EQ_INT(seen(&opts, logits, 3), 0x2);
    opts.temp = 0.001f;
    CHECK_EQ_INT(seen(&opts, logits, 3), 0x2);
}

TEST(sampler_chain, steps_have_names_and_letters)
{
    static const char *const names[] = {"penalties", "dry",   "top_n_sigma", "top_k",      "typ_p",
                                        "top_p",     "min_p", "xtc",         "temperature"};
    char letters[16] = "";
    size_t n = 0;
    for (const char *name; (name = el_sampler_step_at(n, &letters[n])); n++)
        CHECK_EQ_STR(name, names[n]);
    CHECK_EQ_INT(n, 9);
    CHECK_EQ_STR(letters, "edskypmxt");
}

TEST(sampler_chain, top_n_sigma_keeps_what_is_near_the_best)
{
    struct el_sampler_opts opts = plain();
    opts.temp = 100;
    /* Mean 2, deviation 2; minus infinity does not count. */
    const float logits[] = {4, 0, 4, 0, -INFINITY};
    opts.top_n_sigma = 1.9f;
    CHECK_EQ_INT(seen(&opts, logits, 5), 0x5);
    opts.top_n_sigma = 2.1f;
    CHECK_EQ_INT(seen(&opts, logits, 5), 0xf);
    opts.top_n_sigma = -1;
    CHECK_EQ_INT(seen(&opts, logits, 5), 0xf);
}

struct typical {
    double distance, p;
    int id;
};

static int by_distance(const void *a, const void *b)
{
    const struct typical *const x = a, *const y = b;
    return (x->distance > y->distance) - (x->distance < y->distance);
}

/* The definition, sorted by distance from the entropy. */
static uint64_t typical_set(const float *logits, size_t n, double want)
{
    struct typical t[64];
    double sum = 0, entropy = 0, held = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i]);
    for (size_t i = 0; i < n; i++) {
        t[i] = (struct typical){.p = exp((double)logits[i]) / sum, .id = (int)i};
        entropy -= t[i].p * log(t[i].p);
    }
    for (size_t i = 0; i < n; i++)
        t[i].distance = fabs(-log(t[i].p) - entropy);
    qsort(t, n, sizeof *t, by_distance);
    uint64_t bits = 0;
    for (size_t i = 0; i < n && held <= want; i++) {
        bits |= UINT64_C(1) << t[i].id;
        held += t[i].p;
    }
    return bits;
}

TEST(sampler_chain, typical_is_its_definition)
{
    uint64_t state = 5;
    for (int round = 0; round < 60; round++) {
        float logits[12];
        for (int i = 0; i < 12; i++)
            logits[i] = 2 * test_randf(&state);
        struct el_sampler_opts opts = plain();
        opts.typical_p = 0.05f + 0.015f * (float)round;
        opts.order = "yt";
        opts.temp = 1e4f; /* after the choice every kept token is seen */
        CHECK_EQ_INT(seen(&opts, logits, 12), typical_set(logits, 12, (double)opts.typical_p));
    }
}

TEST(sampler_chain, xtc_drops_all_but_the_last_of_the_likely)
{
    struct el_sampler_opts opts = plain();
    const float logits[] = {logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f)};
    opts.xtc_probability = 1;
    opts.xtc_threshold = 0.15f;
    CHECK_EQ_INT(seen(&opts, logits, 4), 0xc);
    opts.xtc_threshold = 0.35f; /* only one is that likely: it stays */
    CHECK_EQ_INT(seen(&opts, logits, 4), 0xf);
    opts.xtc_threshold = 0.6f;
    CHECK_EQ_INT(seen(&opts, logits, 4), 0xf);
    opts.xtc_threshold = 0.15f;
    opts.temp = 0; /* greedy among what is left */
    CHECK_EQ_INT(seen(&opts, logits, 4), 0x4);
    /* With probability 0.25 the best is dropped: it comes in 0.4 * 0.75 of the draws. */
    opts.temp = 1;
    opts.xtc_probability = 0.25f;
    struct el_sampler *const s = open_sampler(&opts, 4);
    unsigned n = 0;
    for (int i = 0; i < 40000; i++)
        n += el_sampler_pick(s, logits) == 0;
    CHECK_NEAR(n / 4e4, 0.3, 0.012);
    el_sampler_close(s);
}

TEST(sampler_chain, dynamic_temperature_follows_the_entropy)
{
    struct el_sampler_opts opts = plain();
    opts.order = "t";
    opts.dynatemp_range = 0.5f;
    opts.dynatemp_exponent = 2;
    const double p[] = {0.7, 0.2, 0.1};
    const float logits[] = {logf(0.7f), logf(0.2f), logf(0.1f)};
    double entropy = 0, sum = 0, want[3];
    for (int i = 0; i < 3; i++)
        entropy -= p[i] * log(p[i]);
    const double temp = 0.5 + (1.5 - 0.5) * pow(entropy / log(3), 2);
    for (int i = 0; i < 3; i++)
        sum += want[i] = pow(p[i], 1 / temp);
    struct el_sampler *const s = open_sampler(&opts, 3);
    unsigned counts[3] = {0};
    for (int i = 0; i < 100000; i++)
        counts[el_sampler_pick(s, logits)]++;
    for (int i = 0; i < 3; i++)
        CHECK_NEAR(counts[i] / 1e5, want[i] / sum, 0.007);
    el_sampler_close(s);
}

/* Mean surprise in bits of 3000 picks from a Zipf distribution of 2000 tokens. */
static double mean_surprise(const struct el_sampler_opts *opts)
{
    enum { N = 2000 };
    float *const logits = malloc(N * sizeof *logits);
    double total = 0, sum = 0;
    for (int i = 0; i < N; i++) {
        logits[i] = -1.1f * logf((float)(i + 1));
        sum += exp((double)logits[i]);
    }
    struct el_sampler *const s = open_sampler(opts, N);
    for (int i = 0; i < 3000; i++)
        total -= ((double)logits[el_sampler_pick(s, logits)] - log(sum)) / log(2);
    el_sampler_close(s);
    free(logits);
    return total / 3000;
}

TEST(sampler_chain, mirostat_holds_the_surprise)
{
    struct el_sampler_opts opts = plain();
    opts.mirostat_eta = 0.1f;
    opts.top_k = 1; /* the chain has no part in it */
    for (unsigned version = 1; version <= 2; version++) {
        double before = 0;
        for (float tau = 2; tau < 6; tau += 1) {
            opts.mirostat = version;
            opts.mirostat_tau = tau;
            const double got = mean_surprise(&opts);
            CHECK(got > before + 0.4); /* more wanted, more got */
            before = got;
        }
    }
    /* The surprise it steers is that among the kept tokens, which version 2 reaches where the distribution has it to give. */
    opts.mirostat_tau = 3;
    CHECK_NEAR(mean_surprise(&opts), 4.2, 0.6);
    opts.temp = 0;
    CHECK(mean_surprise(&opts) < 3); /* greedy stays greedy */
}

TEST(sampler_chain, logit_bias)
{
    struct el_sampler_opts opts = plain();
    const float logits[] = {5, 1, 1};
    struct el_logit_bias bias[] = {{0, -INFINITY}, {2, 2.0f}, {2, 2.0f}};
    opts.logit_bias = bias;
    opts.n_logit_bias = 3;
    opts.temp = 0;
    struct el_sampler *s = open_sampler(&opts, 3);
    bias[0].id = 1; /* they were copied */
    CHECK_EQ_INT(el_sampler_pick(s, logits), 2);
    el_sampler_close(s);
    opts.temp = 1;
    bias[0].id = 0;
    CHECK_EQ_INT(seen(&opts, logits, 3), 0x6);
    const struct el_logit_bias bad[] = {{-1, 0}, {3, 0}, {0, NAN}, {0, INFINITY}};
    for (size_t i = 0; i < 4; i++) {
        struct el_err err = {.code = EL_OK};
        opts.logit_bias = &bad[i];
        opts.n_logit_bias = 1;
        CHECK_EQ_INT(el_sampler_open(&opts, 3, &s, &err), EL_E_USAGE);
        CHECK(s == NULL && strstr(err.text, "logit bias"));
    }
}

/* ---- DRY, on the vocabulary of the bundled model ---- */

static struct el_tokenizer *bundled(struct el_source **source)
{
    struct el_err err;
    struct el_tokenizer *tok = NULL;
    CHECK_OK(el_source_open(test_data("books-4m"), NULL, source, &err), err);
    CHECK_OK(el_tokenizer_open(*source, &tok, &err), err);
    return tok;
}

static int32_t one_token(const struct el_tokenizer *tok, const char *text)
{
    struct el_err err;
    int32_t *ids = NULL, id = -1;
    size_t n = 0;
    CHECK_OK(el_encode(tok, text, strlen(text), 0, &ids, &n, &err), err);
    CHECK_EQ_INT(n, 1);
    if (n)
        id = ids[n - 1];
    el_free(ids);
    return id;
}

/* How much less `id` got after the tokens: all logits are 0, a bias is raised until it wins. */
static double loss_of(const struct el_sampler_opts *opts, size_t n_vocab, const int32_t *ids, size_t n, int32_t id)
{
    float *const logits = calloc(n_vocab, sizeof *logits);
    double low = 0, high = 1000;
    for (int step = 0; step < 40; step++) {
        struct el_sampler *const s = open_sampler(opts, n_vocab);
        for (size_t i = 0; i < n; i++)
            el_sampler_accept(s, ids[i]);
        const double mid = (low + high) / 2;
        logits[id] = (float)mid;
        if (el_sampler_pick(s, logits) == id)
            high = mid;
        else
            low = mid;
        el_sampler_close(s);
    }
    free(logits);
    return high;
}

TEST(sampler_chain, dry_punishes_what_goes_on_repeating)
{
    struct el_source *source = NULL;
    struct el_tokenizer *const tok = bundled(&source);
    REQUIRE(tok);
    const size_t n_vocab = el_tok_n_vocab(tok);
    const int32_t a = one_token(tok, " the"), b = one_token(tok, " and"), c = one_token(tok, " of"), d = one_token(tok, " was"),
                  newline = one_token(tok, "\n");
    struct el_sampler_opts opts = plain();
    opts.temp = 0;
    opts.dry_multiplier = 2;
    opts.dry_base = 3;
    opts.dry_allowed_length = 2;
    opts.dry_penalty_last_n = 16;
    opts.tokenizer = tok;
    const int32_t three[] = {a, b, c, d, a, b, c};
    CHECK_NEAR(loss_of(&opts, n_vocab, three, 7, d), 2 * 3, 1e-3); /* n 3, allowed 2 */
    CHECK_NEAR(loss_of(&opts, n_vocab, three, 7, b), 0, 1e-3);
    const int32_t two[] = {c, b, c, d, a, b, c};
    CHECK_NEAR(loss_of(&opts, n_vocab, two, 7, d), 2, 1e-3);
    const int32_t one[] = {c, a, c, d, a, b, c};
    CHECK_NEAR(loss_of(&opts, n_vocab, one, 7, d), 0, 1e-3);
    /* With an allowed length of 0 a recent token repeats nothing, and pays for it. */
    opts.dry_allowed_length = 0;
    CHECK_NEAR(loss_of(&opts, n_vocab, one, 7, b), 2, 1e-3);
    CHECK_NEAR(loss_of(&opts, n_vocab, one, 7, a), 2 * 3, 1e-3);
    CHECK_NEAR(loss_of(&opts, n_vocab, one, 7, d), 2 * 3, 1e-3);
    opts.dry_allowed_length = 2;
    /* The longest of several counts, also when the sequence overlaps itself: n 3. */
    const int32_t run[] = {d, a, a, a, a};
    CHECK_NEAR(loss_of(&opts, n_vocab, run, 5, a), 2 * 3, 1e-3);
    /* A breaker in between: only what stands behind it repeats. */
    const int32_t broken[] = {a, newline, b, c, d, a, newline, b, c};
    CHECK_NEAR(loss_of(&opts, n_vocab, broken, 9, d), 2, 1e-3);
    /* A breaker is never punished. */
    const int32_t ends[] = {a, b, c, newline, a, b, c};
    CHECK_NEAR(loss_of(&opts, n_vocab, ends, 7, newline), 0, 1e-3);
    /* A breaker over two tokens: " and of" breaks behind " of", " wa" within " was". */
    static const char *const spread[] = {"nd of"}, *const part[] = {"of w"};
    opts.n_dry_breakers = 1;
    opts.dry_breakers = spread;
    CHECK_NEAR(loss_of(&opts, n_vocab, three, 7, d), 0, 1e-3);
    const int32_t behind[] = {b, c, a, d, b, c, a, d};
    CHECK_NEAR(loss_of(&opts, n_vocab, behind, 8, b), 2, 1e-3); /* " the was" stands behind it */
    opts.dry_breakers = part;
    CHECK_NEAR(loss_of(&opts, n_vocab, three, 7, d), 2 * 3, 1e-3);
    opts.n_dry_breakers = 0; /* none */
    CHECK_NEAR(loss_of(&opts, n_vocab, broken, 9, d), 2 * 9, 1e-3);
    /* The window forgets. */
    opts.dry_penalty_last_n = 6;
    CHECK_NEAR(loss_of(&opts, n_vocab, three, 7, d), 2, 1e-3);
    opts.dry_penalty_last_n = 0;
    CHECK_NEAR(loss_of(&opts, n_vocab, three, 7, d), 0, 1e-3);
    el_tokenizer_close(tok);
    el_source_close(source);
}

TEST(sampler_chain, dry_refuses_what_it_cannot_do)
{
    struct el_source *source = NULL;
    struct el_tokenizer *const tok = bundled(&source);
    REQUIRE(tok);
    struct el_err err;
    struct el_sampler *s = NULL;
    struct el_sampler_opts opts = plain();
    opts.dry_multiplier = 1;
    opts.dry_base = 1.75f;
    opts.dry_penalty_last_n = 8;
    CHECK_EQ_INT(el_sampler_open(&opts, 100, &s, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "tokenizer"));
    opts.tokenizer = tok;
    static const char *const empty[] = {"a", ""}, *const longer[] = {"0123456789012345678901234567890123456789x"};
    opts.dry_breakers = empty;
    opts.n_dry_breakers = 2;
    CHECK_EQ_INT(el_sampler_open(&opts, 100, &s, &err), EL_E_USAGE);
    opts.dry_breakers = longer;
    opts.n_dry_breakers = 1;
    CHECK_EQ_INT(el_sampler_open(&opts, 100, &s, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "41 bytes"));
    opts.n_dry_breakers = 0;
    opts.dry_base = 0.5f;
    CHECK_EQ_INT(el_sampler_open(&opts, 100, &s, &err), EL_E_USAGE);
    opts.dry_base = 2;
    for (uint64_t n = 1;; n++) {
        REQUIRE(n < 100);
        el_mem_fail_after(n);
        const enum el_status status = el_sampler_open(&opts, el_tok_n_vocab(tok), &s, &err);
        el_mem_fail_after(0);
        el_sampler_close(s);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
    }
    el_tokenizer_close(tok);
    el_source_close(source);
}

TEST(sampler_chain, refuses_what_makes_no_sense)
{
    const struct {
        const char *names;
        struct el_sampler_opts opts;
    } bad[] = {
        {"typical", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .typical_p = 1.5f}},
        {"top-n-sigma", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .top_n_sigma = NAN}},
        {"XTC's probability", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .xtc_probability = 2}},
        {"XTC's threshold", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .xtc_threshold = -1}},
        {"range", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .dynatemp_range = -1}},
        {"exponent", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .dynatemp_exponent = NAN}},
        {"multiplier", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .dry_multiplier = -1}},
        {"mirostat 3", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .mirostat = 3}},
        {"target", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .mirostat_tau = -1}},
        {"learning rate", {.temp = 1, .top_p = 1, .repeat_penalty = 1, .mirostat_eta = NAN}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct el_err err = {.code = EL_OK};
        struct el_sampler *s = NULL;
        CHECK_EQ_INT(el_sampler_open(&bad[i].opts, 4, &s, &err), EL_E_USAGE);
        CHECK(s == NULL && strstr(err.text, bad[i].names));
    }
}
