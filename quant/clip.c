/*
 * Clip: how far a block's values are cut off, chosen by the outputs (the second half of Lin et al., AWQ, arXiv:2306.00978: its
 * program's auto_clip). For every block of a row the range that its values span is shrunk to 1, 0.95 .. 0.5 of itself, the
 * weights go to the nearest values, and the range is taken that minimises the error of the block's part of the outputs,
 *
 *     (w_B - q_B) H_BB (w_B - q_B)^T,     H_BB the block's part of E x x^T
 *
 * which is the mean over tokens of what the program measures with samples; H makes it exact. Without H, by E x_j^2.
 *
 * Where we go on from the program:
 * - It works on every grid. In a super-block, each sub-block's range is chosen by its own part of H before the shared scales are
 *   rounded; that, and one part for all sub-blocks, compete with the range that is not shrunk by the error of the whole block.
 * - The scales that the encoding's own search finds for weights E x_j^2 compete too.
 * - It leaves q and k alone, since the error of their product is no sum of theirs. Here a method knows no such thing as q.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "quant/loss.h"
#include "quant/method.h"
#include "quant/stats.h"
#include "tensor/grid.h"

enum { SHRINKS = 11, MAX_TRIES = SHRINKS + 2, TILE = 16 }; /* TILE: rows of the strip that are rounded together */

static float shrink_at(uint32_t k)
{
    return 1.0f - 0.05f * (float)k;
}

struct clip {
    struct el_enc enc;
    uint64_t n_in, n_blocks;
    uint32_t width, sub_n;
    double *h;         /* [n_blocks, width, width] E x x^T of each block; NULL: not known */
    float *importance; /* [n_in] */
};

static void clip_close(void *shared)
{
    struct clip *const c = shared;
    if (!c)
        return;
    el_free(c->h);
    el_free(c->importance);
    el_free(c);
}

static enum el_status read_blocks(const struct el_quant_columns *columns, struct clip *c, struct el_err *err)
{
    const uint64_t n_in = c->n_in, width = c->width;
    double *const rows = el_alloc_array(EL_STATS_TILE * (size_t)n_in, sizeof *rows);
    enum el_status status = rows ? EL_OK : el_fail(err, EL_E_MEMORY, "clip: out of memory");
    for (uint64_t r = 0; r < n_in && status == EL_OK; r += EL_STATS_TILE) {
        const uint64_t n = n_in - r < EL_STATS_TILE ? n_in - r : EL_STATS_TILE;
        status = columns->hessian(columns->user, r, n, rows, err);
        for (uint64_t k = 0; status == EL_OK && k < n; k++) {
            const uint64_t block = (r + k) / width, first = block * width, n_block = n_in - first < width ? n_in - first : width;
            for (uint64_t j = 0; j < n_block; j++)
                c->h[(block * width + r + k - first) * width + j] = rows[k * n_in + first + j] / columns->n_tokens;
        }
    }
    el_free(rows);
    return status;
}

static enum el_status clip_open(struct el_quant_columns *columns, void **shared, struct el_err *err)
{
    struct clip *const c = el_calloc_array(1, sizeof *c);
    *shared = c;
    if (!c)
        return el_fail(err, EL_E_MEMORY, "clip: out of memory");
    enum el_status status = EL_OK;
    c->enc = columns->enc;
    c->n_in = columns->n_in;
    c->width = el_grid_width(&c->enc, c->n_in);
    c->sub_n = el_grid_sub_width(&c->enc, c->n_in);
    c->n_blocks = (c->n_in + c->width - 1) / c->width;
    c->importance = el_alloc_array((size_t)c->n_in, sizeof *c->importance);
    if (columns->hessian)
        c->h = el_calloc_array((size_t)c->n_blocks * c->width * c->width, sizeof *c->h);
    if (!c->importance || (columns->hessian && !c->h))
        status = el_fail(err, EL_E_MEMORY, "clip: out of memory");
    for (uint64_t j = 0; status == EL_OK && j < c->n_in; j++)
        c->importance[j] = columns->importance[j];
    if (status == EL_OK && c->h)
        status = read_blocks(columns, c, err);
    if (status != EL_OK) {
        clip_close(c);
        *shared = NULL;
    }
    return status;
}

/* ---- a strip of rows ---- */

