/* See descent.h. */
#include "quant/descent.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "quant/solve.h"

enum {
    CHUNK = 256,     /* columns at a time, where blocks do not say */
    MAX_WIDTH = 512, /* blocks of more columns keep their scales */
    SWEEPS = 2,      /* over the codes of a chunk, each time */
};
static const double LEAST = 1e-9; /* what is gained must be more than this part of what is there: rounding is no gain */

/* ---- set-up ---- */

/* The lower triangle of H_SS, n columns from `at` on, becomes L, with D on its diagonal. out [n, ld] */
static void factor_some(const struct el_descent *d, uint64_t at, uint32_t n, double *out, uint32_t ld)
{
    for (uint32_t i = 0; i < n; i++)
        memcpy(out + (size_t)i * ld, d->h + (at + i) * d->n_in + at, n * sizeof *out);
    for (uint32_t c = 0; c < n; c++) {
        const double pivot = out[(size_t)c * ld + c];
        for (uint32_t i = c + 1; i < n; i++) {
            const double part = out[(size_t)i * ld + c] / pivot;
            for (uint32_t k = c + 1; k <= i; k++)
                out[(size_t)i * ld + k] -= part * out[(size_t)k * ld + c];
        }
        for (uint32_t i = c + 1; i < n; i++)
            out[(size_t)i * ld + c] /= pivot;
    }
}

/* x [n] := x (L D L^T)^-1. */
static void solve_some(const double *factor, uint32_t ld, uint32_t n, double *x)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            x[i] -= factor[(size_t)i * ld + k] * x[k];
    for (uint32_t i = 0; i < n; i++)
        x[i] /= factor[(size_t)i * ld + i];
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t k = 0; k < i; k++)
            x[k] -= x[i] * factor[(size_t)i * ld + k];
}

/* Of a unit's columns in its sub-block, those behind being free; see gptq.c. */
static void weigh_unit(const struct el_descent *d, uint64_t first)
{
    const uint64_t sub = first / d->sub_n * d->sub_n;
    for (uint64_t i = first; i < first + d->unit_n; i++) {
        const double *const l = d->factor + i * d->sub_n;
        double sum = l[i - sub];
        for (uint64_t k = first; k < i; k++)
            sum += l[k - sub] * l[k - sub] * d->factor[k * d->sub_n + k - sub];
        d->unit_weight[i] = (float)sum;
    }
}

enum el_status el_descent_open(const struct el_quant_columns *columns, double damping, struct el_descent *d, struct el_err *err)
{
    const struct el_enc *const enc = &columns->enc;
    const uint64_t n_in = columns->n_in;
    *d = (struct el_descent){.enc = *enc,
                             .n_in = n_in,
                             .width = el_grid_width(enc, n_in),
                             .sub_n = el_grid_sub_width(enc, n_in),
                             .unit_n = el_grid_unit(enc)};
    d->n_blocks = (n_in + d->width - 1) / d->width;
    d->scales = d->width <= MAX_WIDTH;
    d->chunk = !d->scales || d->width == CHUNK ? CHUNK : d->width < CHUNK ? CHUNK / d->width * d->width : d->width;
    enum el_status status = el_solve_matrix(columns, damping, &d->h, &d->lambda, err);
    d->weight = el_alloc_array((size_t)n_in, sizeof *d->weight);
    if (d->scales)
        d->factor = el_alloc_array((size_t)n_in * d->sub_n, sizeof *d->factor);
    if (d->unit_n > 1) {
        d->unit_factor = el_alloc_array((size_t)n_in * d->unit_n, sizeof *d->unit_factor);
        d->unit_weight = el_alloc_array((size_t)n_in, sizeof *d->unit_weight);
    }
    if (status == EL_OK && (!d->weight || (d->scales && !d->factor) || (d->unit_n > 1 && (!d->unit_factor || !d->unit_weight))))
        status = el_fail(err, EL_E_MEMORY, "out of memory for a matrix of inputs");
    if (status != EL_OK) {
        el_descent_release(d);
        return status;
    }
    for (uint64_t i = 0; i < n_in; i++)
        d->weight[i] = (float)d->h[i * n_in + i];
    for (uint64_t i = 0; d->scales && i < n_in; i += d->sub_n)
        factor_some(d, i, n_in - i < d->sub_n ? (uint32_t)(n_in - i) : d->sub_n, d->factor + i * d->sub_n, d->sub_n);
    for (uint64_t i = 0; d->unit_n > 1 && i < n_in; i += d->unit_n) {
        factor_some(d, i, d->unit_n, d->unit_factor + i * d->unit_n, d->unit_n);
        weigh_unit(d, i);
    }
    return EL_OK;
}

