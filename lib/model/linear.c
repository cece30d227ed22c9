/* The first door: every multiplication with a weight. See linear.h. */
#include "model/linear.h"

#include <assert.h>
#include <string.h>

/* The buffer that a buffer is a range of columns of, or itself. */
static enum el_buffer whole_of(enum el_buffer b)
{
    if (b == EL_B_Q || b == EL_B_K || b == EL_B_V)
        return EL_B_QKV;
    return b == EL_B_GATE || b == EL_B_UP ? EL_B_GATE_UP : b;
}

static struct el_activation *derived(struct el_run *run, enum el_buffer b)
{
    return b == EL_B_EXPERT ? &run->expert_act : &run->act;
}

void el_activation_changed(struct el_run *run, enum el_buffer b)
{
    struct el_activation *const act = derived(run, b);
    if (whole_of(act->of) == whole_of(b))
        act->of = EL_B_COUNT;
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
    const struct el_activation *to;
};

static void quantize_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct quantize_job *const job = arg;
    const struct el_act *const x = job->x;
    const struct el_activation *const to = job->to;
    const uint64_t per_scale = x->n_pad / EL_ACT_BLOCK, per_sum = x->n_pad / 16;
    (void)thread;
    const float *const from = x->f32 + begin * x->f32_stride;
    int8_t *const q8 = to->q8 + begin * x->n_pad;
    float *const scale = to->scale + begin * per_scale;
    int16_t *const sum = to->sum + begin * per_sum;
    const uint32_t most = job->run->act_rule.most;
    if (most > 0)
        el_quantize_act_to(from, x->f32_stride, end - begin, x->n_in, most, job->run->act_rule.by_row, q8, scale, sum);
    else
        job->run->kernels->quantize_act(from, x->f32_stride, end - begin, x->n_in, q8, scale, sum);
    el_act_sums(to->scale + begin * per_scale, to->sum + begin * per_sum, (end - begin) * per_scale,
                to->sums + begin * per_scale);
}

/* What the int8 form says, as floats. */
static void round_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct quantize_job *const job = arg;
    const struct el_act *const x = job->x;
    const struct el_activation *const to = job->to;
    (void)thread;
    for (uint64_t r = begin; r < end; r++)
        for (uint64_t k = 0; k < x->n_in; k++)
            to->rounded[r * x->n_in + k] =
                to->scale[r * (x->n_pad / EL_ACT_BLOCK) + k / EL_ACT_BLOCK] * (float)to->q8[r * x->n_pad + k];
}

static void change_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct quantize_job *const job = arg;
    const struct el_act *const x = job->x;
    float *const scratch = (float *)(void *)(job->run->scratch + thread * job->run->scratch_nbytes);
    for (uint64_t r = begin; r < end; r++)
        el_input_apply(job->to->input, x->f32 + r * x->f32_stride, x->n_in, job->to->changed + r * x->n_in, scratch);
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

/* The same as a weight's input (NULL: as they are), and in the forms that kernels want: int8, and floats that int8 stands for. */
static struct el_act activation(struct el_run *run, enum el_buffer src, const struct el_weight_input *input, bool want_q8,
                                bool want_rounded)
{
    struct el_act x = plain_activation(run, src);
    struct el_activation *const act = derived(run, src);
    struct quantize_job job = {run, &x, act};
    if (act->of != src || act->input != input) {
        act->of = src;
        act->input = input;
        act->has_q8 = act->has_rounded = false;
        if (input)
            el_pool_run(run->pool, x.n, QUANTIZE_ROWS, change_rows, &job);
    }
    if (input) {
        x.f32 = act->changed;
        x.f32_stride = x.n_in;
    }
    if ((want_q8 || want_rounded) && !act->has_q8) {
        el_pool_run(run->pool, x.n, QUANTIZE_ROWS, quantize_rows, &job);
        act->has_q8 = true;
    }
    if (want_rounded && !act->has_rounded) {
        el_pool_run(run->pool, x.n, QUANTIZE_ROWS, round_rows, &job);
        act->has_rounded = true;
    }
    if (want_rounded) {
        x.f32 = act->rounded;
        x.f32_stride = x.n_in;
    }
    if (act->has_q8) {
        x.q8 = act->q8;
        x.scale = act->scale;
        x.sum = act->sum;
        x.sums = act->sums;
    }
    return x;
}

static bool wants_q8(const struct el_run *run, const struct el_weight *w)
{
    const struct el_matrix m = el_matrix_as_stored(&w->m);
    return el_matmul_form(run->kernels, &m.enc) == EL_ACT_Q8;
}

/* Routers of floats choose experts by the activations as they are, whatever else is rounded: no method quantizes them. */
static bool reads_plain(const struct el_run *run, const struct el_weight *w)
{
    return (w->role == EL_R_FFN_ROUTER || w->role == EL_R_FFN_ROUTER_SHEXP) && !wants_q8(run, w);
}

/* ---- made by who writes the rows ---- */

