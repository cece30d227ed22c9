/*
 * AWQ: columns that meet large activations are scaled up before rounding, so that they are rounded finer, and what they read is
 * scaled down where it is made (Lin et al., arXiv:2306.00978, section 3.2). For every link of the wiring that takes scales,
 *
 *     s = mean|x|^a / sqrt(max min),    a of 0, 1/20 .. 19/20 that minimises  sum tr(D H D^T),  D = W - Q(W diag(s)) diag(s)^-1
 *
 * over the matrices that read the link and will be quantized, in their encodings. The second half of the paper, cutting off the
 * range of each block, is a method of its own that chooses codes (clip.c): `awq` alone is this and that.
 *
 * Where we go on from the paper:
 * - Q takes the scales of blocks that the encoding's own search finds, not those of the extremes: what comes after this does so
 *   too, and by extremes scales look better than they are. (books-4m at G3_128, 8 windows: KLD 0.0279, and 0.0292 by extremes.)
 * - Its program measures the error of the whole attention or MLP with samples. tr(D H D^T) is that of the matrices' own outputs,
 *   over all tokens of the calibration; H comes from the statistics. Without it, sum E x_j^2 D_j^2.
 * - Where query heads share a KV head, the output projection has one scale for all of them (the program leaves it out then).
 * - Of a mixture's experts each is measured by its own tokens, and the errors are added up by how many these are.
 * - Large matrices are measured by a sample of their rows, evenly spaced: of all that a place has, MOST_WEIGHTS numbers or as
 *   many as cost MOST_PRODUCTS multiplications; of each matrix MIN_ROWS.
 */
#include "base/mem.h"
#include "quant/channels.h"
#include "quant/scales.h"

enum { MIN_ROWS = 32 };
static const double MOST_WEIGHTS = 1 << 17, MOST_PRODUCTS = 1e11;

static enum el_status mark(struct el_fold *fold, const struct el_method_opts *opts, struct el_err *err)
{
    return el_channels_mark(fold, "awq", opts, err);
}

static enum el_status no_memory(const struct el_fold_place *place, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "awq: out of memory for the search at '%s'", place->name);
}

/* A consumer's expert that reads the input `in`. */
static bool reads(const struct el_fold_task *task, const struct el_fold_end *end, const struct el_channels_input *in)
{
    const struct el_stats_matrix *const m =
        el_channels_is_quantized(task, end) ? el_fold_stats_find(task->fold, task->stats, end->name) : NULL;
    return m && m->input == in->stats->input && in->expert < end->n_experts;
}

/* Rows of all consumers of group g together, each expert's counted. */
static double all_rows(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group)
{
    double n = 0.0;
    for (size_t k = 0; k < place->n_consumers; k++) {
        uint32_t first;
        if (el_channels_is_quantized(task, &place->consumers[k]))
            n += (double)place->consumers[k].n_rows * el_channels_experts(place, &place->consumers[k], group, &first);
    }
    return n;
}

/* Reads a sample of the rows of one expert of a consumer. *rows: el_free() it, after a failure too. */
static enum el_status sample(const struct el_fold_task *task, const struct el_fold_place *place, const struct el_fold_end *end,
                             uint32_t expert, double share, struct el_scales_matrix *m, float **rows, struct el_err *err)
{
    const double n_in = (double)end->n_in, by_weights = MOST_WEIGHTS / n_in;
    const double by_products = MOST_PRODUCTS / (EL_SCALES_STEPS * n_in * n_in);
    const double wanted = share * (double)end->n_rows * (by_weights < by_products ? by_weights : by_products);
    m->n_rows = wanted < MIN_ROWS ? MIN_ROWS : wanted < (double)end->n_rows ? (uint64_t)wanted : end->n_rows;
    m->n_rows = m->n_rows < end->n_rows ? m->n_rows : end->n_rows;
    *rows = el_alloc_array((size_t)(m->n_rows * end->n_in), sizeof **rows);
    float *const w = *rows;
    m->w = w;
    if (!w)
        return no_memory(place, err);
    if (m->n_rows == end->n_rows)
        return el_fold_rows(task->fold, end, expert, 0, end->n_rows, w, err);
    for (uint64_t r = 0; r < m->n_rows; r++)
        EL_TRY(el_fold_rows(task->fold, end, expert, (2 * r + 1) * end->n_rows / (2 * m->n_rows), 1, w + r * end->n_in, err));
    return EL_OK;
}

/* What is known of an input's columns: h may be NULL. */
struct knowledge {
    double *h;
    float *importance;
};