void el_descent_release(struct el_descent *d)
{
    el_free(d->h);
    el_free(d->factor);
    el_free(d->unit_factor);
    el_free(d->weight);
    el_free(d->unit_weight);
    *d = (struct el_descent){.n_in = 0};
}

/* ---- a row of a chunk ---- */

struct row {
    const struct el_descent *d;
    double *error, *p; /* [n_in]; [chunk] of the columns begin .. end */
    uint64_t begin, end;
    struct el_grid_block *block; /* [n_blocks] */
    int16_t *level;              /* [n_in] */
    double *t, *at, *u, *g;      /* scratch [chunk] */
    float *x;                    /* [chunk] */
    int16_t *trial, *best;       /* [chunk] */
    bool anew;                   /* scales are also chosen from scratch: in the first round */
    double gain;
};

static double value_of(const struct row *r, uint64_t column)
{
    const struct el_grid_block *const b = &r->block[column / r->d->width];
    return (double)el_grid_value(b, (uint32_t)(column % r->d->width) / b->sub_n, r->level[column]);
}

/* The error of a column grows by x. */
static void shift(struct row *r, uint64_t column, double x)
{
    r->error[column] += x;
    el_f64_axpy(r->p, x, r->d->h + column * r->d->n_in + r->begin, r->end - r->begin);
}

/* The codes that units share: to the nearest of the best values, where the loss falls. */
static bool move_units(struct row *r)
{
    const struct el_descent *const d = r->d;
    const uint32_t n = d->unit_n;
    bool moved = false;
    for (uint64_t first = r->begin; first < r->end; first += n) {
        const struct el_grid_block *const b = &r->block[first / d->width];
        const uint32_t sub = (uint32_t)(first % d->width) / b->sub_n;
        const double *const p = r->p + (first - r->begin);
        double change = 0.0, scale = 0.0;
        memcpy(r->t, p, n * sizeof *r->t);
        solve_some(d->unit_factor + first * n, n, n, r->t);
        for (uint32_t i = 0; i < n; i++)
            r->x[i] = (float)(value_of(r, first + i) + r->t[i]);
        d->enc.e->grid->snap(&d->enc, b, sub, r->x, d->weight + first, r->trial);
        for (uint32_t i = 0; i < n; i++)
            r->t[i] = value_of(r, first + i) - (double)el_grid_value(b, sub, r->trial[i]);
        for (uint32_t i = 0; i < n; i++) {
            const double *const h = d->h + (first + i) * d->n_in + first;
            double sum = 2.0 * p[i];
            for (uint32_t k = 0; k < n; k++)
                sum += r->t[k] * h[k];
            change += r->t[i] * sum;
            scale += r->t[i] * r->t[i] * h[i];
        }
        if (!(change < -LEAST * scale))
            continue;
        for (uint32_t i = 0; i < n; i++) {
            r->level[first + i] = r->trial[i];
            if (r->t[i] != 0.0)
                shift(r, first + i, r->t[i]);
        }
        r->gain -= change;
        moved = true;
    }
    return moved;
}

/* Every code to the best one, the others as they are; false: all were. */
static bool move_codes(struct row *r)
{
    const struct el_descent *const d = r->d;
    bool moved = false;
    for (uint64_t i = r->begin; i < r->end; i++) {
        const struct el_grid_block *const b = &r->block[i / d->width];
        const uint32_t sub = (uint32_t)(i % d->width) / b->sub_n;
        const double value = (double)el_grid_value(b, sub, r->level[i]), p = r->p[i - r->begin], h = d->h[i * d->n_in + i];
        const int16_t level = el_grid_nearest(b, sub, (float)(value + p / h));
        if (level == r->level[i])
            continue;
        const double x = value - (double)el_grid_value(b, sub, level), change = x * (2.0 * p + x * h);
        if (!(change < -LEAST * x * x * h))
            continue;
        r->level[i] = level;
        r->gain -= change;
        shift(r, i, x);
        moved = true;
    }
    return moved;
}

