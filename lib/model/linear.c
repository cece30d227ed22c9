/* The first door: every multiplication with a weight. See linear.h. */
#include "model/linear.h"

#include <assert.h>

/* The buffer that a buffer is a range of columns of, or itself. */
static enum el_buffer whole_of(enum el_buffer b)
{
    if (b == EL_B_Q || b == EL_B_K || b == EL_B_V)
        return EL_B_QKV;
    return b == EL_B_GATE || b == EL_B_UP ? EL_B_GATE_UP : b;
}

void el_activation_changed(struct el_run *run, enum el_buffer b)
{
    if (whole_of(run->act.of) == whole_of(b))
        run->act.of = EL_B_COUNT;
}

void el_weight_row(const struct el_weight *w, uint64_t row, float *out)
{
    assert(row < w->m.n_rows && w->n_experts == 1);
    if (w->laid.data)
        el_laid_decode_row(&w->laid, row, out);
    else
        el_matrix_decode(&w->m, row, 1, out);
}

bool el_run_observe(struct el_run *run, el_observe_fn *fn, void *user)
{
    if (run->n_observers == EL_MAX_OBSERVERS)
        return false;
    run->observers[run->n_observers].fn = fn;
    run->observers[run->n_observers++].user = user;
    return true;
}

/* ---- the derived form ---- */

enum { QUANTIZE_ROWS = 8 };

struct quantize_job {
    struct el_run *run;
    const struct el_act *x;
};

static void quantize_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct quantize_job *const job = arg;
    const struct el_act *const x = job->x;
    const struct el_activation *const to = &job->run->act;
    const uint64_t per_scale = x->n_pad / EL_ACT_BLOCK, per_sum = x->n_pad / 16;
    (void)thread;
    job->run->kernels->quantize_act(x->f32 + begin * x->f32_stride, x->f32_stride, end - begin, x->n_in,
                                    to->q8 + begin * x->n_pad, to->scale + begin * per_scale, to->sum + begin * per_sum);
}

static void permute_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct quantize_job *const job = arg;
    const struct el_act *const x = job->x;
    const uint32_t *const perm = job->run->act.perm;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        const float *const from = x->f32 + r * x->f32_stride;
        float *const to = job->run->act.permuted + r * x->n_in;
        for (uint64_t k = 0; k < x->n_in; k++)
            to[k] = from[perm[k]];
    }
}

/* The rows of a buffer, without derived forms. */
static struct el_act plain_activation(const struct el_run *run, enum el_buffer src)
{
    const struct el_rows_buf *const b = &run->b[src];
    return (struct el_act){
        .n = b->n,
        .n_in = b->n_cols,
        .n_pad = (b->n_cols + EL_ACT_BLOCK - 1) / EL_ACT_BLOCK * EL_ACT_BLOCK,
        .f32 = b->f32,
        .f32_stride = b->stride,
    };
}

/* The same with its columns in an order (NULL: as they are), and in the form that kernels want. */
static struct el_act activation(struct el_run *run, enum el_buffer src, const uint32_t *perm, bool want_q8)
{
    struct el_act x = plain_activation(run, src);
    if (run->act.of != src || run->act.perm != perm) {
        run->act.of = src;
        run->act.perm = perm;
        run->act.has_q8 = false;
        struct quantize_job job = {run, &x};
        if (perm)
            el_pool_run(run->pool, x.n, QUANTIZE_ROWS, permute_rows, &job);
    }
    if (perm) {
        x.f32 = run->act.permuted;
        x.f32_stride = x.n_in;
    }
    if (want_q8 && !run->act.has_q8) {
        struct quantize_job job = {run, &x};
        el_pool_run(run->pool, x.n, QUANTIZE_ROWS, quantize_rows, &job);
        run->act.has_q8 = true;
    }
    if (run->act.has_q8) {
        x.q8 = run->act.q8;
        x.scale = run->act.scale;
        x.sum = run->act.sum;
    }
    return x;
}

/* ---- the product ---- */

struct product {
    const struct el_linear_job *job;
    uint64_t first_chunk, chunk; /* chunks are numbered through all jobs; rows per chunk */
    struct el_rows_buf *y;
};
struct products {
    struct el_run *run;
    struct el_act x;
    struct product p[EL_MAX_JOBS];
    uint32_t n;
};

/*
 * Rows per chunk: some 32 chunks for a large matrix, so that threads end together; never so few rows that a call costs more
 * than its work.
 */
