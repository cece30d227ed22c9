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
        el_weight_row(w, run->rows[r].pos, row_at(run, EL_B_Y, 0));
        run->kernels->add(row_at(run, dst, r), row_at(run, EL_B_Y, 0), w->n_in);
    }
    written(run, EL_B_Y, 0);
    written(run, dst, run->n);
}

static void norm_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_run *const run = a->run;
    const uint64_t d = run->b[a->src].n_cols;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        const float *const x = row_at(run, a->src, r);
        float *const y = row_at(run, a->dst, r);
        if (run->hp->layer_norm)
            run->kernels->layernorm(x, a->w->vec, a->bias ? a->bias->vec : NULL, run->hp->norm_eps, 1, d, y);
        else
            run->kernels->rmsnorm(x, a->w->vec, run->hp->norm_eps, 1, d, y);
    }
}

static void norm(struct el_run *run, const struct el_weight *gain, const struct el_weight *bias, enum el_buffer src,
                 enum el_buffer dst)
{
    struct loop a = {.run = run, .w = gain, .bias = bias, .src = src, .dst = dst};
    over_rows(&a, run->b[src].n, norm_task);
    written(run, dst, run->b[src].n);
}

static void rope_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_run *const run = a->run;
    const uint32_t n_rot = run->hp->n_rot, d = run->hp->d_head;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        for (uint32_t h = 0; h < a->n; h++)
            run->kernels->rope(row_at(run, a->dst, r) + (uint64_t)h * d, run->rope_cos + r * (n_rot / 2),
                               run->rope_sin + r * (n_rot / 2), n_rot);
}

static void rope(struct el_run *run, enum el_buffer x, uint32_t n_heads)
{
    struct loop a = {.run = run, .dst = x, .n = n_heads};
    over_rows(&a, run->b[x].n, rope_task);
    written(run, x, run->b[x].n);
}

static void silu_mul_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        float *const gate = row_at(a->run, a->dst, r);
        a->run->kernels->silu_mul(gate, row_at(a->run, a->src, r), a->run->b[a->dst].n_cols, gate);
    }
}

static void silu_mul(struct el_run *run, enum el_buffer gate, enum el_buffer up)
{
    struct loop a = {.run = run, .src = up, .dst = gate};
    over_rows(&a, run->b[gate].n, silu_mul_task);
    written(run, gate, run->b[gate].n);
}

static void gelu_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const uint64_t n = a->run->b[a->dst].n_cols;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        float *const x = row_at(a->run, a->dst, r);
        if (!a->run->hp->gelu_erf) {
            a->run->kernels->gelu_tanh(x, n, x);
            continue;
        }
        for (uint64_t i = 0; i < n; i++)
            x[i] = (float)(0.5 * (double)x[i] * (1.0 + erf((double)x[i] * 0.70710678118654752440)));
    }
}

static void gelu(struct el_run *run, enum el_buffer x)
{
    struct loop a = {.run = run, .dst = x};
    over_rows(&a, run->b[x].n, gelu_task);
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
 * The n_used largest logits of one row and their share of the softmax over all, renormalised: the softmax over the chosen,
 * since the common denominator falls out. A NaN is never larger, so that any input gives distinct experts.
 */
static void route_row(const float *logits, uint32_t n_experts, uint32_t n_used, uint32_t *pick, float *p)
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
    for (uint32_t k = 0; k < n_used; k++)
        sum += exp((double)logits[pick[k]] - (double)logits[pick[0]]);
    for (uint32_t k = 0; k < n_used; k++)
        p[k] = (float)(exp((double)logits[pick[k]] - (double)logits[pick[0]]) / sum);
}

static void route_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct loop *const a = arg;
    const struct el_routing *const to = &a->run->routing;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        route_row(row_at(a->run, a->src, r), a->run->hp->n_experts, a->n, to->pick + r * a->n, to->pick_p + r * a->n);
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
    }
    for (uint32_t e = n_experts; e > 0; e--)
        to->start[e] = to->start[e - 1];
    to->start[0] = 0;
}

static void gather(struct el_run *run, uint32_t expert, enum el_buffer src, enum el_buffer dst)
{
    const struct el_routing *const from = &run->routing;
    const uint32_t begin = from->start[expert], n = from->start[expert + 1] - begin;
    for (uint32_t i = 0; i < n; i++)
        memcpy(row_at(run, dst, i), row_at(run, src, from->row[begin + i]), run->b[src].n_cols * sizeof(float));
    written(run, dst, n);
}

static void scatter_add(struct el_run *run, uint32_t expert, enum el_buffer src, enum el_buffer dst)
{
    const struct el_routing *const to = &run->routing;
    const uint32_t begin = to->start[expert], n = to->start[expert + 1] - begin;
    for (uint32_t i = 0; i < n; i++)
        run->kernels->axpy(row_at(run, dst, to->row[begin + i]), to->p[begin + i], row_at(run, src, i), run->b[dst].n_cols);
    el_activation_changed(run, dst);
}

static bool all_finite(struct el_run *run, enum el_buffer x)
{
    const struct el_rows_buf *const b = &run->b[x];
    for (uint64_t r = 0; r < b->n; r++) {
        /* x * 0 is 0 for a finite x and NaN else, and NaN stays in the sum. */
        const float *const row = row_at(run, x, r);
        float sum = 0;
        for (uint64_t i = 0; i < b->n_cols; i++)
            sum += row[i] * 0.0f;
        if (sum != 0.0f)
            return false;
    }
    return true;
}

const struct el_ops el_ops_cpu = {
    .token_rows = token_rows,
    .add_position_rows = add_position_rows,
    .norm = norm,
    .linear = el_linear,
    .rope = rope,
    .attention = el_attention,
    .silu_mul = silu_mul,
    .gelu = gelu,
    .add = add,
    .take_out_rows = take_out_rows,
    .route = route,
    .gather = gather,
    .scatter_add = scatter_add,
    .all_finite = all_finite,
};
