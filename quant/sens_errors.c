/*
 * Errors of choices, from a sample of rows: rows are independent given the columns in every method, so that what evenly spaced
 * rows lose, times all rows over those, estimates what the matrix loses. Measured on the 36 matrices of books-4m (128 to 4,096
 * rows) in 12 types: the Hessian error from 64, 128, 256 rows is off by 2.6, 1.2, 0.5 % (root mean square; at most by 8, 4, 2 %),
 * and from one type of a matrix to another, which is what scaling leaves, by 1.0, 0.6, 0.3 %.
 *
 *   weight     sum |w - w'|^2 / sum |w|^2
 *   hessian    tr((W - W') H (W - W')^T) / tokens, as the method itself says where it knows, else from the sums of products; with
 *              importance alone from H's diagonal; without statistics with H = 1. Experts count the same, as in packing
 *   shiftadd   You et al., ShiftAddLLM, arXiv:2406.05981, section 4.3: IS = W / diag(R), R upper triangular and R^T R the inverse
 *              of the damped H; C = |IS|_F STD(IS)^2. With H = U D U^T (quant/solve.h, no order) R_jj^2 is 1 / D_j, so that IS is
 *              W sqrt(D). Without sums of products D is the importance, without statistics 1
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "kernels/kernels.h"
#include "quant/make.h"
#include "quant/measure.h"
#include "quant/sensitivity.h"
#include "quant/solve.h"
#include "tensor/grid.h"

enum {
    EXPERTS = 8, /* of a stack that are looked at, where rows are sampled */
    CHUNK = 16,  /* rows that a thread multiplies with the sums of products at a time */
    TILE = EL_STATS_TILE,
};

/* The sample of one matrix or expert. */
struct sample {
    const struct el_sens *s;
    const struct el_tensor *t;
    const struct el_stats *stats;
    const struct el_stats_matrix *m; /* NULL: nothing is known of its inputs */
    uint64_t expert_rows, n;         /* rows of the matrix, of the sample */
    uint32_t n_experts, n_looked;
    double scale; /* what a sum over the sample stands for */
    double n_tokens;
    uint64_t *row;     /* [n] */
    float *x;          /* [n, n_in] */
    float *importance; /* [n_in]; NULL: m is */
};

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for errors of choices");
}

static enum el_status sample_open(struct sample *p, const struct el_sens *s, size_t row, struct el_err *err)
{
    const struct el_tensor *const t = &s->source->tensors[s->rows[row].tensor];
    *p = (struct sample){.s = s, .t = t, .stats = s->columns[0].plan->stats, .n_experts = el_make_n_experts(t)};
    p->m = p->stats ? el_stats_find(p->stats, t->name) : NULL;
    p->expert_rows = t->n_rows / p->n_experts;
    const bool all = s->opts.n_rows >= p->expert_rows;
    p->n = all ? p->expert_rows : s->opts.n_rows;
    p->n_looked = all || p->n_experts < EXPERTS ? p->n_experts : EXPERTS;
    p->scale = (double)p->expert_rows / (double)p->n * (double)p->n_experts / (double)p->n_looked;
    p->row = el_alloc_array((size_t)p->n, sizeof *p->row);
    p->x = el_alloc_array((size_t)p->n, (size_t)t->n_in * sizeof *p->x);
    p->importance = p->m ? el_alloc_array((size_t)t->n_in, sizeof *p->importance) : NULL;
    return p->row && p->x && (p->importance || !p->m) ? EL_OK : no_memory(err);
}

static void sample_close(struct sample *p)
{
    el_free(p->row);
    el_free(p->x);
    el_free(p->importance);
}

/* i-th of k things evenly spaced among n. */
static uint64_t spaced(uint64_t i, uint64_t k, uint64_t n)
{
    return (2 * i + 1) * n / (2 * k);
}