struct strip {
    const struct clip *c;
    struct el_quant_job *job;
    struct el_grid_block *tries; /* [TILE, MAX_TRIES] */
    double *error, *y, *panel;   /* [TILE * MAX_TRIES, width] twice, [width, EL_F64_PANEL] */
    int16_t *level;              /* [width] */
};

/* loss [n] of n rows of errors [n, width] over the columns col0 .. col0 + n_cols of a block. */
static void losses(const struct strip *s, uint64_t block, uint32_t col0, uint32_t n_cols, uint64_t n, double *loss)
{
    const struct clip *const c = s->c;
    const double *const error = s->error + col0;
    if (c->h) {
        el_loss_rows(error, c->width, c->h + (block * c->width + col0) * c->width + col0, c->width, n, n_cols, s->y, s->panel,
                     loss);
        return;
    }
    const float *const importance = c->importance + block * c->width + col0;
    for (uint64_t r = 0; r < n; r++) {
        loss[r] = 0.0;
        for (uint32_t j = 0; j < n_cols; j++)
            loss[r] += (double)importance[j] * error[r * c->width + j] * error[r * c->width + j];
    }
}

static void error_of(const struct el_grid_block *b, const float *x, int16_t *level, double *error)
{
    (void)el_grid_nearest_all(b, x, NULL, level);
    for (uint32_t i = 0; i < b->n; i++)
        error[i] = (double)x[i] - (double)el_grid_value(b, i / b->sub_n, level[i]);
}

/* The block whose sub-blocks' ranges are these parts of base's. */
static void shrink(const struct clip *c, const struct el_grid_block *base, const float *part, struct el_grid_block *out)
{
    float step[EL_GRID_MAX_SUBS], min[EL_GRID_MAX_SUBS];
    for (uint32_t sub = 0; sub * base->sub_n < base->n; sub++) {
        step[sub] = base->step[sub] * part[sub];
        min[sub] = (base->min[sub] - base->lo * base->step[sub]) * part[sub]; /* the least value, negated */
    }
    c->enc.e->grid->set(&c->enc, step, el_grid_has_min(&c->enc) ? min : NULL, base->n, out);
}

/* Tries of a row of a block: its range shrunk by each part, all sub-blocks alike, and the scales of the encoding's search. */
static void make_tries(const struct strip *s, const float *x, const float *importance, uint32_t n, struct el_grid_block *tries)
{
    const struct clip *const c = s->c;
    c->enc.e->grid->fit(&c->enc, x, NULL, 1, n, EL_ENCODE_NEAREST, &tries[0]);
    for (uint32_t k = 1; k < SHRINKS; k++) {
        float part[EL_GRID_MAX_SUBS];
        for (uint32_t sub = 0; sub < EL_GRID_MAX_SUBS; sub++)
            part[sub] = shrink_at(k);
        shrink(c, &tries[0], part, &tries[k]);
    }
    c->enc.e->grid->fit(&c->enc, x, importance, 1, n, EL_ENCODE_SEARCH, &tries[SHRINKS]);
}

/* Adds the try in which each sub-block has the part that is best for itself. Errors of the others are made. */
static void add_best_parts(struct strip *s, uint64_t block, uint64_t n_rows, uint32_t n_tries)
{
    const struct clip *const c = s->c;
    double loss[TILE * MAX_TRIES];
    float part[TILE][EL_GRID_MAX_SUBS];
    const uint32_t n = s->tries[0].n;
    for (uint32_t sub = 0; sub * c->sub_n < n; sub++) {
        const uint32_t first = sub * c->sub_n, n_cols = n - first < c->sub_n ? n - first : c->sub_n;
        losses(s, block, first, n_cols, n_rows * n_tries, loss);
        for (uint64_t r = 0; r < n_rows; r++) {
            uint32_t best = 0;
            for (uint32_t k = 1; k < SHRINKS; k++)
                best = loss[r * n_tries + k] < loss[r * n_tries + best] ? k : best;
            part[r][sub] = shrink_at(best);
        }
    }
    for (uint64_t r = 0; r < n_rows; r++)
        shrink(c, &s->tries[r * n_tries], part[r], &s->tries[r * n_tries + n_tries - 1]);
}

