/*
 * Choosing a token: logit biases, then the chain of steps (model/sampler_chain.c) or mirostat, then a draw. Random numbers:
 * xoshiro256** (Blackman and Vigna, arXiv:1805.01407) seeded by splitmix64. All memory is taken on opening.
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/sampler_impl.h"

enum { MAX_LAST = 1 << 28, MIROSTAT_TOP = 100 };

struct el_sampler_opts el_sampler_defaults(void)
{
    return (struct el_sampler_opts){
        .temp = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1.0f,
        .xtc_threshold = 0.1f,
        .dynatemp_exponent = 1.0f,
        .repeat_penalty = 1.0f,
        .penalty_last_n = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = 64,
        .mirostat_tau = 5.0f,
        .mirostat_eta = 0.1f,
        .seed = 0,
    };
}

static enum el_status check_range(const char *name, float v, float min, float max, struct el_err *err)
{
    if (v >= min && v <= max)
        return EL_OK;
    return el_fail(err, EL_E_USAGE, "%s is %g, allowed are %g to %g", name, (double)v, (double)min, (double)max);
}

static enum el_status check_last(const char *what, uint32_t n, struct el_err *err)
{
    if (n > MAX_LAST)
        return el_fail(err, EL_E_USAGE, "%s over the last %u tokens, at most %d", what, n, MAX_LAST);
    return EL_OK;
}

static enum el_status check_opts(const struct el_sampler_opts *o, size_t n_vocab, struct el_err *err)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return el_fail(err, EL_E_USAGE, "a vocabulary of %zu tokens, allowed are 1 to %d", n_vocab, INT32_MAX);
    EL_TRY(check_range("temperature", o->temp, 0, 1e6f, err));
    EL_TRY(check_range("top-p", o->top_p, 0, 1, err));
    EL_TRY(check_range("min-p", o->min_p, 0, 1, err));
    EL_TRY(check_range("typical-p", o->typical_p, 0, 1, err));
    EL_TRY(check_range("top-n-sigma", o->top_n_sigma, -1e6f, 1e6f, err));
    EL_TRY(check_range("XTC's probability", o->xtc_probability, 0, 1, err));
    EL_TRY(check_range("XTC's threshold", o->xtc_threshold, 0, 1, err));
    EL_TRY(check_range("range of the dynamic temperature", o->dynatemp_range, 0, 1e6f, err));
    EL_TRY(check_range("exponent of the dynamic temperature", o->dynatemp_exponent, 0, 1e6f, err));
    if (!(o->repeat_penalty > 0))
        return el_fail(err, EL_E_USAGE, "repetition penalty is %g, allowed are numbers above 0", (double)o->repeat_penalty);
    EL_TRY(check_range("repetition penalty", o->repeat_penalty, 0, 1e6f, err));
    EL_TRY(check_range("presence penalty", o->presence_penalty, -1e6f, 1e6f, err));
    EL_TRY(check_range("frequency penalty", o->frequency_penalty, -1e6f, 1e6f, err));
    EL_TRY(check_last("penalties", o->penalty_last_n, err));
    EL_TRY(check_range("DRY's multiplier", o->dry_multiplier, 0, 1e6f, err));
    if (o->dry_multiplier > 0) {
        EL_TRY(check_range("DRY's base", o->dry_base, 1, 1e6f, err));
        EL_TRY(check_last("DRY", o->dry_penalty_last_n, err));
    }
    if (o->mirostat > 2)
        return el_fail(err, EL_E_USAGE, "mirostat %u, allowed are 0 (off), 1 and 2", o->mirostat);
    EL_TRY(check_range("mirostat's target", o->mirostat_tau, 0, 1e6f, err));
    return check_range("mirostat's learning rate", o->mirostat_eta, 0, 1e6f, err);
}

/* Copies the biases, so that the caller's array may go. */
static enum el_status copy_bias(struct el_sampler *s, struct el_err *err)
{
    const struct el_sampler_opts *const o = &s->opts;
    for (size_t i = 0; i < o->n_logit_bias; i++) {
        const struct el_logit_bias b = o->logit_bias[i];
        if (b.id < 0 || (size_t)b.id >= s->n_vocab)
            return el_fail(err, EL_E_USAGE, "a logit bias for token %d, allowed are 0 to %zu", b.id, s->n_vocab - 1);
        if (isnan(b.bias) || b.bias == INFINITY)
            return el_fail(err, EL_E_USAGE, "the logit bias of token %d is %g, allowed are numbers and -inf", b.id,
                           (double)b.bias);
    }
    s->bias = el_alloc_array(o->n_logit_bias, sizeof *s->bias);
    if (!s->bias)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu logit biases", o->n_logit_bias);
    if (o->n_logit_bias)
        memcpy(s->bias, o->logit_bias, o->n_logit_bias * sizeof *s->bias);
    return EL_OK;
}

static void seed_state(uint64_t state[4], uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        state[i] = z ^ z >> 31;
    }
}

static enum el_status make(struct el_sampler *s, struct el_err *err)
{
    const size_t n_vocab = s->n_vocab;
    EL_TRY(el_sampler_chain(s, s->opts.order, err));
    EL_TRY(copy_bias(s, err));
    s->c = el_alloc_array(n_vocab, sizeof *s->c);
    s->p = el_alloc_array(n_vocab, sizeof *s->p);
    s->counts = el_calloc_array(n_vocab, sizeof *s->counts);
    s->last.cap = s->opts.penalty_last_n;
    s->last.ids = el_alloc_array(s->last.cap, sizeof *s->last.ids);
    if (!s->c || !s->p || !s->counts || !s->last.ids)
        return el_fail(err, EL_E_MEMORY, "out of memory for a sampler of %zu tokens", n_vocab);
    s->mu = 2 * (double)s->opts.mirostat_tau;
    seed_state(s->state, s->opts.seed);
    return el_dry_open(s, err);
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
    const enum el_status status = make(s, err);
    if (status != EL_OK) {
        el_sampler_close(s);
        return status;
    }
    *sampler = s;
    return EL_OK;
}