/* What is known of the inputs of an expert; nothing where the statistics are not finite, as in packing. */
static enum el_status sample_columns(struct sample *p, uint32_t expert, struct el_err *err)
{
    p->n_tokens = 0.0;
    if (!p->m)
        return EL_OK;
    enum el_status status = el_stats_count(p->stats, p->m, expert, &p->n_tokens, err);
    if (status == EL_OK)
        status = el_stats_importance(p->stats, p->m, expert, p->importance, err);
    if (status != EL_E_FORMAT)
        return status;
    p->n_tokens = 0.0;
    for (uint64_t j = 0; j < p->t->n_in; j++)
        p->importance[j] = 1.0f;
    return EL_OK;
}

/* Reads the rows of the i-th expert that is looked at; its number. */
static enum el_status sample_read(struct sample *p, uint32_t i, uint32_t *expert, struct el_err *err)
{
    *expert = (uint32_t)spaced(i, p->n_looked, p->n_experts);
    for (uint64_t r = 0; r < p->n; r++)
        p->row[r] = *expert * p->expert_rows + spaced(r, p->n, p->expert_rows);
    EL_TRY(sample_columns(p, *expert, err));
    return el_make_read(p->s->source, p->t, p->row, 0, p->n, p->x, err);
}

/* ---- W - W' and the sums of products ---- */

/* A choice whose method does not say what its outputs lose. */
struct residue {
    size_t column;
    float *diff;  /* [n, n_in] */
    double *loss; /* [n] */
};

struct products {
    const struct sample *p;
    struct residue *residues;
    size_t n_residues;
    uint64_t n_chunks, first, n_cols; /* columns first .. first + n_cols of H */
    double *strip;   /* [n_in - first, TILE] H of these columns, what lies right of the diagonal's tile doubled */
    double *scratch; /* [threads, CHUNK n_in + CHUNK TILE + n_in PANEL] */
    uint64_t scratch_n;
};

static void multiply(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct products *const q = arg;
    const uint64_t n_in = q->p->t->n_in, k = n_in - q->first;
    double *const a = q->scratch + thread * q->scratch_n, *const c = a + CHUNK * n_in, *const panel = c + CHUNK * TILE;
    for (uint64_t i = begin; i < end; i++) {
        const struct residue *const residue = &q->residues[i / q->n_chunks];
        const uint64_t row0 = i % q->n_chunks * CHUNK, n = q->p->n - row0 < CHUNK ? q->p->n - row0 : CHUNK;
        for (uint64_t r = 0; r < n; r++)
            for (uint64_t j = 0; j < k; j++)
                a[r * k + j] = (double)residue->diff[(row0 + r) * n_in + q->first + j];
        memset(c, 0, CHUNK * TILE * sizeof *c);
        el_f64_matmul(c, TILE, a, k, q->strip, TILE, n, q->n_cols, k, panel);
        for (uint64_t r = 0; r < n; r++)
            for (uint64_t j = 0; j < q->n_cols; j++)
                residue->loss[row0 + r] += c[r * TILE + j] * a[r * k + j];
    }
}

/* loss of all residues = diag((W - W') H (W - W')^T) / tokens, H read once. */
static enum el_status by_products(struct products *q, uint32_t expert, struct el_err *err)
{
    const struct sample *const p = q->p;
    const uint64_t n_in = p->t->n_in;
    q->n_chunks = (p->n + CHUNK - 1) / CHUNK;
    q->scratch_n = CHUNK * n_in + CHUNK * TILE + n_in * EL_F64_PANEL;
    enum el_status status = EL_OK;
    double *const rows = el_alloc_array(TILE, (size_t)n_in * sizeof *rows);
    q->strip = el_alloc_array(TILE, (size_t)n_in * sizeof *q->strip);
    q->scratch = el_alloc_array(el_pool_n(p->s->pool), (size_t)q->scratch_n * sizeof *q->scratch);
    if (!rows || !q->strip || !q->scratch)
        status = no_memory(err);
    for (q->first = 0; q->first < n_in && status == EL_OK; q->first += TILE) {
        q->n_cols = n_in - q->first < TILE ? n_in - q->first : TILE;
        status = el_stats_hessian(p->stats, p->m, expert, q->first, q->n_cols, rows, err);
        if (status != EL_OK)
            break;
        for (uint64_t j = q->first; j < n_in; j++)
            for (uint64_t i = 0; i < q->n_cols; i++)
                q->strip[(j - q->first) * TILE + i] = rows[i * n_in + j] / p->n_tokens * (j < q->first + q->n_cols ? 1.0 : 2.0);
        el_pool_run(p->s->pool, q->n_residues * q->n_chunks, 1, multiply, q);
    }
    el_free(rows);
    el_free(q->strip);
    el_free(q->scratch);
    return status;
}

