#include "quant/residual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct token {
    float before, after; /* greatest |x_j| */
    uint32_t channel;    /* of `after` */
    float value;
    double cosine;
};

struct el_residual {
    const struct el_stream *stream;
    uint64_t n, n_embd;
    struct token *tokens;
    float *sorted; /* [n] scratch */
    uint32_t *order;
};

enum el_status el_residual_open(const struct el_stream *stream, struct el_residual **residual, struct el_err *err)
{
    *residual = NULL;
    struct el_residual *const r = el_calloc_array(1, sizeof *r);
    const uint64_t n = el_stream_n_tokens(stream);
    if (!r)
        return el_fail(err, EL_E_MEMORY, "out of memory for %llu tokens", (unsigned long long)n);
    *r = (struct el_residual){.stream = stream, .n = n, .n_embd = el_stream_model(stream)->hp.n_embd};
    r->tokens = el_calloc_array(n, sizeof *r->tokens);
    r->sorted = el_alloc_array(n, sizeof *r->sorted);
    r->order = el_alloc_array(n, sizeof *r->order);
    if (!r->tokens || !r->sorted || !r->order) {
        el_residual_close(r);
        return el_fail(err, EL_E_MEMORY, "out of memory for %llu tokens", (unsigned long long)n);
    }
    *residual = r;
    return EL_OK;
}

void el_residual_close(struct el_residual *residual)
{
    if (!residual)
        return;
    el_free(residual->tokens);
    el_free(residual->sorted);
    el_free(residual->order);
    el_free(residual);
}

/* ---- a batch ---- */

struct job {
    const float *before, *after;
    struct token *tokens;
    uint64_t n_embd;
};

static void look(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        const float *const a = job->before + r * job->n_embd, *const b = job->after + r * job->n_embd;
        struct token *const t = &job->tokens[r];
        double aa = 0, bb = 0, ab = 0;
        *t = (struct token){.before = 0};
        for (uint64_t j = 0; j < job->n_embd; j++) {
            aa += (double)a[j] * (double)a[j];
            bb += (double)b[j] * (double)b[j];
            ab += (double)a[j] * (double)b[j];
            t->before = fabsf(a[j]) > t->before ? fabsf(a[j]) : t->before;
            if (fabsf(b[j]) > t->after) {
                t->after = fabsf(b[j]);
                t->channel = (uint32_t)j;
                t->value = b[j];
            }
        }
        t->cosine = aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 1;
    }
}

void el_residual_batch(struct el_residual *residual, size_t b, const float *before, const float *after)
{
    enum { ROWS = 16 };
    uint64_t first;
    const uint32_t n = el_stream_batch(residual->stream, b, &first);
    struct job job = {before, after, residual->tokens + first, residual->n_embd};
    el_pool_run(el_stream_pool(residual->stream), n, ROWS, look, &job);
}

/* ---- a layer ---- */

double el_residual_influence(const struct el_residual *residual)
{
    double sum = 0;
    for (uint64_t i = 0; i < residual->n; i++)
        sum += 1 - residual->tokens[i].cosine;
    return sum / (double)residual->n;
}

static int by_value(const void *a, const void *b)
{
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double median(struct el_residual *r, bool after)
{
    for (uint64_t i = 0; i < r->n; i++)
        r->sorted[i] = after ? r->tokens[i].after : r->tokens[i].before;
    qsort(r->sorted, r->n, sizeof *r->sorted, by_value);
    return (double)r->sorted[r->n / 2];
}

/* Adds token i to the list, whose entries go from great to small; what is pushed over the end is gone. */
static void insert(struct el_massive list[EL_MASSIVE_MOST], struct el_massive m)
{
    size_t at = 0;
    while (at < EL_MASSIVE_MOST && list[at].count && fabsf(list[at].value) >= fabsf(m.value))
        at++;
    if (at == EL_MASSIVE_MOST)
        return;
    memmove(list + at + 1, list + at, (EL_MASSIVE_MOST - at - 1) * sizeof *list);
    list[at] = m;
}

/* One entry per token and kind of position: those of order [n], which are sorted so. */
static void group(const struct el_residual *r, uint32_t n, struct el_massive list[EL_MASSIVE_MOST])
{
    struct el_massive m = {.count = 0};
    for (uint32_t i = 0; i < n; i++) {
        const struct token *const t = &r->tokens[r->order[i]];
        uint32_t pos;
        const int32_t token = el_stream_token(r->stream, r->order[i], &pos);
        if (m.count && (m.token != token || (m.pos == 0) != (pos == 0))) {
            insert(list, m);
            m.count = 0;
        }
        if (m.count == 0 || fabsf(t->value) > fabsf(m.value))
            m = (struct el_massive){pos, token, t->channel, t->value, m.count};
        m.count++;
    }
    if (m.count)
        insert(list, m);
}

static uint64_t group_key(const struct el_residual *r, uint32_t i)
{
    uint32_t pos;
    const uint64_t token = (uint32_t)el_stream_token(r->stream, i, &pos);
    return token * 2 + (pos != 0);
}

uint32_t el_residual_massive(struct el_residual *residual, double ratio, struct el_massive list[EL_MASSIVE_MOST])
{
    enum { MOST_SORTED = 4096 }; /* a layer in which so many tokens stand out has none that do */
    struct el_residual *const r = residual;
    const double limit = ratio * median(r, true);
    uint32_t n = 0, n_sorted = 0;
    memset(list, 0, EL_MASSIVE_MOST * sizeof *list);
    for (uint64_t i = 0; i < r->n; i++) {
        if (!((double)r->tokens[i].after > limit))
            continue;
        n++;
        if (n_sorted == MOST_SORTED)
            continue;
        uint32_t at = n_sorted++;
        for (; at > 0 && group_key(r, r->order[at - 1]) > group_key(r, (uint32_t)i); at--)
            r->order[at] = r->order[at - 1];
        r->order[at] = (uint32_t)i;
    }
    group(r, n_sorted, list);
    return n;
}

void el_residual_flag(struct el_residual *residual, double ratio, bool *skip)
{
    const double before = ratio * median(residual, false), after = ratio * median(residual, true);
    for (uint64_t i = 0; i < residual->n; i++)
        if ((double)residual->tokens[i].before > before || (double)residual->tokens[i].after > after)
            skip[i] = true;
}