void el_activation_plan(struct el_run *run)
{
    static const struct {
        enum el_role reader;
        enum el_buffer of;
    } readers[] = {
        {EL_R_ATTN_Q, EL_B_H},      {EL_R_ATTN_QKV, EL_B_H},  {EL_R_FFN_UP, EL_B_H},           {EL_R_FFN_GATE_UP, EL_B_H},
        {EL_R_FFN_UP_EXPS, EL_B_H}, {EL_R_FFN_DOWN, EL_B_GATE}, {EL_R_FFN_DOWN_EXPS, EL_B_GATE},
    };
    run->early_q8 = 0;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        const struct el_weight *const w = el_weight_at(run->weights, readers[i].reader, 0);
        if (w && !w->input && wants_q8(run, w))
            run->early_q8 |= 1u << readers[i].of;
    }
}

bool el_activation_begin(struct el_run *run, enum el_buffer b)
{
    if (!(run->early_q8 & 1u << b))
        return false;
    derived(run, b)->of = EL_B_COUNT;
    return true;
}

void el_activation_quantize(struct el_run *run, enum el_buffer b, uint64_t row)
{
    const struct el_act x = plain_activation(run, b);
    struct quantize_job job = {run, &x, derived(run, b)};
    quantize_rows(&job, row, row + 1, 0);
}

void el_activation_made(struct el_run *run, enum el_buffer b)
{
    struct el_activation *const act = derived(run, b);
    act->of = b;
    act->input = NULL;
    act->has_q8 = true;
    act->has_rounded = false;
}

/* ---- the product ---- */

/* One weight, or an expert's rows of it, by some rows of the input. */
struct product {
    const struct el_linear_job *job;
    uint32_t expert;
    uint64_t x0, n;              /* rows of the input, and of the output */
    uint64_t first_chunk, chunk; /* chunks are numbered through all products; rows of the weight per chunk */
};
enum { MOST_PRODUCTS = 64 };
struct products {
    struct el_run *run;
    struct el_act x, seen; /* what products read; what observers and routers see */
    struct product p[MOST_PRODUCTS];
    uint32_t n;
    uint64_t n_chunks;
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
    assert(x->q8);
    struct el_laid laid = w->laid;
    laid.data += expert * ((w->n_out + EL_STRIP_ROWS - 1) / EL_STRIP_ROWS) * laid.strip_nbytes;
    run->kernels->laid[laid.index](&laid, row0, n_rows, x, y, y_stride, scratch);
}

/* Rows x0 .. x0 + n of a batch. */
static struct el_act some_rows(const struct el_act *x, uint64_t x0, uint64_t n)
{
    struct el_act y = *x;
    y.n = n;
    y.f32 += x0 * x->f32_stride;
    if (x->q8) {
        y.q8 += x0 * x->n_pad;
        y.scale += x0 * (x->n_pad / EL_ACT_BLOCK);
        y.sum += x0 * (x->n_pad / 16);
        y.sums += x0 * (x->n_pad / EL_ACT_BLOCK);
    }
    return y;
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
        const struct el_rows_buf *const to = &run->b[p->job->dst];
        const uint64_t row0 = (c - p->first_chunk) * p->chunk;
        const uint64_t n_rows = w->n_out - row0 < p->chunk ? w->n_out - row0 : p->chunk;
        float *const y = to->f32 + p->x0 * to->stride + row0;
        const struct el_act x = some_rows(reads_plain(run, w) ? &ps->seen : &ps->x, p->x0, p->n);
        product(run, w, p->expert, row0, n_rows, &x, y, to->stride, run->scratch + thread * run->scratch_nbytes);
        for (uint64_t t = 0; w->bias && t < p->n; t++)
            run->kernels->add(y + t * to->stride, w->bias + row0, n_rows);
    }
}

static void run_products(struct products *ps)
{
    const struct el_run *const run = ps->run;
    for (uint32_t i = 0; i < ps->n; i++) {
        const struct el_act seen = some_rows(&ps->seen, ps->p[i].x0, ps->p[i].n);
        for (uint32_t o = 0; o < run->n_observers; o++)
            run->observers[o].fn(run->observers[o].user, ps->p[i].job->w, ps->p[i].expert, &seen);
    }
    el_pool_run(run->pool, ps->n_chunks, 1, multiply, ps);
    ps->n = 0;
    ps->n_chunks = 0;
}

static void add_product(struct products *ps, const struct el_linear_job *job, uint32_t expert, uint64_t x0, uint64_t n)
{
    if (ps->n == MOST_PRODUCTS)
        run_products(ps);
    const uint64_t chunk = chunk_rows(job->w->n_out);
    ps->p[ps->n++] = (struct product){job, expert, x0, n, ps->n_chunks, chunk};
    ps->n_chunks += (job->w->n_out + chunk - 1) / chunk;
}

/*
 * Job `first` and those behind it that read their input changed in the same way: all rows with a job's own expert when there
 * are no experts e0 .. e1, else the entries of each of these.
 */