static void by_diagonal(struct products *q)
{
    const struct sample *const p = q->p;
    for (size_t i = 0; i < q->n_residues; i++)
        for (uint64_t r = 0; r < p->n; r++) {
            double loss = 0.0;
            for (uint64_t j = 0; j < p->t->n_in; j++) {
                const double d = (double)q->residues[i].diff[r * p->t->n_in + j];
                loss += (p->m ? (double)p->importance[j] : 1.0) * d * d;
            }
            q->residues[i].loss[r] = loss;
        }
}

/* ---- the cells of an item ---- */

struct tally {
    double w2, err2, out2; /* over what was looked at */
    bool done;
};

static enum el_status add_residue(struct products *q, size_t column, const struct el_made *made, struct el_err *err)
{
    const struct sample *const p = q->p;
    struct residue *const residue = &q->residues[q->n_residues];
    const size_t n = (size_t)(p->n * p->t->n_in);
    *residue = (struct residue){.column = column, .diff = el_alloc_array(n, sizeof *residue->diff)};
    residue->loss = el_calloc_array((size_t)p->n, sizeof *residue->loss);
    q->n_residues++;
    if (!residue->diff || !residue->loss)
        return no_memory(err);
    const struct el_matrix m = el_made_matrix(made);
    el_kernels_decode(el_kernels(), &m, 0, p->n, residue->diff);
    for (size_t i = 0; i < n; i++)
        residue->diff[i] = p->x[i] - residue->diff[i];
    return EL_OK;
}

/* One choice on the sample. */
static enum el_status try_choice(struct products *q, size_t row, size_t column, uint32_t expert, struct el_make_factors *factors,
                                 struct tally *tally, struct el_err *err)
{
    const struct sample *const p = q->p;
    const struct el_plan *const plan = p->s->columns[column].plan;
    const struct el_plan_entry *const entry = el_sens_entry(p->s, row, column);
    struct el_slice slice = {.kept = el_make_factors(factors, p->m, expert)};
    struct el_made made;
    EL_TRY(el_made_open(&made, &entry->to, p->n, p->t->n_in, err));
    enum el_status status = EL_OK;
    if (el_slice_wanted(entry))
        status = el_slice_open(&slice, plan, entry, expert, p->t->n_in, p->s->pool, err);
    if (status == EL_OK)
        status = el_make_rows(plan, entry, &slice, p->x, p->n, &made, 0, p->s->pool, err);
    tally->w2 += made.sum_w2;
    tally->err2 += made.sum_err2;
    if (status == EL_OK && isfinite(made.sum_out2))
        tally->out2 += made.sum_out2;
    else if (status == EL_OK)
        status = add_residue(q, column, &made, err);
    el_slice_close(&slice);
    el_made_release(&made);
    return status;
}

static bool wanted(const struct el_sens *s, size_t row, size_t column)
{
    const struct el_sens_cell *const cell = &s->rows[row].cells[column];
    return cell->fits && isnan(cell->hessian);
}

