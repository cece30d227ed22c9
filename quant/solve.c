/* See solve.h. */
#include "quant/solve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "quant/stats.h"

enum { ROWS = EL_STATS_TILE };

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for a matrix of inputs");
}

static enum el_status no_squares(struct el_err *err)
{
    return el_fail(err, EL_E_FORMAT, "the statistics' sums of products are no sums of squares, however damped");
}

/* ---- order ---- */

/* What columns are sorted by: the mean of their block, sub-block, unit, their own; of equals the later column comes first. */
enum { KEYS = 4 };
struct key {
    double mean[KEYS];
    uint32_t at[KEYS]; /* which block, sub-block, unit, column */
};

/* Ascending: what comes first in processing lies last. */
static int compare_keys(const void *a, const void *b)
{
    const struct key *const x = a, *const y = b;
    for (int k = 0; k < KEYS; k++) {
        if (x->mean[k] != y->mean[k])
            return x->mean[k] < y->mean[k] ? -1 : 1;
        if (x->at[k] != y->at[k])
            return x->at[k] > y->at[k] ? -1 : 1;
    }
    return 0;
}

static double mean_of(const double *diagonal, uint64_t first, uint64_t n, uint64_t n_in)
{
    double sum = 0.0;
    const uint64_t end = first + n < n_in ? first + n : n_in;
    for (uint64_t i = first; i < end; i++)
        sum += diagonal[i];
    return sum / (double)(end - first);
}

static enum el_status choose_order(const double *diagonal, enum el_solve_order order, struct el_solve_widths widths,
                                   struct el_solve *s, struct el_err *err)
{
    struct key *const keys = el_calloc_array((size_t)s->n_in, sizeof *keys);
    if (!keys)
        return no_memory(err);
    for (uint32_t i = 0; i < s->n_in; i++) {
        struct key *const key = &keys[i];
        key->at[3] = i;
        if (order == EL_ORDER_NONE)
            continue;
        const uint32_t block = i / widths.block * widths.block, sub = block + (i - block) / widths.sub * widths.sub;
        key->mean[3] = diagonal[i];
        key->at[2] = i / widths.unit;
        key->mean[2] = mean_of(diagonal, (uint64_t)key->at[2] * widths.unit, widths.unit, s->n_in);
        if (order == EL_ORDER_ACT)
            continue;
        key->at[0] = block;
        key->at[1] = sub;
        key->mean[0] = mean_of(diagonal, block, widths.block, s->n_in);
        key->mean[1] = mean_of(diagonal, sub, widths.sub, s->n_in);
    }
    qsort(keys, (size_t)s->n_in, sizeof *keys, compare_keys);
    for (uint64_t i = 0; i < s->n_in; i++)
        s->column[i] = keys[i].at[3];
    el_free(keys);
    return EL_OK;
}

/* ---- the matrix ---- */

static enum el_status read_diagonal(const struct el_quant_columns *c, double *rows, double *diagonal, struct el_err *err)
{
    for (uint64_t r = 0; r < c->n_in; r += ROWS) {
        const uint64_t n = c->n_in - r < ROWS ? c->n_in - r : ROWS;
        EL_TRY(c->hessian(c->user, r, n, rows, err));
        for (uint64_t k = 0; k < n; k++)
            diagonal[r + k] = rows[k * c->n_in + r + k] / c->n_tokens;
    }
    return EL_OK;
}

/* H / n_tokens in reversed order, its lower triangle; rank[column] is its place. */
static enum el_status read_matrix(const struct el_quant_columns *c, double *rows, const uint32_t *rank, struct el_solve *s,
                                  struct el_err *err)
{
    memset(s->l, 0, (size_t)(s->n * s->n) * sizeof *s->l);
    for (uint64_t r = 0; r < c->n_in; r += ROWS) {
        const uint64_t n = c->n_in - r < ROWS ? c->n_in - r : ROWS;
        EL_TRY(c->hessian(c->user, r, n, rows, err));
        for (uint64_t k = 0; k < n; k++) {
            const uint64_t i = rank[r + k];
            for (uint64_t j = 0; j < c->n_in; j++)
                if (rank[j] <= i)
                    s->l[i * s->n + rank[j]] = rows[k * c->n_in + j] / c->n_tokens;
        }
    }
    for (uint64_t i = c->n_in; i < s->n; i++)
        s->l[i * s->n + i] = 1.0;
    return EL_OK;
}

/* Reads and factors, with ever more damping. */
static enum el_status factor(const struct el_quant_columns *c, double mean, double *rows, const uint32_t *rank,
                             struct el_solve *s, struct el_err *err)
{
    enum { TRIES = 12 };
    double *const panel = el_alloc_array((size_t)s->n * EL_LDL_BLOCK, sizeof *panel);
    if (!panel)
        return no_memory(err);
    enum el_status status = EL_OK;
    bool done = false;
    s->damping = c->opts->damping > 0.0 ? c->opts->damping : 0.01;
    for (int t = 0; t < TRIES && status == EL_OK && !done; t++, s->damping *= done ? 1.0 : 10.0) {
        /* Where nothing was seen at all, every column matters the same. */
        s->lambda = mean > 0.0 ? s->damping * mean : 1.0;
        status = read_matrix(c, rows, rank, s, err);
        for (uint64_t i = 0; i < c->n_in; i++)
            s->l[i * s->n + i] += s->lambda;
        done = status == EL_OK && el_ldl(s->l, s->n, 1e-12 * s->lambda, s->d, panel, c->pool);
    }
    el_free(panel);
    if (status == EL_OK && !done)
        return no_squares(err);
    return status;
}

