/*
 * DRY, "don't repeat yourself" (p-e-w, oobabooga/text-generation-webui pull request 5677): a token that would continue a sequence
 * which occurred before, of length n >= allowed_length tokens, loses multiplier * base^(n - allowed_length). Sequence breakers
 * end a sequence: no repetition reaches back over one, and tokens that hold one are never punished.
 *
 * Where we deviate: breakers are searched in the text of the recent tokens, so that one which is spread over tokens counts
 * wherever it lies; the common implementations compare with one tokenization of it.
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/sampler_impl.h"
#include "text/tokenizer_impl.h"

/* The ids whose text holds a breaker, and the texts of all. */
static enum el_status read_vocabulary(struct el_dry *d, const struct el_tokenizer *tok, size_t n_vocab, struct el_err *err)
{
    struct el_buf text;
    el_buf_init(&text);
    for (size_t i = 0; i < n_vocab; i++) {
        const size_t before = text.nbytes;
        el_tok_add_text(tok, (int32_t)i, &text);
        if (text.failed || text.nbytes > UINT32_MAX) {
            el_buf_release(&text);
            return el_fail(err, EL_E_MEMORY, "out of memory for the texts of %zu tokens", n_vocab);
        }
        d->off[i + 1] = (uint32_t)text.nbytes;
        for (size_t b = 0; b < d->n_breakers && text.nbytes > before; b++)
            if (memmem(text.data + before, text.nbytes - before, d->breakers[b], strlen(d->breakers[b])))
                d->breaks[i] = 1;
    }
    size_t nbytes;
    d->text = el_buf_detach(&text, &nbytes);
    return EL_OK;
}

static enum el_status copy_breakers(struct el_dry *d, const struct el_sampler_opts *o, struct el_err *err)
{
    static const char *const defaults[] = {"\n", ":", "\"", "*"};
    const char *const *const from = o->dry_breakers ? o->dry_breakers : defaults;
    const size_t n = o->dry_breakers ? o->n_dry_breakers : sizeof defaults / sizeof defaults[0];
    if (n > EL_MAX_BREAKERS)
        return el_fail(err, EL_E_USAGE, "%zu sequence breakers, at most %d", n, EL_MAX_BREAKERS);
    size_t nbytes = n * sizeof *d->breakers;
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(from[i]);
        if (len == 0 || len > EL_MAX_BREAKER_NBYTES)
            return el_fail(err, EL_E_USAGE, "a sequence breaker of %zu bytes, allowed are 1 to %d", len, EL_MAX_BREAKER_NBYTES);
        nbytes += len + 1;
    }
    d->breakers = el_alloc(nbytes ? nbytes : 1);
    if (!d->breakers)
        return el_fail(err, EL_E_MEMORY, "out of memory for sequence breakers");
    char *at = (char *)(d->breakers + n);
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(from[i]) + 1;
        memcpy(at, from[i], len);
        d->breakers[i] = at;
        at += len;
    }
    d->n_breakers = n;
    return EL_OK;
}

enum el_status el_dry_open(struct el_sampler *s, struct el_err *err)
{
    const struct el_sampler_opts *const o = &s->opts;
    if (o->dry_multiplier == 0 || o->dry_penalty_last_n == 0)
        return EL_OK;
    if (!o->tokenizer)
        return el_fail(err, EL_E_USAGE, "DRY needs the tokenizer, for its sequence breakers");
    const size_t n_vocab = s->n_vocab, n_text = el_tok_n_vocab(o->tokenizer);
    const uint32_t cap = o->dry_penalty_last_n;
    struct el_dry *const d = s->dry = el_calloc_array(1, sizeof *d);
    if (!d)
        return el_fail(err, EL_E_MEMORY, "out of memory for DRY");
    EL_TRY(copy_breakers(d, o, err));
    d->last.ids = el_alloc_array(cap, sizeof *d->last.ids);
    d->last.cap = cap;
    d->repeat = el_alloc_array(cap, sizeof *d->repeat);
    d->recent = el_alloc_array(cap, sizeof *d->recent);
    d->off = el_calloc_array(n_vocab + 1, sizeof *d->off);
    d->breaks = el_calloc_array(n_vocab, 1);
    d->longest = el_calloc_array(n_vocab, sizeof *d->longest);
    if (!d->last.ids || !d->repeat || !d->recent || !d->off || !d->breaks || !d->longest)
        return el_fail(err, EL_E_MEMORY, "out of memory for DRY over %u tokens", cap);
    EL_TRY(read_vocabulary(d, o->tokenizer, n_text < n_vocab ? n_text : n_vocab, err));
    for (size_t i = n_text; i < n_vocab; i++)
        d->off[i + 1] = d->off[i];
    return EL_OK;
}