/* Do both group columns alike, so that they can share a factor? */
static bool alike(const struct sample *p, size_t row, size_t a, size_t b)
{
    const struct el_enc *const x = &el_sens_entry(p->s, row, a)->to, *const y = &el_sens_entry(p->s, row, b)->to;
    const uint64_t n_in = p->t->n_in;
    return el_grid_of(x) && el_grid_of(y) && el_grid_width(x, n_in) == el_grid_width(y, n_in) &&
           el_grid_sub_width(x, n_in) == el_grid_sub_width(y, n_in);
}

/* All choices, those beside each other that are alike: of the widest inputs there is room for one factor. */
static enum el_status try_choices(struct products *q, size_t row, uint32_t expert, struct el_make_factors *factors,
                                  struct tally *tallies, struct el_err *err)
{
    const struct el_sens *const s = q->p->s;
    for (size_t c = 0; c < s->n_columns; c++)
        tallies[c].done = !wanted(s, row, c);
    for (size_t a = 0; a < s->n_columns; a++)
        for (size_t c = a; c < s->n_columns && !tallies[a].done; c++) {
            if (tallies[c].done || (c != a && !alike(q->p, row, a, c)))
                continue;
            EL_TRY(try_choice(q, row, c, expert, factors, &tallies[c], err));
            tallies[c].done = c != a;
        }
    return EL_OK;
}

static enum el_status run_expert(struct sample *p, size_t row, uint32_t i, struct el_make_factors *factors, struct tally *tallies,
                                 struct residue *residues, struct el_err *err)
{
    struct products q = {.p = p, .residues = residues};
    uint32_t expert = 0;
    enum el_status status = sample_read(p, i, &expert, err);
    if (status == EL_OK)
        status = try_choices(&q, row, expert, factors, tallies, err);
    const bool has_products = p->m && p->m->has & EL_STATS_HESSIAN && p->n_tokens > 0.0;
    if (status == EL_OK) {
        status = has_products ? by_products(&q, expert, err) : EL_OK;
        if (!has_products || status == EL_E_FORMAT) { /* products that are not finite carry no method either */
            by_diagonal(&q);
            status = EL_OK;
        }
    }
    for (size_t k = 0; k < q.n_residues; k++) {
        for (uint64_t r = 0; r < p->n && status == EL_OK; r++)
            tallies[residues[k].column].out2 += residues[k].loss[r];
        el_free(residues[k].diff);
        el_free(residues[k].loss);
    }
    return status;
}

static enum el_status run_item(struct el_sens *s, size_t row, struct el_make_factors *factors, struct tally *tallies,
                               struct residue *residues, struct el_err *err)
{
    struct sample p;
    enum el_status status = sample_open(&p, s, row, err);
    memset(tallies, 0, s->n_columns * sizeof *tallies);
    for (uint32_t i = 0; i < p.n_looked && status == EL_OK; i++)
        status = run_expert(&p, row, i, factors, tallies, residues, err);
    sample_close(&p);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "tensor '%s'", s->source->tensors[s->rows[row].tensor].name);
    for (size_t c = 0; c < s->n_columns; c++) {
        struct el_sens_cell *const cell = &s->rows[row].cells[c];
        if (!wanted(s, row, c))
            continue;
        cell->weight = tallies[c].w2 > 0.0 ? tallies[c].err2 / tallies[c].w2 : 0.0;
        cell->hessian = tallies[c].out2 > 0.0 ? tallies[c].out2 * p.scale : 0.0;
        EL_TRY(el_sens_file_errors(s, row, c, err));
    }
    return EL_OK;
}

enum el_status el_sens_errors(struct el_sens *sens, struct el_err *err)
{
    struct tally *const tallies = el_alloc_array(sens->n_columns, sizeof *tallies);
    struct residue *const residues = el_alloc_array(sens->n_columns, sizeof *residues);
    struct el_make_factors factors = {.expert = 0};
    enum el_status status = tallies && residues ? EL_OK : no_memory(err);
    for (size_t i = 0; i < sens->n_rows && status == EL_OK; i++) {
        bool any = false;
        for (size_t c = 0; c < sens->n_columns; c++)
            any |= wanted(sens, i, c);
        if (any)
            status = run_item(sens, i, &factors, tallies, residues, err);
        if (any && status == EL_OK)
            status = el_sens_file_sync(sens, err);
        el_sens_progress(sens, "errors", i + 1, sens->n_rows);
    }
    el_solve_kept_release(&factors.kept);
    el_free(tallies);
    el_free(residues);
    return status;
}

