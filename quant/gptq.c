/*
 * GPTQ: columns are rounded one after the other, and what rounding a column spoils in the outputs is made up for by the columns
 * that are still to come (Frantar et al., GPTQ, arXiv:2210.17323; Frantar and Alistarh, OBC, arXiv:2208.11580).
 *
 * In the form of LDLQ (Chee et al., QuIP, arXiv:2307.13304, section 3, theorem 6: the same codes): with the columns in the order
 * of processing and H = U D U^T, U unit upper triangular, column k is rounded as
 *
 *     q_k = Q(w_k + sum_{j < k} (w_j - q_j) U_jk)
 *
 * and the loss tr((W - Q) H (W - Q)^T) is sum_k D_k |eta_k|^2 with eta_k the rounding error of that step. One factorisation
 * instead of an inverse and two, and rows are strips that need nothing of each other. H is kept in reversed order, so that
 * U D U^T is L D L^T from the end.
 *
 * Where we go on from the paper:
 * - Scales belong to blocks of the encoding's grid. By default ("group") a block's columns are processed together, blocks and
 *   columns in them by falling E x^2 (GPTQModel's act_group_aware). The scales of a block are chosen at its first visit, for the
 *   weights as the errors so far want them, w_B + t_B U_BB^-1 with t = E U of the columns before; the search minimises
 *   sum D_k (..)^2, the loss above. Sub-blocks of a super-block choose their own scale again at their first visit.
 *   "act": columns by falling E x^2 across blocks, all scales chosen before (static groups).
 * - Where columns share a code (tensor/codebook.h) they are rounded together, to the entry nearest to what all of them should be
 *   given the errors so far, by the diagonal of what their errors lose.
 * - Coordinate descent over codes and scales follows (descent.h): on books-4m it takes 15 % off the output error at Q3_K, 19 % at
 *   Q2_K.
 * - Damping: a part of the mean of H's diagonal is added to it, ten times as much as often as D is not positive.
 * - Asymmetric calibration (Li et al., GPTAQ, arXiv:2504.02692): with C = sum (y - x) x^T, y the unquantized model's input where
 *   the quantized one has x, |Q X - W Y|^2 is (Q - W*) H (Q - W*)^T plus what does not depend on Q, W* = W + W C H^-1 (complete
 *   the square). So rounding W* is the whole of it; the paper's way, residual by residual, approximates that.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "quant/descent.h"
#include "quant/method.h"
#include "quant/solve.h"
#include "tensor/grid.h"

enum {
    MAX_CHUNK = 1024, /* a block of more columns chooses its scales before all others */
    CHUNK = 128,      /* columns that are processed between two products, where blocks do not say */
    ROUNDS = 3,       /* of descent; on books-4m eight win 0.3 % more than four, and four 1.4 % more than two */
};

struct gptq {
    struct el_solve h;
    struct el_descent descent;
    uint32_t rounds; /* of it; 0: none */
    struct el_enc enc;
    uint64_t n_in, n_blocks;
    uint32_t width, sub_n, unit_n;
    bool by_group, fit_first; /* blocks lie together; all scales are chosen before */
    float *weight;            /* [n_in] of the columns, in the search for scales */
    float *unit_weight;       /* [n_in] of the columns, in the choice of a code that several share; NULL: none do */
};

static void gptq_close(void *shared)
{
    struct gptq *const g = shared;
    if (!g)
        return;
    el_solve_release(&g->h);
    el_descent_release(&g->descent);
    el_free(g->weight);
    el_free(g->unit_weight);
    el_free(g);
}

/*
 * What the errors of a unit's columns lose is e L D L^T e^T with L and D of these columns alone, those behind being free. Of this
 * matrix the diagonal counts in choosing a code.
 */
static void weigh_units(struct gptq *g)
{
    for (uint64_t i0 = 0; i0 < g->n_in; i0 += g->unit_n) {
        for (uint64_t i = i0; i < i0 + g->unit_n; i++) {
            double sum = g->h.d[i];
            for (uint64_t k = i0; k < i; k++)
                sum += g->h.l[i * g->h.n + k] * g->h.l[i * g->h.n + k] * g->h.d[k];
            g->unit_weight[g->h.column[i]] = (float)sum;
        }
    }
}