void el_dry_close(struct el_dry *dry)
{
    if (!dry)
        return;
    el_free(dry->last.ids);
    el_free(dry->text);
    el_free(dry->off);
    el_free(dry->breaks);
    el_free(dry->breakers);
    el_free(dry->repeat);
    el_free(dry->recent);
    el_free(dry->longest);
    el_free(dry);
}

/* Is `what`[0, n) the text that ends with the first `upto` bytes of token recent[i] and goes back into the tokens before? */
static bool ends_here(const struct el_dry *d, uint32_t n_recent, uint32_t i, uint32_t upto, const char *what, size_t n)
{
    for (;;) {
        const int32_t id = d->recent[i];
        while (upto > 0 && n > 0) {
            if (d->text[d->off[id] + --upto] != what[--n])
                return false;
        }
        if (n == 0)
            return true;
        if (++i == n_recent)
            return false;
        upto = d->off[d->recent[i] + 1] - d->off[d->recent[i]];
    }
}

/* How many of the newest tokens come after the last sequence breaker. recent: newest first. */
static uint32_t since_breaker(const struct el_dry *d, uint32_t n_recent)
{
    for (uint32_t i = 0; i < n_recent; i++) {
        const int32_t id = d->recent[i];
        if (d->breaks[id])
            return i;
        const uint32_t nbytes = d->off[id + 1] - d->off[id];
        for (size_t b = 0; b < d->n_breakers; b++) {
            const size_t n = strlen(d->breakers[b]);
            for (uint32_t upto = 1; n > 1 && upto <= nbytes && upto < n; upto++)
                if (ends_here(d, n_recent, i, upto, d->breakers[b], n))
                    return i;
        }
    }
    return n_recent;
}

/*
 * repeat[i] = length of the longest sequence that ends at recent[i] and equals the newest tokens, at most `limit`: the Z function
 * (Gusfield, Algorithms on Strings, 1997, section 1.4) of recent. Linear time.
 */
static void find_repeats(struct el_dry *d, uint32_t n, uint32_t limit)
{
    uint32_t left = 0, right = 0; /* recent[left, right) equals recent[0, right - left) */
    for (uint32_t i = 1; i < n; i++) {
        uint32_t z = 0;
        if (i < right)
            z = d->repeat[i - left] < right - i ? d->repeat[i - left] : right - i;
        while (i + z < n && d->recent[z] == d->recent[i + z])
            z++;
        if (i + z > right) {
            left = i;
            right = i + z;
        }
        d->repeat[i] = z;
    }
    for (uint32_t i = 1; i < n; i++)
        if (d->repeat[i] > limit)
            d->repeat[i] = limit;
}

void el_sample_dry(struct el_sampler *s)
{
    struct el_dry *const d = s->dry;
    if (!d)
        return;
    const struct el_sampler_opts *const o = &s->opts;
    const uint32_t n = d->last.n, allowed = o->dry_allowed_length;
    for (uint32_t i = 0; i < n; i++) { /* the token before `at` is the newest, also before the ring is full */
        const uint32_t back = d->last.at + d->last.cap - 1 - i;
        d->recent[i] = d->last.ids[back % d->last.cap];
    }
    const uint32_t limit = since_breaker(d, n);
    if (n < 2 || limit < allowed)
        return;
    find_repeats(d, n, limit);
    for (uint32_t i = 1; i < n; i++) { /* recent[i - 1] is what followed the sequence that ends at i */
        const int32_t next = d->recent[i - 1];
        if (d->repeat[i] >= allowed && d->repeat[i] >= d->longest[next])
            d->longest[next] = d->repeat[i] + 1; /* so that 0 stays "none": with an allowed length of 0 every recent token pays */
    }
    for (size_t i = 0; i < s->n; i++) {
        const int32_t id = s->c[i].id;
        if (d->longest[id] == 0 || d->breaks[id])
            continue;
        const double loss = (double)o->dry_multiplier * pow(o->dry_base, (double)(d->longest[id] - 1 - allowed));
        s->c[i].logit = loss < 1e30 ? (float)((double)s->c[i].logit - loss) : -1e30f;
    }
    for (uint32_t i = 0; i < n; i++)
        d->longest[d->recent[i]] = 0;
    s->sorted = false;
}