/* ---- shiftadd ---- */

struct reading {
    const struct sample *p;
    uint32_t expert;
};

static enum el_status read_hessian(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct reading *const r = user;
    return el_stats_hessian(r->p->stats, r->p->m, r->expert, row0, n_rows, out, err);
}

/* d [n_in] = the pivots D of H, column by column. */
static enum el_status pivots(const struct sample *p, uint32_t expert, struct el_make_factors *factors, double *d,
                             struct el_err *err)
{
    for (uint64_t j = 0; j < p->t->n_in; j++)
        d[j] = p->m ? (double)p->importance[j] : 1.0;
    if (!p->m || !(p->m->has & EL_STATS_HESSIAN) || p->n_tokens <= 0.0)
        return EL_OK;
    struct reading reading = {p, expert};
    const struct el_quant_columns columns = {.n_in = p->t->n_in,
                                             .n_tokens = p->n_tokens,
                                             .hessian = read_hessian,
                                             .user = &reading,
                                             .opts = &p->s->opts.how,
                                             .pool = p->s->pool,
                                             .kept = el_make_factors(factors, p->m, expert)};
    struct el_solve solve;
    const enum el_status status = el_solve_open(&columns, EL_ORDER_NONE, (struct el_solve_widths){TILE, TILE, 1}, &solve, err);
    if (status == EL_E_FORMAT)
        return EL_OK; /* not finite, or no sums of squares: by the importance */
    EL_TRY(status);
    for (uint64_t i = 0; i < p->t->n_in; i++)
        d[solve.column[i]] = solve.d[i];
    el_solve_release(&solve);
    return EL_OK;
}

static enum el_status shiftadd(struct el_sens *s, size_t row, struct el_make_factors *factors, struct el_err *err)
{
    struct sample p;
    double sum = 0.0, sum2 = 0.0, n = 0.0;
    enum el_status status = sample_open(&p, s, row, err);
    double *const d = el_alloc_array((size_t)p.t->n_in, sizeof *d);
    if (status == EL_OK && !d)
        status = no_memory(err);
    for (uint32_t i = 0; i < p.n_looked && status == EL_OK; i++) {
        uint32_t expert = 0;
        status = sample_read(&p, i, &expert, err);
        if (status == EL_OK)
            status = pivots(&p, expert, factors, d, err);
        for (uint64_t k = 0; k < p.n * p.t->n_in && status == EL_OK; k++) {
            const double v = (double)p.x[k] * sqrt(d[k % p.t->n_in]);
            sum += v;
            sum2 += v * v;
            n += 1.0;
        }
    }
    el_free(d);
    sample_close(&p);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "tensor '%s'", s->source->tensors[s->rows[row].tensor].name);
    s->rows[row].shiftadd = sqrt(sum2 * p.scale) * (sum2 / n - sum / n * (sum / n));
    return el_sens_file_shiftadd(s, row, err);
}

enum el_status el_sens_shiftadd(struct el_sens *sens, struct el_err *err)
{
    struct el_make_factors factors = {.expert = 0};
    enum el_status status = EL_OK;
    for (size_t i = 0; i < sens->n_rows && status == EL_OK; i++) {
        if (isnan(sens->rows[i].shiftadd))
            status = shiftadd(sens, i, &factors, err);
        el_sens_progress(sens, "criterion", i + 1, sens->n_rows);
    }
    el_solve_kept_release(&factors.kept);
    return status == EL_OK ? el_sens_file_sync(sens, err) : status;
}
