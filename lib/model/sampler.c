/*
 * Choosing a token. The order of steps is llama.cpp's: penalties, top-k, top-p, min-p, temperature, then a draw. Random numbers:
 * xoshiro256** (Blackman and Vigna, arXiv:1805.01407) seeded by splitmix64. All memory is taken on opening.
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "edgellm.h"

struct candidate {
    float logit;
    int32_t id;
};

struct el_sampler {
    struct el_sampler_opts opts;
    size_t n_vocab;
    uint64_t state[4];
    struct candidate *candidates; /* [n_vocab] */
    double *p;                    /* [n_vocab] */
    int32_t *last;                /* ring of the last penalty_last_n tokens */
    uint32_t n_last, last_at;
    uint32_t *counts; /* [n_vocab] how often a token is in the ring */
};

struct el_sampler_opts el_sampler_defaults(void)
{
    return (struct el_sampler_opts){
        .temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1.0f, .penalty_last_n = 64, .seed = 0};
}

static enum el_status check_range(const char *name, float v, float min, float max, struct el_err *err)
{
    if (v >= min && v <= max)
        return EL_OK;
    return el_fail(err, EL_E_USAGE, "%s is %g, allowed are %g to %g", name, (double)v, (double)min, (double)max);
}

static enum el_status check_opts(const struct el_sampler_opts *o, size_t n_vocab, struct el_err *err)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return el_fail(err, EL_E_USAGE, "a vocabulary of %zu tokens, allowed are 1 to %d", n_vocab, INT32_MAX);
    EL_TRY(check_range("temperature", o->temp, 0, 1e6f, err));
    EL_TRY(check_range("top-p", o->top_p, 0, 1, err));
    EL_TRY(check_range("min-p", o->min_p, 0, 1, err));
    if (!(o->repeat_penalty > 0))
        return el_fail(err, EL_E_USAGE, "repetition penalty is %g, allowed are numbers above 0", (double)o->repeat_penalty);
    EL_TRY(check_range("repetition penalty", o->repeat_penalty, 0, 1e6f, err));
    EL_TRY(check_range("presence penalty", o->presence_penalty, -1e6f, 1e6f, err));
    EL_TRY(check_range("frequency penalty", o->frequency_penalty, -1e6f, 1e6f, err));
    if (o->penalty_last_n > 1u << 28)
        return el_fail(err, EL_E_USAGE, "penalties over the last %u tokens, at most %u", o->penalty_last_n, 1u << 28);
    return EL_OK;
}

enum el_status el_sampler_open(const struct el_sampler_opts *opts, size_t n_vocab, struct el_sampler **sampler,
                               struct el_err *err)
{
    *sampler = NULL;
    const struct el_sampler_opts defaults = el_sampler_defaults();
    if (!opts)
        opts = &defaults;
    EL_TRY(check_opts(opts, n_vocab, err));
    struct el_sampler *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "out of memory for a sampler");
    s->opts = *opts;
    s->n_vocab = n_vocab;
    s->candidates = el_alloc_array(n_vocab, sizeof *s->candidates);
    s->p = el_alloc_array(n_vocab, sizeof *s->p);
    s->counts = el_calloc_array(n_vocab, sizeof *s->counts);
    s->last = el_alloc_array(opts->penalty_last_n, sizeof *s->last);
    if (!s->candidates || !s->p || !s->counts || !s->last) {
        el_sampler_close(s);
        return el_fail(err, EL_E_MEMORY, "out of memory for a sampler of %zu tokens", n_vocab);
    }
    uint64_t x = opts->seed;
    for (int i = 0; i < 4; i++) {
        uint64_t z = (x += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        s->state[i] = z ^ z >> 31;
    }
    *sampler = s;
    return EL_OK;
}

