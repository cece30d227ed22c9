/* The operations on this machine's processor. Rows are independent, so they are split over the pool by rows. */
#include "model/ops.h"

#include <math.h>
#include <string.h>

#include "model/attention.h"

enum { ROWS_PER_CHUNK = 4 };

static float *row_at(const struct el_run *run, enum el_buffer b, uint64_t r)
{
    return run->b[b].f32 + r * run->b[b].stride;
}

/* One argument block for all row loops; each uses what it needs. */
struct loop {
    struct el_run *run;
    const struct el_weight *w, *bias;
    enum el_buffer src, dst;
    uint32_t n;
    uint32_t first, end; /* entries of experts */
    bool quantize;       /* dst's int8 form as well */
    float factor;
    const struct el_rope_table *rope;
};

static void over_rows(struct loop *loop, uint64_t n, el_task_fn *fn)
{
    el_pool_run(loop->run->pool, n, ROWS_PER_CHUNK, fn, loop);
}

static void written(struct el_run *run, enum el_buffer b, uint64_t n)
{
    run->b[b].n = n;
    el_activation_changed(run, b);
}

static void token_rows_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        el_weight_row(a->w, (uint64_t)a->run->rows[r].token, row_at(a->run, a->dst, r));
}

static void token_rows(struct el_run *run, const struct el_weight *w, enum el_buffer dst)
{
    struct loop a = {.run = run, .w = w, .dst = dst};
    over_rows(&a, run->n, token_rows_task);
    written(run, dst, run->n);
}

static void add_position_rows(struct el_run *run, const struct el_weight *w, enum el_buffer dst)
{
    /* Y is free here: it takes the row of the table. */
    for (uint32_t r = 0; r < run->n; r++) {
        el_weight_row(w, (uint64_t)run->rows[r].pos + run->hp->pos_offset, row_at(run, EL_B_Y, 0));
        run->kernels->add(row_at(run, dst, r), row_at(run, EL_B_Y, 0), w->n_in);
    }
    written(run, EL_B_Y, 0);
    written(run, dst, run->n);
}

/* Rows of d columns; bias may be NULL; y may be x. */
static void norm_rows(const struct el_run *run, const float *x, const float *gain, const float *bias, uint64_t n, uint64_t d,
                      float *y)
{
    if (run->hp->layer_norm)
        run->kernels->layernorm(x, gain, bias, run->hp->norm_eps, n, d, y);
    else
        run->kernels->rmsnorm(x, gain, run->hp->norm_eps, n, d, y);
}

static void norm_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_run *const run = a->run;
    const uint64_t d = run->b[a->src].n_cols;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        norm_rows(run, row_at(run, a->src, r), a->w->vec, a->bias ? a->bias->vec : NULL, 1, d, row_at(run, a->dst, r));
        if (a->quantize)
            el_activation_quantize(a->run, a->dst, r);
    }
}

static void norm(struct el_run *run, const struct el_weight *gain, const struct el_weight *bias, enum el_buffer src,
                 enum el_buffer dst)
{
    struct loop a = {.run = run, .w = gain, .bias = bias, .src = src, .dst = dst, .quantize = el_activation_begin(run, dst)};
    over_rows(&a, run->b[src].n, norm_task);
    written(run, dst, run->b[src].n);
    if (a.quantize)
        el_activation_made(run, dst);
}

static void norm_heads_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const uint64_t d = a->run->hp->d_head, n_gains = a->w->n_out * a->w->n_in;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        float *const x = row_at(a->run, a->dst, r);
        if (a->w->n_in == 1 && n_gains != d) {
            norm_rows(a->run, x, a->w->vec, NULL, 1, n_gains, x);
            continue;
        }
        for (uint64_t h = 0; h < a->n; h++)
            norm_rows(a->run, x + h * d, a->w->vec + (n_gains == d ? 0 : h * d), NULL, 1, d, x + h * d);
    }
}

static void norm_heads(struct el_run *run, const struct el_weight *gain, enum el_buffer x, uint32_t n_heads)
{
    struct loop a = {.run = run, .w = gain, .dst = x, .n = n_heads};
    over_rows(&a, run->b[x].n, norm_heads_task);
    written(run, x, run->b[x].n);
}

static void rope_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_run *const run = a->run;
    const uint32_t n_rot = run->hp->n_rot, d = run->hp->d_head;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        for (uint32_t h = 0; h < a->n; h++)
            run->kernels->rope(row_at(run, a->dst, r) + (uint64_t)h * d, a->rope->cos + r * (n_rot / 2),
                               a->rope->sin + r * (n_rot / 2), n_rot);
}