/* One block of n_rows rows from row0 on. */
static void run_block(struct strip *s, uint64_t block, uint64_t row0, uint64_t n_rows)
{
    const struct clip *const c = s->c;
    const uint64_t first = block * c->width;
    const uint32_t n = c->n_in - first < c->width ? (uint32_t)(c->n_in - first) : c->width;
    const bool subs = c->sub_n < n;
    const uint32_t n_tries = SHRINKS + 1 + (subs ? 1 : 0);
    double loss[TILE * MAX_TRIES];
    for (uint64_t r = 0; r < n_rows; r++) {
        const float *const x = s->job->x + (row0 + r) * c->n_in + first;
        make_tries(s, x, c->importance + first, n, s->tries + r * n_tries);
        if (subs)
            s->tries[r * n_tries + n_tries - 1] = s->tries[r * n_tries];
        for (uint32_t k = 0; k < n_tries; k++)
            error_of(&s->tries[r * n_tries + k], x, s->level, s->error + (r * n_tries + k) * c->width);
    }
    if (subs) {
        add_best_parts(s, block, n_rows, n_tries);
        for (uint64_t r = 0; r < n_rows; r++)
            error_of(&s->tries[(r + 1) * n_tries - 1], s->job->x + (row0 + r) * c->n_in + first, s->level,
                     s->error + ((r + 1) * n_tries - 1) * c->width);
    }
    losses(s, block, 0, n, n_rows * n_tries, loss);
    for (uint64_t r = 0; r < n_rows; r++) {
        const struct el_grid_block *const tries = s->tries + r * n_tries;
        uint32_t best = 0;
        for (uint32_t k = 1; k < n_tries; k++)
            best = loss[r * n_tries + k] < loss[r * n_tries + best] ? k : best;
        (void)el_grid_nearest_all(&tries[best], s->job->x + (row0 + r) * c->n_in + first, NULL, s->level);
        c->enc.e->grid->store(&c->enc, &tries[best], s->level, row0 + r, first, c->n_in, s->job->parts_out);
    }
}

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    const struct clip *const c = job->shared;
    struct strip s = {.c = c, .job = job};
    const size_t width = c->width;
    s.tries = el_alloc_array(TILE * MAX_TRIES, sizeof *s.tries);
    s.error = el_alloc_array(TILE * MAX_TRIES * width, sizeof *s.error);
    s.y = el_alloc_array(TILE * MAX_TRIES * width, sizeof *s.y);
    s.panel = el_alloc_array(EL_F64_PANEL * width, sizeof *s.panel);
    s.level = el_alloc_array(width, sizeof *s.level);
    const bool ok = s.tries && s.error && s.y && s.panel && s.level;
    for (uint64_t row0 = 0; ok && row0 < job->n_rows; row0 += TILE)
        for (uint64_t block = 0; block < c->n_blocks; block++)
            run_block(&s, block, row0, job->n_rows - row0 < TILE ? job->n_rows - row0 : TILE);
    el_free(s.tries);
    el_free(s.error);
    el_free(s.y);
    el_free(s.panel);
    el_free(s.level);
    if (!ok)
        return el_fail(err, EL_E_MEMORY, "clip: out of memory for blocks of %zu columns", width);
    el_quant_measure(job);
    job->sum_out2 = NAN;
    return EL_OK;
}

static uint64_t open_nbytes(const struct el_enc *enc, uint64_t n_in, bool cross, unsigned n_threads)
{
    (void)cross;
    (void)n_threads;
    return ((n_in + el_grid_width(enc, n_in)) * el_grid_width(enc, n_in) + EL_STATS_TILE * n_in) * sizeof(double);
}

static uint64_t strip_nbytes(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in)
{
    (void)n_rows;
    const uint64_t width = el_grid_width(enc, n_in);
    return TILE * MAX_TRIES * (sizeof(struct el_grid_block) + 2 * width * sizeof(double)) + width * EL_F64_PANEL * sizeof(double);
}

const struct el_method el_method_clip = {
    .name = "clip",
    .about = "each block's range cut off where the outputs lose least (needs statistics)",
    .by_rows = true,
    .needs_importance = true,
    .min_rows = 4 * TILE,
    .supports = el_quant_supports_scalars,
    .open_nbytes = open_nbytes,
    .strip_nbytes = strip_nbytes,
    .open = clip_open,
    .close = clip_close,
    .quantize = quantize,
};