static enum el_status gptq_open(struct el_quant_columns *columns, void **shared, struct el_err *err)
{
    struct gptq *const g = el_calloc_array(1, sizeof *g);
    *shared = g;
    if (!g)
        return el_fail(err, EL_E_MEMORY, "gptq: out of memory");
    g->enc = columns->enc;
    g->n_in = columns->n_in;
    g->width = el_grid_width(&g->enc, g->n_in);
    g->sub_n = el_grid_sub_width(&g->enc, g->n_in);
    g->unit_n = el_grid_unit(&g->enc);
    g->n_blocks = (g->n_in + g->width - 1) / g->width;
    const char *const order = columns->opts->order;
    const enum el_solve_order kind = !order || strcmp(order, "group") == 0 ? EL_ORDER_GROUP
                                     : strcmp(order, "act") == 0           ? EL_ORDER_ACT
                                                                           : EL_ORDER_NONE;
    g->by_group = kind != EL_ORDER_ACT;
    g->fit_first = !g->by_group || g->width > MAX_CHUNK;
    enum el_status status = el_solve_open(columns, kind, (struct el_solve_widths){g->width, g->sub_n, g->unit_n}, &g->h, err);
    g->rounds = columns->opts->no_descent ? 0 : columns->opts->rounds ? columns->opts->rounds : ROUNDS;
    if (status == EL_OK && g->rounds > 0)
        status = el_descent_open(columns, g->h.damping, &g->descent, err);
    g->weight = el_alloc_array((size_t)g->n_in, sizeof *g->weight);
    if (g->unit_n > 1)
        g->unit_weight = el_alloc_array((size_t)g->n_in, sizeof *g->unit_weight);
    if (status == EL_OK && (!g->weight || (g->unit_n > 1 && !g->unit_weight)))
        status = el_fail(err, EL_E_MEMORY, "gptq: out of memory");
    if (status != EL_OK) {
        gptq_close(g);
        *shared = NULL;
        return status;
    }
    columns->damping = g->h.damping;
    for (uint64_t i = 0; i < g->n_in; i++)
        g->weight[g->h.column[i]] = (float)g->h.d[i];
    if (g->unit_n > 1)
        weigh_units(g);
    return EL_OK;
}

/* ---- a strip of rows ---- */

struct strip {
    const struct gptq *g;
    struct el_quant_job *job;
    const double *target;        /* [n_rows, n_in] what is to be rounded, in the order of the matrix */
    double *error;               /* [n_rows, padded] target - value, in the order of h.column */
    double *at;                  /* [n_rows, MAX_CHUNK] target plus what the errors so far ask for, of the chunk's columns */
    double *panel;               /* [padded, EL_F64_PANEL] */
    double *solved;              /* [MAX_CHUNK] */
    float *fit, *weight;         /* [n_rows, MAX_CHUNK or width], [MAX_CHUNK or width]: a block for the search */
    struct el_grid_block *block; /* [n_rows, n_blocks] */
    struct el_grid_block *fitted; /* [n_rows] of one block */
    int16_t *level;              /* [n_rows, n_in] */
    double loss;                 /* sum of D eta^2 */
};

/*
 * Columns i0 .. i1 of the reversed order, of row r of the chunk at i_at, as the errors of all columns beyond i1 want them:
 * target + (at - target) U^-1. out [i1 - i0].
 */
static void compensated(const struct strip *s, uint64_t r, uint64_t i_at, uint64_t i0, uint64_t i1, double *out)
{
    const struct gptq *const g = s->g;
    const double *const at = s->at + r * MAX_CHUNK, *const target = s->target + r * g->n_in;
    for (uint64_t i = i0; i < i1; i++)
        out[i - i0] = at[i - i_at] - target[g->h.column[i]];
    for (uint64_t i = i1; i-- > i0;)
        el_f64_axpy(out, -out[i - i0], g->h.l + i * g->h.n + i0, i - i0);
    for (uint64_t i = i0; i < i1; i++)
        out[i - i0] += target[g->h.column[i]];
}

/* Scales of a block whose columns are i0 .. i1 for all rows of the strip. */
static void fit_block(struct strip *s, uint64_t i0, uint64_t i1)
{
    const struct gptq *const g = s->g;
    const uint32_t n = (uint32_t)(i1 - i0);
    const uint64_t block = g->h.column[i0] / g->width, first = block * g->width;
    for (uint64_t r = 0; r < s->job->n_rows; r++) {
        compensated(s, r, i0, i0, i1, s->solved);
        for (uint64_t i = i0; i < i1; i++)
            s->fit[r * n + (g->h.column[i] - first)] = (float)s->solved[i - i0];
    }
    g->enc.e->grid->fit(&g->enc, s->fit, g->weight + first, (uint32_t)s->job->n_rows, n, EL_ENCODE_SEARCH, s->fitted);
    for (uint64_t r = 0; r < s->job->n_rows; r++)
        s->block[r * g->n_blocks + block] = s->fitted[r];
}