/* The levels of the unit whose first column is k of a sub-block, all columns from k + unit_n on being done. */
static void round_unit(const struct row *r, const double *factor, const struct el_grid_block *b, uint32_t sub, uint64_t first,
                       uint32_t k)
{
    const struct el_descent *const d = r->d;
    const uint32_t n = d->unit_n;
    if (n == 1) {
        r->trial[k] = el_grid_nearest(b, sub, (float)r->at[k]);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        r->u[i] = r->at[k + i] - r->t[k + i];
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t j = 0; j < i; j++)
            r->u[j] -= r->u[i] * factor[(size_t)(k + i) * d->sub_n + k + j];
    for (uint32_t i = 0; i < n; i++)
        r->x[i] = (float)(r->t[k + i] + r->u[i]);
    d->enc.e->grid->snap(&d->enc, b, sub, r->x, d->unit_weight + first + k, r->trial + k);
}

/*
 * Levels of a sub-block of n columns from `first` on, for values t, rounded one after the other from the last on, and what they
 * lose: sum D eta^2. Gives up where that reaches `limit`.
 */
static double round_sub(const struct row *r, const double *factor, uint64_t first, uint32_t n, const struct el_grid_block *b,
                        uint32_t sub, double limit)
{
    const uint32_t ld = r->d->sub_n;
    double loss = 0.0;
    memcpy(r->at, r->t, n * sizeof *r->at);
    for (uint32_t k = n; k-- > 0 && loss < limit;) {
        const double *const l = factor + (size_t)k * ld;
        if ((k + 1) % r->d->unit_n == 0)
            round_unit(r, factor, b, sub, first, k + 1 - r->d->unit_n);
        const double value = (double)el_grid_value(b, sub, r->trial[k]), eta = r->at[k] - value, e = r->t[k] - value;
        loss += l[k] * eta * eta;
        for (uint32_t i = 0; i < k; i++)
            r->at[i] += e * l[i];
    }
    return loss;
}

/* t = Q_S + P_S H_SS^-1; returns what Q_S loses more. */
static double best_values(const struct row *r, const double *factor, uint64_t first, uint32_t n)
{
    const double *const p = r->p + (first - r->begin);
    double loss = 0.0;
    memcpy(r->at, p, n * sizeof *r->at);
    solve_some(factor, r->d->sub_n, n, r->at);
    for (uint32_t i = 0; i < n; i++) {
        loss += p[i] * r->at[i];
        r->t[i] = value_of(r, first + i) + r->at[i];
    }
    return loss;
}

/* What block b would have with sub-block `sub` varied for the n-th time; false: no more. */
static bool vary(const struct row *r, uint32_t sub, uint32_t n, const struct el_grid_block *now, struct el_grid_block *b)
{
    static const float plain[] = {1.0f, 0.97f, 1.03f, 0.92f, 1.08f};
    const struct el_enc *const enc = &r->d->enc;
    const struct el_grid *const grid = enc->e->grid;
    *b = *now;
    if (n == 0)
        return true;
    if (grid->vary) {
        /* 1..9: pairs of steps, of which 5 is none. */
        if (n > 9 || n == 5)
            return false;
        const int k = (int)n - 1;
        return grid->vary(enc, sub, k / 3 - 1, k % 3 - 1, b);
    }
    if (b->sub_n != b->n || n >= sizeof plain / sizeof *plain)
        return false;
    const float step = now->step[0] * plain[n], min = now->min[0];
    grid->set(enc, &step, &min, now->n, b);
    return true;
}