/* ---- asymmetric calibration ---- */

struct shifting {
    struct el_solve *s;
    const uint32_t *rank;
    double *scratch; /* [threads, n] */
};

/* Rows of C / n_tokens become rows of C H^-1. */
static void shift_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct shifting *const f = arg;
    double *const x = f->scratch + thread * f->s->n;
    for (uint64_t r = begin; r < end; r++) {
        double *const row = f->s->shift + r * f->s->n_in;
        memset(x, 0, (size_t)f->s->n * sizeof *x);
        for (uint64_t j = 0; j < f->s->n_in; j++)
            x[f->rank[j]] = row[j];
        el_ldl_solve(f->s->l, f->s->d, f->s->n, x);
        for (uint64_t j = 0; j < f->s->n_in; j++)
            row[j] = x[f->rank[j]];
    }
}

static enum el_status read_shift(const struct el_quant_columns *c, const uint32_t *rank, struct el_solve *s, struct el_err *err)
{
    struct shifting f = {.s = s, .rank = rank};
    s->shift = el_alloc_array((size_t)(s->n_in * s->n_in), sizeof *s->shift);
    f.scratch = el_alloc_array((size_t)s->n * (c->pool ? el_pool_n(c->pool) : 1), sizeof *f.scratch);
    enum el_status status = s->shift && f.scratch ? EL_OK : no_memory(err);
    for (uint64_t r = 0; r < s->n_in && status == EL_OK; r += ROWS)
        status = c->cross(c->user, r, s->n_in - r < ROWS ? s->n_in - r : ROWS, s->shift + r * s->n_in, err);
    if (status == EL_OK) {
        for (uint64_t k = 0; k < s->n_in * s->n_in; k++)
            s->shift[k] /= c->n_tokens;
        el_pool_run(c->pool, s->n_in, 16, shift_rows, &f);
    }
    el_free(f.scratch);
    return status;
}

void el_solve_target(const struct el_solve *s, const float *x, uint64_t n_rows, double *out, double *panel)
{
    for (uint64_t k = 0; k < n_rows * s->n_in; k++)
        out[k] = (double)x[k];
    if (!s->shift)
        return;
    /* The product adds to out what it reads from a copy. */
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t j = 0; j < s->n_in; j++)
            panel[j] = (double)x[r * s->n_in + j];
        for (uint64_t k = 0; k < s->n_in; k++)
            el_f64_axpy(out + r * s->n_in, panel[k], s->shift + k * s->n_in, s->n_in);
    }
}

/* x L D L^T x^T = sum_j D_j (x L)_j^2, blocks of columns of x L one after the other. */
double el_solve_energy(const struct el_solve *s, const float *x, uint64_t n_rows, double *y, double *panel)
{
    double part[EL_LDL_BLOCK], sum = 0.0, x2 = 0.0;
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t i = 0; i < s->n; i++)
            y[r * s->n + i] = i < s->n_in ? (double)x[r * s->n_in + s->column[i]] : 0.0;
    for (uint64_t j0 = 0; j0 < s->n; j0 += EL_LDL_BLOCK) {
        const uint64_t j1 = j0 + EL_LDL_BLOCK;
        /* Columns before j0 have become x L; here those of the block do, in place. */
        for (uint64_t r = 0; r < n_rows; r++) {
            const double *const row = y + r * s->n + j0;
            memcpy(part, row, sizeof part);
            for (uint64_t i = 1; i < EL_LDL_BLOCK; i++)
                el_f64_axpy(part, row[i], s->l + (j0 + i) * s->n + j0, i);
            for (uint64_t i = 0; i < EL_LDL_BLOCK; i++)
                x2 += row[i] * row[i];
            memcpy(y + r * s->n + j0, part, sizeof part);
        }
        if (j1 < s->n)
            el_f64_matmul(y + j0, s->n, y + j1, s->n, s->l + j1 * s->n + j0, s->n, n_rows, EL_LDL_BLOCK, s->n - j1, panel);
        for (uint64_t r = 0; r < n_rows; r++)
            for (uint64_t j = j0; j < j1; j++)
                sum += s->d[j] * y[r * s->n + j] * y[r * s->n + j];
    }
    return sum - s->lambda * x2;
}

/* ---- */