static void fit_all(struct strip *s)
{
    const struct gptq *const g = s->g;
    for (uint64_t r = 0; r < s->job->n_rows; r++) {
        for (uint64_t b = 0; b < g->n_blocks; b++) {
            const uint64_t first = b * g->width, n = g->n_in - first < g->width ? g->n_in - first : g->width;
            for (uint64_t k = 0; k < n; k++)
                s->fit[k] = (float)s->target[r * g->n_in + first + k];
            g->enc.e->grid->fit(&g->enc, s->fit, g->weight + first, 1, (uint32_t)n, EL_ENCODE_SEARCH,
                                &s->block[r * g->n_blocks + b]);
        }
    }
}

/* The scale of the sub-block that the columns i0 .. i1 are, for what has become of it. */
static void refit(struct strip *s, uint64_t i_at, uint64_t i0, uint64_t i1)
{
    const struct gptq *const g = s->g;
    const uint64_t block = g->h.column[i0] / g->width, first = g->h.column[i0] / g->sub_n * g->sub_n;
    const uint32_t sub = (uint32_t)((first - block * g->width) / g->sub_n);
    for (uint64_t r = 0; r < s->job->n_rows; r++) {
        compensated(s, r, i_at, i0, i1, s->solved);
        for (uint64_t i = i0; i < i1; i++)
            s->fit[g->h.column[i] - first] = (float)s->solved[i - i0];
        g->enc.e->grid->refit(&g->enc, s->fit, g->weight + first, sub, &s->block[r * g->n_blocks + block]);
    }
}

/* Column i of row r gets this level; its error goes on to the columns i_at .. i that come after it in this chunk. */
static void take(struct strip *s, uint64_t r, uint64_t i_at, uint64_t i, const struct el_grid_block *b, int16_t level)
{
    const struct gptq *const g = s->g;
    const uint64_t column = g->h.column[i];
    double *const at = s->at + r * MAX_CHUNK;
    const double value = (double)el_grid_value(b, (uint32_t)(column % g->width) / b->sub_n, level), eta = at[i - i_at] - value;
    const double error = s->target[r * g->n_in + column] - value;
    s->level[r * g->n_in + column] = level;
    s->error[r * g->h.n + i] = error;
    s->loss += g->h.d[i] * eta * eta;
    el_f64_axpy(at, error, g->h.l + i * g->h.n + i_at, i - i_at);
}

/* Rounds the columns i0 .. i1 of all rows, which are a unit. */
static void round_unit(struct strip *s, uint64_t i_at, uint64_t i0, uint64_t i1)
{
    const struct gptq *const g = s->g;
    const uint64_t first = g->h.column[i0] / g->unit_n * g->unit_n, block = first / g->width;
    for (uint64_t r = 0; r < s->job->n_rows; r++) {
        const struct el_grid_block *const b = &s->block[r * g->n_blocks + block];
        const uint32_t sub = (uint32_t)(first % g->width) / b->sub_n;
        int16_t *const level = s->level + r * g->n_in + first;
        if (g->unit_n == 1) {
            *level = el_grid_nearest(b, sub, (float)s->at[r * MAX_CHUNK + i0 - i_at]);
        } else {
            compensated(s, r, i_at, i0, i1, s->solved);
            for (uint64_t i = i0; i < i1; i++)
                s->fit[g->h.column[i] - first] = (float)s->solved[i - i0];
            g->enc.e->grid->snap(&g->enc, b, sub, s->fit, g->unit_weight + first, level);
        }
        for (uint64_t i = i1; i-- > i0;)
            take(s, r, i_at, i, b, level[g->h.column[i] - first]);
    }
}

/* Columns i0 .. i1, all beyond are done. */
static void run_chunk(struct strip *s, uint64_t i0, uint64_t i1)
{
    const struct gptq *const g = s->g;
    for (uint64_t r = 0; r < s->job->n_rows; r++)
        for (uint64_t i = i0; i < i1; i++)
            s->at[r * MAX_CHUNK + i - i0] = s->target[r * g->n_in + g->h.column[i]];
    if (i1 < g->n_in)
        el_f64_matmul(s->at, MAX_CHUNK, s->error + i1, g->h.n, g->h.l + i1 * g->h.n + i0, g->h.n, s->job->n_rows, i1 - i0,
                      g->n_in - i1, s->panel);
    if (!g->fit_first)
        fit_block(s, i0, i1);
    for (uint64_t i = i1; i > i0; i -= g->unit_n) {
        const bool sub_begins = (i1 - i) % g->sub_n == 0 && i < i1;
        if (g->by_group && sub_begins && g->enc.e->grid->refit && !g->fit_first)
            refit(s, i0, i - g->sub_n, i);
        round_unit(s, i0, i - g->unit_n, i);
    }
}

/* The chunk that ends at i1 begins here: a block, or a few columns where all scales are chosen before. */
static uint64_t chunk_begin(const struct gptq *g, uint64_t i1)
{
    if (g->fit_first)
        return i1 > CHUNK ? i1 - CHUNK : 0;
    const uint64_t first = g->h.column[i1 - 1] / g->width * g->width;
    return i1 - (g->n_in - first < g->width ? g->n_in - first : g->width);
}