static uint64_t chunk_rows(uint64_t n_out)
{
    enum { MIN_ROWS = 2 * EL_STRIP_ROWS, N_CHUNKS = 32 };
    const uint64_t rows = (n_out / N_CHUNKS + MIN_ROWS - 1) / MIN_ROWS * MIN_ROWS;
    return rows < MIN_ROWS ? MIN_ROWS : rows;
}

/* y [n, n_rows] = x times rows row0 .. of an expert. */
static void product(const struct el_run *run, const struct el_weight *w, uint32_t expert, uint64_t row0, uint64_t n_rows,
                    const struct el_act *x, float *y, uint64_t y_stride, void *scratch)
{
    if (!w->laid.data) {
        const struct el_matrix m = el_matrix_as_stored(&w->m);
        el_matmul(run->kernels, &m, expert * w->n_out + row0, n_rows, x, y, y_stride, scratch);
        return;
    }
    struct el_laid laid = w->laid;
    laid.data += expert * ((w->n_out + EL_STRIP_ROWS - 1) / EL_STRIP_ROWS) * laid.strip_nbytes;
    run->kernels->laid[laid.index](&laid, row0, n_rows, x, y, y_stride, scratch);
}

static void multiply(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct products *const ps = arg;
    const struct el_run *const run = ps->run;
    for (uint64_t c = begin; c < end; c++) {
        uint32_t i = ps->n - 1;
        while (ps->p[i].first_chunk > c)
            i--;
        const struct product *const p = &ps->p[i];
        const struct el_weight *const w = p->job->w;
        const uint64_t row0 = (c - p->first_chunk) * p->chunk;
        const uint64_t n_rows = w->n_out - row0 < p->chunk ? w->n_out - row0 : p->chunk;
        float *const y = p->y->f32 + row0;
        product(run, w, p->job->expert, row0, n_rows, &ps->x, y, p->y->stride, run->scratch + thread * run->scratch_nbytes);
        for (uint64_t t = 0; w->bias && t < ps->x.n; t++)
            run->kernels->add(y + t * p->y->stride, w->bias + row0, n_rows);
    }
}

/* Job `first` and those behind it that read their input in the same order of columns. */
static void run_jobs(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs, uint32_t first)
{
    const uint32_t *const perm = jobs[first].w->perm;
    struct products ps = {.run = run};
    uint64_t n_chunks = 0;
    bool want_q8 = false;
    for (uint32_t i = first; i < n_jobs; i++) {
        const struct el_weight *const w = jobs[i].w;
        if (w->perm != perm)
            continue;
        const struct el_matrix m = el_matrix_as_stored(&w->m);
        ps.p[ps.n] = (struct product){&jobs[i], n_chunks, chunk_rows(w->n_out), &run->b[jobs[i].dst]};
        n_chunks += (w->n_out + ps.p[ps.n].chunk - 1) / ps.p[ps.n].chunk;
        ps.n++;
        want_q8 = want_q8 || el_matmul_form(run->kernels, &m.enc) == EL_ACT_Q8;
    }
    ps.x = activation(run, src, perm, want_q8);
    /* Observers see the columns in their own order: statistics know no other. */
    const struct el_act seen = perm ? plain_activation(run, src) : ps.x;
    for (uint32_t i = 0; i < ps.n; i++)
        for (uint32_t o = 0; o < run->n_observers; o++)
            run->observers[o].fn(run->observers[o].user, ps.p[i].job->w, ps.p[i].job->expert, &seen);
    el_pool_run(run->pool, n_chunks, 1, multiply, &ps);
}

void el_linear(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs)
{
    assert(n_jobs >= 1 && n_jobs <= EL_MAX_JOBS);
    const uint64_t n = run->b[src].n;
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n_jobs; i++) {
        const struct el_weight *const w = jobs[i].w;
        assert(w->n_in == run->b[src].n_cols && w->n_out <= run->b[jobs[i].dst].n_cols && jobs[i].expert < w->n_experts);
        uint32_t first = 0; /* the job that this one is done with */
        while (jobs[first].w->perm != w->perm)
            first++;
        if (first == i)
            run_jobs(run, src, jobs, n_jobs, i);
    }
    for (uint32_t i = 0; i < n_jobs; i++) {
        run->b[jobs[i].dst].n = n;
        el_activation_changed(run, jobs[i].dst);
    }
}