void el_sampler_close(struct el_sampler *sampler)
{
    if (!sampler)
        return;
    el_free(sampler->bias);
    el_free(sampler->c);
    el_free(sampler->p);
    el_free(sampler->counts);
    el_free(sampler->last.ids);
    el_dry_close(sampler->dry);
    el_free(sampler);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

double el_sample_draw(struct el_sampler *sampler)
{
    uint64_t *const s = sampler->state;
    const uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

void el_ring_push(struct el_ring *ring, int32_t id, int32_t *old)
{
    *old = -1;
    if (ring->cap == 0)
        return;
    if (ring->n == ring->cap)
        *old = ring->ids[ring->at];
    else
        ring->n++;
    ring->ids[ring->at] = id;
    ring->at = ring->at + 1 == ring->cap ? 0 : ring->at + 1;
}

void el_sampler_set_grammar(struct el_sampler *sampler, struct el_grammar_run *run)
{
    sampler->grammar = run;
}

void el_sampler_accept(struct el_sampler *sampler, int32_t id)
{
    struct el_sampler *const s = sampler;
    int32_t old;
    if (s->grammar && el_grammar_run_accept(s->grammar, id, NULL) != EL_OK)
        return; /* the run remembers, and allows no token from now on */
    if (id < 0 || (size_t)id >= s->n_vocab)
        return;
    if (s->last.cap) {
        el_ring_push(&s->last, id, &old);
        s->counts[id]++;
        if (old >= 0)
            s->counts[old]--;
    }
    if (s->dry)
        el_ring_push(&s->dry->last, id, &old);
}

/* ---- mirostat (arXiv:2007.14966) ---- */

/* Algorithm 1: the exponent of Zipf's law estimated from the most likely tokens gives the k whose cross-entropy is mu. */
static size_t mirostat_k(const struct el_sampler *s)
{
    double tb = 0, tt = 0;
    for (size_t i = 0; i + 1 < s->n && i + 1 < MIROSTAT_TOP && s->p[i + 1] > 0; i++) {
        const double t = log((double)(i + 2) / (double)(i + 1)), b = log(s->p[i] / s->p[i + 1]);
        tb += t * b;
        tt += t * t;
    }
    const double zipf = tt > 0 ? tb / tt : 1, eps = zipf - 1;
    const double k = pow(eps * pow(2, s->mu) / (1 - pow((double)s->n_vocab, -eps)), 1 / zipf);
    return isfinite(k) && k >= 1 ? (k < (double)s->n ? (size_t)k : s->n) : isfinite(k) || isnan(k) ? 1 : s->n;
}

/* Algorithm 2: tokens of surprise above mu bits are dropped. */
static size_t mirostat_2(const struct el_sampler *s, double sum)
{
    size_t n = 0;
    while (n < s->n && -log2(s->p[n] / sum) <= s->mu)
        n++;
    return n ? n : 1;
}

static int32_t mirostat(struct el_sampler *s)
{
    el_sample_temperature(s);
    const double sum = el_sample_weigh(s);
    s->n = s->opts.mirostat == 1 ? mirostat_k(s) : mirostat_2(s, sum);
    double probability;
    const size_t at = el_sample_choose(s, &probability);
    s->mu -= (double)s->opts.mirostat_eta * (-log2(probability) - (double)s->opts.mirostat_tau);
    return s->c[at].id;
}

/* ---- choosing ---- */

static void fill(struct el_sampler *s, const float *logits)
{
    for (size_t i = 0; i < s->n_vocab; i++)
        s->c[i] = (struct el_candidate){isnan(logits[i]) ? -INFINITY : logits[i], (int32_t)i};
    for (size_t i = 0; i < s->opts.n_logit_bias; i++)
        s->c[s->bias[i].id].logit += s->bias[i].bias;
    s->n = s->n_vocab;
    s->sorted = false;
}

/* Leaves the tokens that the grammar allows; none when it fails, which the run remembers. */
static void keep_allowed(struct el_sampler *s)
{
    const uint64_t *const mask = el_grammar_run_mask(s->grammar, NULL);
    const size_t n_vocab = el_grammar_run_n_vocab(s->grammar), n = s->n < n_vocab ? s->n : n_vocab;
    size_t kept = 0;
    for (size_t i = 0; mask && i < n; i++) /* the model may have more tokens than the tokenizer */
        if (mask[s->c[i].id / 64] >> (s->c[i].id % 64) & 1)
            s->c[kept++] = s->c[i];
    s->n = kept;
}

int32_t el_sampler_pick(struct el_sampler *sampler, const float *logits)
{
    struct el_sampler *const s = sampler;
    fill(s, logits);
    if (s->grammar) {
        keep_allowed(s);
        if (s->n == 0)
            return -1;
    }
    const bool greedy = s->opts.temp == 0 && s->opts.dynatemp_range == 0;
    if (s->opts.mirostat && !greedy)
        return mirostat(s);
    for (size_t i = 0; i < s->n_steps; i++) {
        /* What only drops unlikely tokens need not run where the most likely one is wanted. */
        if (!greedy || !s->keeps_best || s->steps[i] == el_sample_penalties || s->steps[i] == el_sample_dry)
            s->steps[i](s);
    }
    if (greedy)
        el_sample_temperature(s);
    return s->c[s->n > 1 ? el_sample_choose(s, NULL) : 0].id;
}