/* The scale of a sub-block and its codes together. */
static void move_scale(struct row *r, uint64_t first, uint32_t n)
{
    const struct el_descent *const d = r->d;
    struct el_grid_block *const b = &r->block[first / d->width], trial, best;
    const uint32_t sub = (uint32_t)(first % d->width) / b->sub_n;
    const double *const factor = d->factor + first * d->sub_n;
    const double now = best_values(r, factor, first, n);
    double limit = now * (1.0 - LEAST);
    bool better = false;
    enum { VARIED = 10 };
    for (uint32_t k = 0; k <= VARIED; k++) {
        if (k < VARIED) {
            if (!vary(r, sub, k, b, &trial))
                continue;
        } else if (d->enc.e->grid->refit && r->anew) {
            trial = *b;
            for (uint32_t i = 0; i < n; i++)
                r->x[i] = (float)r->t[i];
            d->enc.e->grid->refit(&d->enc, r->x, d->weight + first, sub, &trial);
        } else {
            continue;
        }
        const double loss = round_sub(r, factor, first, n, &trial, sub, limit);
        if (!(loss < limit))
            continue;
        limit = loss;
        best = trial;
        memcpy(r->best, r->trial, n * sizeof *r->best);
        better = true;
    }
    if (!better)
        return;
    for (uint32_t i = 0; i < n; i++) {
        const double before = value_of(r, first + i), after = (double)el_grid_value(&best, sub, r->best[i]);
        r->level[first + i] = r->best[i];
        if (before != after)
            shift(r, first + i, before - after);
    }
    *b = best;
    r->gain += now - limit;
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* out [n] = x H of the columns of a block. */
static void times_block(const struct row *r, uint64_t first, uint32_t n, const double *x, double *out)
{
    memset(out, 0, n * sizeof *out);
    for (uint32_t i = 0; i < n; i++)
        if (x[i] != 0.0)
            el_f64_axpy(out, x[i], r->d->h + (first + i) * r->d->n_in + first, n);
}

/* By how much the first step (min) that is there changed; 1 where none is. */
static double ratio_of(const float *before, const float *after, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++)
        if (before[j] != 0.0f)
            return (double)after[j] / (double)before[j];
    return 1.0;
}

/*
 * What the sub-blocks of a block share, for its codes: Q becomes Q + a u + c g, u values without their mins, g the mins. Of the
 * values as they will decode these differ by roundings to float32 alone.
 */
static void move_shared(struct row *r, uint64_t first, uint32_t n)
{
    const struct el_descent *const d = r->d;
    const struct el_grid *const grid = d->enc.e->grid;
    struct el_grid_block *const b = &r->block[first / d->width], next = *b;
    double *const p = r->p + (first - r->begin), *const u = r->t, *const g = r->at, *const hu = r->u, *const hg = r->g;
    if (!grid->share && b->sub_n != b->n)
        return;
    for (uint32_t i = 0; i < n; i++) {
        g[i] = -(double)b->min[i / b->sub_n];
        u[i] = value_of(r, first + i) - g[i];
    }
    times_block(r, first, n, u, hu);
    times_block(r, first, n, g, hg);
    const double uu = dot(u, hu, n), ug = dot(u, hg, n), gg = dot(g, hg, n), pu = dot(u, p, n), pg = dot(g, p, n);
    const double det = uu * gg - ug * ug;
    if (!(uu > 0.0))
        return;
    double a = pu / uu, c = 0.0;
    if (det > 1e-6 * uu * gg) {
        a = (pu * gg - pg * ug) / det;
        c = (pg * uu - pu * ug) / det;
    }
    if (!(fabs(a) < 0.5) || !(fabs(c) < 0.5))
        return;
    if (grid->share) {
        grid->share(&d->enc, (float)(1.0 + a), (float)(1.0 + c), &next);
    } else {
        const float step = b->step[0] * (float)(1.0 + a), min = b->min[0] * (float)(1.0 + c);
        grid->set(&d->enc, &step, &min, n, &next);
    }
    if (next.lo != b->lo || next.hi != b->hi)
        return; /* the codes mean something else now */
    a = ratio_of(b->step, next.step, n / b->sub_n) - 1.0;
    c = ratio_of(b->min, next.min, n / b->sub_n) - 1.0;
    const double change = a * (a * uu + 2.0 * c * ug - 2.0 * pu) + c * (c * gg - 2.0 * pg);
    if (!(change < -LEAST * uu))
        return;
    *b = next;
    for (uint32_t i = 0; i < n; i++)
        r->error[first + i] -= a * u[i] + c * g[i];
    if (n == r->end - r->begin) {
        for (uint32_t i = 0; i < n; i++)
            p[i] -= a * hu[i] + c * hg[i];
    } else {
        for (uint32_t i = 0; i < n; i++)
            el_f64_axpy(r->p, -(a * u[i] + c * g[i]), d->h + (first + i) * d->n_in + r->begin, r->end - r->begin);
    }
    r->gain -= change;
}