static enum el_status know(const struct el_fold_task *task, const struct el_fold_place *place, const struct el_channels_input *in,
                           uint64_t n_in, struct knowledge *out, struct el_err *err)
{
    const size_t n = (size_t)n_in;
    out->importance = el_alloc_array(n, sizeof *out->importance);
    if (!out->importance)
        return no_memory(place, err);
    EL_TRY(el_fold_importance(task->fold, task->stats, in->stats, in->name, in->expert, out->importance, err));
    if (!(in->stats->has & EL_STATS_HESSIAN))
        return EL_OK;
    out->h = el_alloc_array(n * n, sizeof *out->h);
    if (!out->h)
        return no_memory(place, err);
    for (uint64_t r = 0; r < n_in; r += EL_STATS_TILE) {
        const uint64_t rows = n_in - r < EL_STATS_TILE ? n_in - r : EL_STATS_TILE;
        EL_TRY(el_fold_hessian(task->fold, task->stats, in->stats, in->name, in->expert, r, rows, out->h + r * n_in, err));
    }
    for (size_t k = 0; k < n * n; k++)
        out->h[k] /= in->n_tokens;
    return EL_OK;
}

/* Adds the errors of all consumers that read one input. */
static enum el_status add_input(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group,
                                const struct el_channels *c, const struct el_channels_input *in, double *loss, struct el_err *err)
{
    struct knowledge known = {NULL, NULL};
    size_t n = 0;
    const double share = 1.0 / all_rows(task, place, group);
    struct el_scales_matrix *const m = el_calloc_array(place->n_consumers, sizeof *m);
    float **const rows = el_calloc_array(place->n_consumers, sizeof *rows);
    enum el_status status = m && rows ? know(task, place, in, c->n_in, &known, err) : no_memory(place, err);
    for (size_t k = 0; k < place->n_consumers && status == EL_OK; k++) {
        const struct el_fold_end *const end = &place->consumers[k];
        if (!reads(task, end, in))
            continue;
        m[n] = (struct el_scales_matrix){.channel = c->channel,
                                         .h = known.h,
                                         .importance = known.importance,
                                         .n_in = c->n_in,
                                         .enc = task->enc[end->tensor],
                                         .effort = EL_ENCODE_SEARCH};
        status = sample(task, place, end, in->expert, share, &m[n], &rows[n], err);
        m[n].factor = in->n_tokens * (double)end->n_rows / (double)m[n].n_rows;
        n++;
    }
    if (status == EL_OK)
        status = el_scales_awq(m, n, c->mean, place->n_channels, task->pool, loss, err);
    for (size_t k = 0; k < n; k++)
        el_free(rows[k]);
    el_free(rows);
    el_free(m);
    el_free(known.h);
    el_free(known.importance);
    return status;
}

static enum el_status search(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group, float *s,
                             struct el_err *err)
{
    struct el_channels c;
    double loss[EL_SCALES_STEPS] = {0.0};
    EL_TRY(el_channels_open(task, place, group, &c, err));
    enum el_status status = EL_OK;
    for (size_t i = 0; i < c.n_inputs && status == EL_OK; i++)
        status = add_input(task, place, group, &c, &c.inputs[i], loss, err);
    if (status == EL_OK)
        el_scales_awq_at(c.mean, place->n_channels, el_scales_best(loss), s);
    el_channels_release(&c);
    return status;
}

static enum el_status decide(const struct el_fold_task *task, struct el_err *err)
{
    for (size_t i = 0; el_fold_place_at(task->fold, i); i++) {
        const struct el_fold_place *const place = el_fold_place_at(task->fold, i);
        if (!el_channels_taken(task->fold, i, task->opts))
            continue;
        float *const s = el_alloc_array((size_t)(place->n_groups * place->n_channels), sizeof *s);
        enum el_status status = s ? EL_OK : no_memory(place, err);
        for (uint32_t g = 0; g < place->n_groups && status == EL_OK; g++)
            status = search(task, place, g, s + g * place->n_channels, err);
        if (status == EL_OK)
            status = el_fold_gain(task->fold, place, s, err);
        el_free(s);
        EL_TRY(status);
    }
    return EL_OK;
}

static uint64_t nbytes(const struct el_fold_task *task, unsigned n_threads)
{
    uint64_t most = 0;
    for (size_t i = 0; el_fold_place_at(task->fold, i); i++) {
        const struct el_fold_place *const place = el_fold_place_at(task->fold, i);
        if (!el_channels_taken(task->fold, i, task->opts))
            continue;
        const uint64_t n_in = place->consumers[0].n_in;
        const struct el_stats_matrix *const m = el_fold_stats_find(task->fold, task->stats, place->consumers[0].name);
        uint64_t n_rows = (uint64_t)MOST_WEIGHTS / n_in;
        for (size_t k = 0; k < place->n_consumers; k++)
            n_rows += place->consumers[k].n_rows < MIN_ROWS ? place->consumers[k].n_rows : MIN_ROWS;
        const uint64_t sum = (m && m->has & EL_STATS_HESSIAN ? n_in * n_in * sizeof(double) : 0) + n_rows * n_in * sizeof(float) +
                             el_scales_nbytes(n_rows, n_in, place->n_channels, n_threads) + el_channels_nbytes(place);
        most = sum > most ? sum : most;
    }
    return most;
}

const struct el_fold_method el_fold_method_awq = {
    .name = "awq",
    .about = "columns that meet large activations scaled up before rounding (needs statistics)",
    .then = "clip",
    .needs_importance = true,
    .needs_abs = true,
    .mark = mark,
    .decide = decide,
    .nbytes = nbytes,
};