static void run_jobs(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs, uint32_t first,
                     uint32_t e0, uint32_t e1)
{
    const struct el_weight_input *const input = jobs[first].w->input;
    const uint32_t *const start = run->routing.start;
    struct products ps;
    ps.run = run;
    ps.n = 0;
    ps.n_chunks = 0;
    bool want_q8 = false, want_rounded = false;
    for (uint32_t i = first; i < n_jobs; i++) {
        const struct el_weight *const w = jobs[i].w;
        const bool q8 = wants_q8(run, w);
        want_q8 = want_q8 || (w->input == input && q8);
        want_rounded = want_rounded || (w->input == input && !q8 && !reads_plain(run, w) && run->act_rule.most > 0);
    }
    ps.x = activation(run, src, input, want_q8, want_rounded);
    /* Observers see the columns in their own order, and not rounded: statistics know no other. */
    ps.seen = input && input->perm ? plain_activation(run, src) : ps.x;
    if (want_rounded && !(input && input->perm)) {
        const struct el_act plain = plain_activation(run, src);
        ps.seen.f32 = input ? derived(run, src)->changed : plain.f32;
        ps.seen.f32_stride = input ? plain.n_in : plain.f32_stride;
    }
    for (uint32_t e = e0; e < e1 || e == e0; e++) {
        const uint64_t x0 = e1 > e0 ? start[e] - start[e0] : 0, n = e1 > e0 ? start[e + 1] - start[e] : ps.x.n;
        for (uint32_t i = first; i < n_jobs && n > 0; i++)
            if (jobs[i].w->input == input)
                add_product(&ps, &jobs[i], e1 > e0 ? e : jobs[i].expert, x0, n);
    }
    run_products(&ps);
}

static void run_all(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs, uint32_t e0,
                    uint32_t e1)
{
    assert(n_jobs >= 1 && n_jobs <= EL_MAX_JOBS);
    const uint64_t n = run->b[src].n;
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n_jobs; i++) {
        const struct el_weight *const w = jobs[i].w;
        assert(w->n_in == run->b[src].n_cols && w->n_out <= run->b[jobs[i].dst].n_cols && jobs[i].expert < w->n_experts);
        uint32_t first = 0; /* the job that this one is done with */
        while (jobs[first].w->input != w->input)
            first++;
        if (first == i)
            run_jobs(run, src, jobs, n_jobs, i, e0, e1);
    }
    for (uint32_t i = 0; i < n_jobs; i++) {
        run->b[jobs[i].dst].n = n;
        el_activation_changed(run, jobs[i].dst);
    }
}

void el_linear(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs)
{
    run_all(run, src, jobs, n_jobs, 0, 0);
}

void el_linear_experts(struct el_run *run, enum el_buffer src, uint32_t e0, uint32_t e1, const struct el_linear_job *jobs,
                       uint32_t n_jobs)
{
    assert(e0 < e1 && run->b[src].n == run->routing.start[e1] - run->routing.start[e0]);
    run_all(run, src, jobs, n_jobs, e0, e1);
}

/* ---- rows for experts ---- */

struct gather_job {
    struct el_run *run;
    struct el_act from;
    const uint32_t *row; /* of each entry */
    bool f32, q8;
};

static void gather_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct gather_job *const job = arg;
    const struct el_act *const from = &job->from;
    const struct el_activation *const to = &job->run->expert_act;
    const struct el_rows_buf *const rows = &job->run->b[EL_B_EXPERT];
    const uint64_t n_pad = from->n_pad, per_scale = n_pad / EL_ACT_BLOCK, per_sum = n_pad / 16;
    (void)thread;
    for (uint64_t i = begin; i < end; i++) {
        const uint64_t r = job->row[i];
        if (job->f32)
            memcpy(rows->f32 + i * rows->stride, from->f32 + r * from->f32_stride, from->n_in * sizeof(float));
        if (job->q8) {
            memcpy(to->q8 + i * n_pad, from->q8 + r * n_pad, n_pad);
            memcpy(to->scale + i * per_scale, from->scale + r * per_scale, per_scale * sizeof *to->scale);
            memcpy(to->sum + i * per_sum, from->sum + r * per_sum, per_sum * sizeof *to->sum);
            memcpy(to->sums + i * per_scale, from->sums + r * per_scale, per_scale * sizeof *to->sums);
        }
    }
}

void el_linear_gather(struct el_run *run, enum el_buffer src, uint32_t e0, uint32_t e1, const struct el_linear_job *jobs,
                      uint32_t n_jobs)
{
    const uint32_t *const start = run->routing.start;
    struct gather_job job = {.run = run, .row = run->routing.row + start[e0], .f32 = run->n_observers > 0};
    for (uint32_t i = 0; i < n_jobs; i++) {
        const bool q8 = !jobs[i].w->input && wants_q8(run, jobs[i].w);
        job.q8 = job.q8 || q8;
        job.f32 = job.f32 || !q8;
    }
    job.from = activation(run, src, NULL, job.q8, false);
    run->b[EL_B_EXPERT].n = start[e1] - start[e0];
    el_activation_changed(run, EL_B_EXPERT);
    el_pool_run(run->pool, start[e1] - start[e0], QUANTIZE_ROWS, gather_rows, &job);
    if (job.q8)
        el_activation_made(run, EL_B_EXPERT);
}