static void descend_row(struct row *r)
{
    const struct el_descent *const d = r->d;
    for (uint64_t first = r->begin; d->scales && first < r->end; first += d->width) {
        const uint64_t end = r->end - first < d->width ? r->end : first + d->width;
        for (uint64_t i = first; i < end; i += d->sub_n)
            move_scale(r, i, end - i < d->sub_n ? (uint32_t)(end - i) : d->sub_n);
        move_shared(r, first, (uint32_t)(end - first));
    }
    for (int sweep = 0; sweep < SWEEPS && (d->unit_n > 1 ? move_units(r) : move_codes(r)); sweep++)
        continue;
}

enum el_status el_descend(const struct el_descent *d, const double *target, uint64_t n_rows, uint32_t rounds,
                          struct el_grid_block *block, int16_t *level, double *error, double *gain, struct el_err *err)
{
    const size_t chunk = d->chunk < d->n_in ? d->chunk : (size_t)d->n_in, n_in = (size_t)d->n_in;
    double *const p = el_alloc_array((size_t)n_rows * chunk, sizeof *p);
    double *const panel = el_alloc_array(n_in * EL_F64_PANEL, sizeof *panel);
    double *const scratch = el_alloc_array(chunk * 4, sizeof *scratch);
    float *const x = el_alloc_array(chunk, sizeof *x);
    int16_t *const levels = el_alloc_array(chunk * 2, sizeof *levels);
    const bool ok = p && panel && scratch && x && levels;
    *gain = 0.0;
    for (uint64_t r = 0; ok && r < n_rows; r++) {
        struct row row = {.d = d, .block = block + r * d->n_blocks, .level = level + r * n_in};
        for (uint64_t i = 0; i < n_in; i++)
            error[r * n_in + i] = target[r * n_in + i] - value_of(&row, i);
    }
    for (uint64_t step = 0, at = 0; ok && step < rounds * ((n_in + chunk - 1) / chunk); step++) {
        const uint64_t end = n_in - at < chunk ? n_in : at + chunk;
        memset(p, 0, (size_t)n_rows * chunk * sizeof *p);
        el_f64_matmul(p, chunk, error, n_in, d->h + at, n_in, n_rows, end - at, n_in, panel);
        for (uint64_t r = 0; r < n_rows; r++) {
            struct row row = {.d = d,
                              .error = error + r * n_in,
                              .p = p + r * chunk,
                              .begin = at,
                              .end = end,
                              .block = block + r * d->n_blocks,
                              .level = level + r * n_in,
                              .t = scratch,
                              .at = scratch + chunk,
                              .u = scratch + 2 * chunk,
                              .g = scratch + 3 * chunk,
                              .x = x,
                              .anew = step * chunk < n_in,
                              .trial = levels,
                              .best = levels + chunk};
            descend_row(&row);
            *gain += row.gain;
        }
        at = end == n_in ? 0 : end;
    }
    /* Sums of steps become what the codes say. */
    for (uint64_t r = 0; ok && r < n_rows; r++) {
        struct row row = {.d = d, .block = block + r * d->n_blocks, .level = level + r * n_in};
        for (uint64_t i = 0; i < n_in; i++)
            error[r * n_in + i] = target[r * n_in + i] - value_of(&row, i);
    }
    el_free(p);
    el_free(panel);
    el_free(scratch);
    el_free(x);
    el_free(levels);
    return ok ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for %llu rows of %zu", (unsigned long long)n_rows, n_in);
}