static void rope(struct el_run *run, uint32_t l, enum el_buffer x, uint32_t n_heads)
{
    struct loop a = {.run = run, .dst = x, .n = n_heads, .rope = &run->rope};
    if (run->hp->rope_theta_local != 0 && el_arch_is_local(run->hp, l))
        a.rope = &run->rope_local;
    over_rows(&a, run->b[x].n, rope_task);
    written(run, x, run->b[x].n);
}

/* y = act(x) [n]; y may be x. */
static void act_row(const struct el_run *run, const float *x, uint64_t n, float *y)
{
    switch (run->hp->act) {
    case EL_FN_SILU:
        for (uint64_t i = 0; i < n; i++)
            y[i] = x[i] / (1.0f + expf(-x[i]));
        break;
    case EL_FN_GELU_TANH: run->kernels->gelu_tanh(x, n, y); break;
    case EL_FN_GELU_ERF:
        for (uint64_t i = 0; i < n; i++)
            y[i] = (float)(0.5 * (double)x[i] * (1.0 + erf((double)x[i] * 0.70710678118654752440)));
        break;
    case EL_FN_RELU:
        for (uint64_t i = 0; i < n; i++)
            y[i] = x[i] < 0 ? 0 : x[i]; /* a NaN stays one */
        break;
    }
}

static void act_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        act_row(a->run, row_at(a->run, a->dst, r), a->run->b[a->dst].n_cols, row_at(a->run, a->dst, r));
}

static void act(struct el_run *run, enum el_buffer x)
{
    struct loop a = {.run = run, .dst = x};
    over_rows(&a, run->b[x].n, act_task);
    written(run, x, run->b[x].n);
}

static void act_mul_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const uint64_t n = a->run->b[a->dst].n_cols;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        float *const gate = row_at(a->run, a->dst, r);
        const float *const up = row_at(a->run, a->src, r);
        if (a->run->hp->act == EL_FN_SILU) {
            a->run->kernels->silu_mul(gate, up, n, gate);
        } else {
            act_row(a->run, gate, n, gate);
            for (uint64_t i = 0; i < n; i++)
                gate[i] *= up[i];
        }
        if (a->quantize)
            el_activation_quantize(a->run, a->dst, r);
    }
}

static void act_mul(struct el_run *run, enum el_buffer gate, enum el_buffer up)
{
    struct loop a = {.run = run, .src = up, .dst = gate, .quantize = el_activation_begin(run, gate)};
    over_rows(&a, run->b[gate].n, act_mul_task);
    written(run, gate, run->b[gate].n);
    if (a.quantize)
        el_activation_made(run, gate);
}

static void scale_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        float *const x = row_at(a->run, a->dst, r);
        for (uint64_t i = 0; i < a->run->b[a->dst].n_cols; i++)
            x[i] *= a->factor;
    }
}

static void scale(struct el_run *run, enum el_buffer x, float factor)
{
    struct loop a = {.run = run, .dst = x, .factor = factor};
    over_rows(&a, run->b[x].n, scale_task);
    written(run, x, run->b[x].n);
}

static void cap_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        el_soft_cap(row_at(a->run, a->dst, r), a->run->b[a->dst].n_cols, a->factor);
}

static void cap(struct el_run *run, enum el_buffer x, float cap_value)
{
    struct loop a = {.run = run, .dst = x, .factor = cap_value};
    over_rows(&a, run->b[x].n, cap_task);
    written(run, x, run->b[x].n);
}

static void gate_rows_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        float *const x = row_at(a->run, a->dst, r);
        const float share = 1.0f / (1.0f + expf(-row_at(a->run, a->src, r)[0]));
        for (uint64_t i = 0; i < a->run->b[a->dst].n_cols; i++)
            x[i] *= share;
    }
}

static void gate_rows(struct el_run *run, enum el_buffer x, enum el_buffer gate)
{
    struct loop a = {.run = run, .src = gate, .dst = x};
    over_rows(&a, run->b[x].n, gate_rows_task);
    written(run, x, run->b[x].n);
}

static void add_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        a->run->kernels->add(row_at(a->run, a->dst, r), row_at(a->run, a->src, r), a->run->b[a->dst].n_cols);
}

static void add(struct el_run *run, enum el_buffer dst, enum el_buffer src)
{
    struct loop a = {.run = run, .src = src, .dst = dst};
    over_rows(&a, run->b[dst].n, add_task);
    written(run, dst, run->b[dst].n);
}

static void take_out_rows(struct el_run *run, enum el_buffer src, enum el_buffer dst)
{
    for (uint32_t i = 0; i < run->n_out; i++)
        memcpy(row_at(run, dst, i), row_at(run, src, run->out_rows[i]), run->b[src].n_cols * sizeof(float));
    written(run, dst, run->n_out);
}

/* ---- experts ---- */