enum el_status el_solve_matrix(const struct el_quant_columns *c, double damping, double **h, double *lambda, struct el_err *err)
{
    const size_t n = (size_t)c->n_in;
    double mean = 0.0;
    double *const out = el_alloc_array(n * n, sizeof *out);
    if (!out)
        return no_memory(err);
    for (uint64_t r = 0; r < n; r += ROWS) {
        const enum el_status status = c->hessian(c->user, r, n - r < ROWS ? n - r : ROWS, out + r * n, err);
        if (status != EL_OK) {
            el_free(out);
            return status;
        }
    }
    for (size_t k = 0; k < n * n; k++)
        out[k] /= c->n_tokens;
    bool squares = true;
    for (size_t i = 0; i < n; i++) {
        squares = squares && out[i * n + i] >= 0.0;
        mean += out[i * n + i] / (double)n;
    }
    if (!squares) {
        el_free(out);
        return no_squares(err);
    }
    *lambda = mean > 0.0 ? damping * mean : 1.0;
    for (size_t i = 0; i < n; i++)
        out[i * n + i] += *lambda;
    *h = out;
    return EL_OK;
}

/* ---- keeping ---- */

/* Do these widths lead to the same order of the columns? */
static bool same_widths(enum el_solve_order order, struct el_solve_widths a, struct el_solve_widths b)
{
    switch (order) {
    case EL_ORDER_GROUP: return a.block == b.block && a.sub == b.sub && a.unit == b.unit;
    case EL_ORDER_ACT: return a.unit == b.unit;
    case EL_ORDER_NONE: break;
    }
    return true;
}

static bool borrow(const struct el_solve_kept *kept, enum el_solve_order order, struct el_solve_widths widths, struct el_solve *s)
{
    for (size_t i = 0; i < kept->n; i++) {
        const struct el_solve_keeping *const k = &kept->v[i];
        if (k->order != order || !same_widths(order, k->widths, widths))
            continue;
        *s = k->s;
        s->borrowed = true;
        return true;
    }
    return false;
}

static void drop_oldest(struct el_solve_kept *kept)
{
    kept->nbytes -= kept->v[0].nbytes;
    el_solve_release(&kept->v[0].s);
    memmove(kept->v, kept->v + 1, --kept->n * sizeof *kept->v);
}

static void keep(struct el_solve_kept *kept, enum el_solve_order order, struct el_solve_widths widths, struct el_solve *s)
{
    const uint64_t nbytes = (s->n * s->n + (s->shift ? s->n_in * s->n_in : 0)) * sizeof(double);
    if (nbytes > kept->max_nbytes)
        return;
    while (kept->n == sizeof kept->v / sizeof *kept->v || kept->nbytes + nbytes > kept->max_nbytes)
        drop_oldest(kept);
    kept->v[kept->n++] = (struct el_solve_keeping){order, widths, nbytes, *s};
    kept->nbytes += nbytes;
    s->borrowed = true;
}

void el_solve_kept_release(struct el_solve_kept *kept)
{
    while (kept->n > 0)
        drop_oldest(kept);
}

enum el_status el_solve_open(const struct el_quant_columns *c, enum el_solve_order order, struct el_solve_widths widths,
                             struct el_solve *s, struct el_err *err)
{
    if (c->kept && borrow(c->kept, order, widths, s))
        return EL_OK;
    const size_t n_in = (size_t)c->n_in;
    *s = (struct el_solve){.n_in = c->n_in, .n = el_ldl_padded(c->n_in)};
    double *const rows = el_alloc_array(ROWS * n_in, sizeof *rows), *const diagonal = el_alloc_array(n_in, sizeof *diagonal);
    uint32_t *const rank = el_alloc_array(n_in, sizeof *rank);
    s->column = el_alloc_array(n_in, sizeof *s->column);
    s->l = el_alloc_array((size_t)(s->n * s->n), sizeof *s->l);
    s->d = el_alloc_array((size_t)s->n, sizeof *s->d);
    enum el_status status = EL_OK;
    if (!rows || !diagonal || !rank || !s->column || !s->l || !s->d) {
        status = no_memory(err);
        goto out;
    }
    EL_TRY_OUT(read_diagonal(c, rows, diagonal, err));
    EL_TRY_OUT(choose_order(diagonal, order, widths, s, err));
    for (uint32_t i = 0; i < c->n_in; i++)
        rank[s->column[i]] = i;
    EL_TRY_OUT(factor(c, mean_of(diagonal, 0, c->n_in, c->n_in), rows, rank, s, err));
    if (c->cross)
        status = read_shift(c, rank, s, err);
out:
    el_free(rows);
    el_free(diagonal);
    el_free(rank);
    if (status != EL_OK)
        el_solve_release(s);
    else if (c->kept)
        keep(c->kept, order, widths, s);
    return status;
}

uint64_t el_solve_nbytes(uint64_t n_in, bool cross, unsigned n_threads)
{
    const uint64_t n = el_ldl_padded(n_in);
    const uint64_t kept = n * n + n + (cross ? n_in * n_in : 0), scratch = ROWS * n_in + n_in + n * EL_LDL_BLOCK;
    return (kept + scratch + (cross ? n_threads * n : 0)) * sizeof(double) + n_in * (2 * sizeof(uint32_t) + sizeof(struct key));
}

void el_solve_release(struct el_solve *s)
{
    if (!s->borrowed) {
        el_free(s->column);
        el_free(s->l);
        el_free(s->d);
        el_free(s->shift);
    }
    *s = (struct el_solve){.n = 0};
}