static void store(const struct strip *s)
{
    const struct gptq *const g = s->g;
    for (uint64_t r = 0; r < s->job->n_rows; r++)
        for (uint64_t b = 0; b < g->n_blocks; b++)
            g->enc.e->grid->store(&g->enc, &s->block[r * g->n_blocks + b], s->level + r * g->n_in + b * g->width, r, b * g->width,
                                  g->n_in, s->job->parts_out);
}

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    const struct gptq *const g = job->shared;
    const size_t rows = (size_t)job->n_rows, n_in = (size_t)g->n_in, fit_n = g->width > MAX_CHUNK ? g->width : MAX_CHUNK;
    enum el_status status = EL_OK;
    double *const target = el_alloc_array(rows * n_in, sizeof *target);
    struct strip s = {.g = g, .job = job, .target = target};
    s.error = el_calloc_array(rows * (size_t)g->h.n, sizeof *s.error);
    s.at = el_alloc_array(rows * MAX_CHUNK, sizeof *s.at);
    s.panel = el_alloc_array((size_t)g->h.n * EL_F64_PANEL, sizeof *s.panel);
    s.solved = el_alloc_array(MAX_CHUNK, sizeof *s.solved);
    s.fit = el_alloc_array(g->fit_first ? fit_n : rows * fit_n, sizeof *s.fit);
    s.block = el_alloc_array(rows * (size_t)(g->n_blocks + 1), sizeof *s.block);
    s.level = el_alloc_array(rows * n_in, sizeof *s.level);
    if (!target || !s.error || !s.at || !s.panel || !s.solved || !s.fit || !s.block || !s.level) {
        status = el_fail(err, EL_E_MEMORY, "gptq: out of memory for %zu rows of %zu", rows, n_in);
        goto out;
    }
    s.fitted = s.block + rows * (size_t)g->n_blocks;
    el_solve_target(&g->h, job->x, job->n_rows, target, s.panel);
    if (g->fit_first)
        fit_all(&s);
    for (uint64_t i1 = g->n_in, i0; i1 > 0; i1 = i0) {
        i0 = chunk_begin(g, i1);
        run_chunk(&s, i0, i1);
    }
    if (g->rounds > 0) {
        double gain = 0.0;
        status = el_descend(&g->descent, target, job->n_rows, g->rounds, s.block, s.level, s.error, &gain, err);
        s.loss -= gain;
    }
    if (status != EL_OK)
        goto out;
    store(&s);
    el_quant_measure(job);
    double err2 = 0.0;
    for (size_t k = 0; k < rows * (size_t)(g->rounds > 0 ? g->n_in : g->h.n); k++)
        err2 += s.error[k] * s.error[k];
    job->sum_out2 = s.loss - g->h.lambda * err2;
    job->sum_y2 = el_solve_energy(&g->h, job->x, job->n_rows, s.error, s.panel);
out:
    el_free(target);
    el_free(s.error);
    el_free(s.at);
    el_free(s.panel);
    el_free(s.solved);
    el_free(s.fit);
    el_free(s.block);
    el_free(s.level);
    return status;
}

static uint64_t open_nbytes(const struct el_enc *enc, uint64_t n_in, bool cross, unsigned n_threads)
{
    /* What the descent reads lies beside the factors: H, and its sub-blocks' and units' own. */
    const uint64_t descent = n_in * (n_in + el_grid_sub_width(enc, n_in) + el_grid_unit(enc)) * sizeof(double);
    return el_solve_nbytes(n_in, cross, n_threads) + descent + 4 * n_in * sizeof(float);
}

static uint64_t strip_nbytes(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in)
{
    const uint64_t width = el_grid_width(enc, n_in), n = el_ldl_padded(n_in), fit_n = width > MAX_CHUNK ? width : MAX_CHUNK;
    return n_rows * ((n_in + n + MAX_CHUNK) * sizeof(double) + fit_n * sizeof(float) + n_in * sizeof(int16_t) +
                     (n_in + width - 1) / width * sizeof(struct el_grid_block)) +
           (2 * n * EL_F64_PANEL + (n_rows + 8) * MAX_CHUNK) * sizeof(double);
}

const struct el_method el_method_gptq = {
    .name = "gptq",
    .about = "later columns make up for the errors of earlier ones (needs statistics)",
    .by_rows = true,
    .needs_hessian = true,
    .min_rows = 64,
    .supports = el_quant_supports_grids,
    .open = gptq_open,
    .close = gptq_close,
    .quantize = quantize,
    .open_nbytes = open_nbytes,
    .strip_nbytes = strip_nbytes,
};