/*
 * The n_used largest logits of one row and their share of the softmax over all; renormalised that is the softmax over the chosen,
 * since the common denominator falls out. A NaN is never larger, so that any input gives distinct experts.
 */
static void route_row(const float *logits, uint32_t n_experts, uint32_t n_used, bool renormalise, uint32_t *pick, float *p)
{
    for (uint32_t k = 0; k < n_used; k++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t e = 0; e < n_experts; e++) {
            bool taken = false;
            for (uint32_t j = 0; j < k && !taken; j++)
                taken = pick[j] == e;
            if (!taken && (best == UINT32_MAX || logits[e] > logits[best]))
                best = e;
        }
        pick[k] = best;
    }
    double sum = 0;
    const uint32_t n_summed = renormalise ? n_used : n_experts;
    for (uint32_t k = 0; k < n_summed; k++)
        sum += exp((double)logits[renormalise ? pick[k] : k] - (double)logits[pick[0]]);
    for (uint32_t k = 0; k < n_used; k++)
        p[k] = (float)(exp((double)logits[pick[k]] - (double)logits[pick[0]]) / sum);
}

static void route_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_routing *const to = &a->run->routing;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        route_row(row_at(a->run, a->src, r), a->run->hp->n_experts, a->n, !a->run->hp->experts_as_they_are, to->pick + r * a->n,
                  to->pick_p + r * a->n);
}

static void sort_entries(uint32_t *entry, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && entry[j] < entry[j - 1]; j--) {
            const uint32_t t = entry[j];
            entry[j] = entry[j - 1];
            entry[j - 1] = t;
        }
}

static void route(struct el_run *run, enum el_buffer logits, uint32_t n_used)
{
    const uint32_t n = (uint32_t)run->b[logits].n, n_experts = run->hp->n_experts;
    struct el_routing *const to = &run->routing;
    struct loop a = {.run = run, .src = logits, .n = n_used};
    over_rows(&a, n, route_task);
    /* Counting sort by expert keeps rows in order, so that a batch is summed as its rows alone would be. */
    memset(to->start, 0, (n_experts + 1) * sizeof *to->start);
    const uint64_t n_picks = (uint64_t)n * n_used;
    for (uint64_t i = 0; i < n_picks; i++)
        to->start[to->pick[i] + 1]++;
    for (uint32_t e = 0; e < n_experts; e++)
        to->start[e + 1] += to->start[e];
    for (uint64_t i = 0; i < n_picks; i++) {
        const uint32_t at = to->start[to->pick[i]]++;
        to->row[at] = (uint32_t)(i / n_used);
        to->p[at] = to->pick_p[i];
        to->entry[i] = at;
    }
    for (uint32_t e = n_experts; e > 0; e--)
        to->start[e] = to->start[e - 1];
    to->start[0] = 0;
    to->n_used = n_used;
    for (uint32_t r = 0; r < n; r++)
        sort_entries(to->entry + (uint64_t)r * n_used, n_used);
}

static void scatter_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_run *const run = a->run;
    const struct el_routing *const to = &run->routing;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        for (uint32_t k = 0; k < to->n_used; k++) {
            const uint32_t i = to->entry[r * to->n_used + k];
            if (i >= a->first && i < a->end)
                run->kernels->axpy(row_at(run, a->dst, r), to->p[i], row_at(run, a->src, i - a->first), run->b[a->dst].n_cols);
        }
}

static void scatter_add(struct el_run *run, uint32_t e0, uint32_t e1, enum el_buffer src, enum el_buffer dst)
{
    const uint32_t *const start = run->routing.start;
    struct loop a = {.run = run, .src = src, .dst = dst, .first = start[e0], .end = start[e1]};
    over_rows(&a, run->b[dst].n, scatter_task);
    written(run, dst, run->b[dst].n);
}

static bool all_finite(struct el_run *run, enum el_buffer x)
{
    const struct el_rows_buf *const b = &run->b[x];
    for (uint64_t r = 0; r < b->n; r++)
        if (!run->kernels->all_finite(row_at(run, x, r), b->n_cols))
            return false;
    return true;
}

const struct el_ops el_ops_cpu = {
    .token_rows = token_rows,
    .add_position_rows = add_position_rows,
    .norm = norm,
    .norm_heads = norm_heads,
    .linear = el_linear,
    .rope = rope,
    .attention = el_attention,
    .act = act,
    .act_mul = act_mul,
    .scale = scale,
    .cap = cap,
    .add = add,
    .take_out_rows = take_out_rows,
    .gate_rows = gate_rows,
    .route = route,
    .gather = el_linear_gather,
    .linear_experts = el_linear_experts,
    .scatter_add = scatter_add,
    .all_finite = all_finite,
};