void el_sampler_close(struct el_sampler *sampler)
{
    if (!sampler)
        return;
    el_free(sampler->candidates);
    el_free(sampler->p);
    el_free(sampler->counts);
    el_free(sampler->last);
    el_free(sampler);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* Uniform in [0, 1), 53 bits. */
static double draw(uint64_t s[4])
{
    const uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

void el_sampler_accept(struct el_sampler *sampler, int32_t id)
{
    struct el_sampler *const s = sampler;
    const uint32_t cap = s->opts.penalty_last_n;
    if (cap == 0 || id < 0 || (size_t)id >= s->n_vocab)
        return;
    if (s->n_last == cap)
        s->counts[s->last[s->last_at]]--;
    else
        s->n_last++;
    s->last[s->last_at] = id;
    s->counts[id]++;
    s->last_at = s->last_at + 1 == cap ? 0 : s->last_at + 1;
}

static float penalised(const struct el_sampler *s, float logit, uint32_t count)
{
    if (count == 0)
        return logit;
    logit = logit > 0 ? logit / s->opts.repeat_penalty : logit * s->opts.repeat_penalty;
    return logit - (float)count * s->opts.frequency_penalty - s->opts.presence_penalty;
}

/* Larger logit first; among equals the lower id. A total order, so that the result does not depend on the way of sorting. */
static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Moves c[at] down in a heap whose root comes last in the order. */
static void sift_down(struct candidate *c, size_t at, size_t n)
{
    const struct candidate moved = c[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(&c[child], &c[child + 1]))
            child++;
        if (!before(&moved, &c[child]))
            break;
        c[at] = c[child];
        at = child;
    }
    c[at] = moved;
}

/* The first k of n in order, sorted, in c[0..k). */
static void sort_first(struct candidate *c, size_t n, size_t k)
{
    for (size_t i = k / 2; i-- > 0;)
        sift_down(c, i, k);
    for (size_t i = k; i < n; i++) {
        if (before(&c[i], &c[0])) {
            c[0] = c[i];
            sift_down(c, 0, k);
        }
    }
    for (size_t left = k; left > 1; left--) {
        const struct candidate last = c[0];
        c[0] = c[left - 1];
        c[left - 1] = last;
        sift_down(c, 0, left - 1);
    }
}

/* p[i] = exp((logit_i - logit_0) / temp), and their sum. */
static double weigh(const struct candidate *c, size_t n, double temp, double *p)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        /* Equal logits weigh the same, infinite ones too, which have no difference. */
        p[i] = c[i].logit == c[0].logit ? 1.0 : exp(((double)c[i].logit - (double)c[0].logit) / temp);
        sum += p[i];
    }
    return sum;
}

int32_t el_sampler_pick(struct el_sampler *sampler, const float *logits)
{
    struct el_sampler *const s = sampler;
    const struct el_sampler_opts *const o = &s->opts;
    struct candidate *const c = s->candidates;
    size_t best = 0;
    for (size_t i = 0; i < s->n_vocab; i++) {
        const float logit = penalised(s, logits[i], s->counts[i]);
        c[i] = (struct candidate){isnan(logit) ? -INFINITY : logit, (int32_t)i};
        if (before(&c[i], &c[best]))
            best = i;
    }
    if (o->temp == 0)
        return (int32_t)best;
    size_t n = o->top_k && o->top_k < s->n_vocab ? o->top_k : s->n_vocab;
    sort_first(c, s->n_vocab, n);
    if (o->top_p < 1) {
        const double sum = weigh(c, n, 1.0, s->p);
        double so_far = 0;
        size_t kept = 0;
        while (kept < n && (kept == 0 || so_far < (double)o->top_p * sum))
            so_far += s->p[kept++];
        n = kept;
    }
    if (o->min_p > 0) {
        const double least = (double)c[0].logit + log((double)o->min_p);
        size_t kept = 1;
        while (kept < n && (double)c[kept].logit >= least)
            kept++;
        n = kept;
    }
    const double wanted = weigh(c, n, o->temp, s->p) * draw(s->state);
    double so_far = 0;
    for (size_t i = 0; i < n; i++) {
        so_far += s->p[i];
        if (wanted < so_far)
            return c[i].id;
    }
    return c[n - 1].id;
}
