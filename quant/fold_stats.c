/*
 * Statistics of the changed inputs. With x' = S^-1 x (gains) or x' = Q x (rotations), in the order of the changes,
 * H' = sum x' x'^T = S^-1 H S^-1 or Q H Q^T, and C' likewise. A gain divides what is there; a rotation wants all of H, which is
 * made once and kept until another input is asked for.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "quant/fold_impl.h"

/* The changes that a matrix of the folded source has on its columns: those of what it reads. NULL: none. */
static const struct fold_tensor *changes_of(const struct el_fold *fold, const char *name)
{
    const size_t i = fold ? el_source_find(fold->source, name) : SIZE_MAX;
    return i == SIZE_MAX || !fold->tensors[i].changed ? NULL : &fold->tensors[i];
}

static bool is_rotated(const struct fold_tensor *t)
{
    bool rotated = false;
    for (size_t i = 0; t && i < t->n_ops; i++)
        rotated = rotated || (t->ops[i].kind != FOLD_ROWS && t->ops[i].change->kind == EL_FOLD_ROTATE);
    return rotated;
}

bool el_fold_rotates_input(const struct el_fold *fold, const char *name)
{
    const size_t tensor = fold ? el_source_find(fold->source, name) : SIZE_MAX;
    for (size_t i = 0; tensor != SIZE_MAX && i < fold->n_places; i++) {
        const struct fold_place *const place = &fold->places[i];
        for (size_t k = 0; place->marked[EL_FOLD_ROTATE] && k < place->p.n_consumers; k++)
            if (place->p.consumers[k].tensor == tensor)
                return true;
    }
    return false;
}

const struct el_stats_matrix *el_fold_stats_find(const struct el_fold *fold, const struct el_stats *stats, const char *name)
{
    if (!stats)
        return NULL;
    const size_t i = fold && fold->output != SIZE_MAX ? el_source_find(fold->source, name) : SIZE_MAX;
    if (i == SIZE_MAX || fold->output >= fold->source->n_tensors)
        return el_stats_find(stats, name);
    /* The output has parted from the embedding, which now multiplies nothing. */
    if (i == fold->output)
        return el_stats_find(stats, fold->source->tensors[fold->tensors[i].base].name);
    return i == fold->tensors[fold->output].base ? NULL : el_stats_find(stats, name);
}

/* What column j of the input was divided by, all gains together. out [n_in] */
static void divisors(const struct fold_tensor *t, uint32_t expert, uint64_t n_in, double *out)
{
    for (uint64_t j = 0; j < n_in; j++)
        out[j] = 1.0;
    for (size_t i = 0; t && i < t->n_ops; i++)
        if (t->ops[i].kind != FOLD_ROWS)
            el_fold_columns(&t->ops[i], expert, n_in, false, out, NULL);
}

/* The sums of H, or C, of a rotated input; the caller holds the lock. */
static enum el_status make_sums(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                                const struct fold_tensor *t, uint32_t expert, bool cross, const double **out, struct el_err *err)
{
    enum { PANEL = 64 };
    struct fold_sums *const s = &fold->sums[cross];
    const uint64_t n = m->n_in;
    if (s->sums && s->stats == stats && s->input == m->input && s->expert == expert && s->n_changes == fold->n_changes) {
        *out = s->sums;
        return EL_OK;
    }
    el_free(s->sums);
    *s = (struct fold_sums){stats, m->input, expert, fold->n_changes, el_alloc_array((size_t)(n * n), sizeof *s->sums)};
    double *const x = el_alloc_array((size_t)(n * PANEL + el_fold_scratch(t, PANEL)), sizeof *x);
    enum el_status status = s->sums && x ? EL_OK : el_fold_no_memory(err);
    for (uint64_t r = 0, rows; r < n && status == EL_OK; r += rows) {
        rows = n - r < EL_STATS_TILE ? n - r : EL_STATS_TILE;
        status = cross ? el_stats_cross(stats, m, r, rows, s->sums + r * n, err)
                       : el_stats_hessian(stats, m, expert, r, rows, s->sums + r * n, err);
    }
    for (size_t i = 0; status == EL_OK && i < t->n_ops; i++) {
        const struct fold_op *const op = &t->ops[i];
        if (op->kind == FOLD_ROWS)
            continue;
        for (uint64_t r = 0; r < n; r++)
            el_fold_columns(op, expert, n, true, s->sums + r * n, x);
        for (uint64_t j = 0, w; j < n; j += w) {
            w = n - j < PANEL ? n - j : PANEL;
            for (uint64_t r = 0; r < n; r++)
                memcpy(x + r * w, s->sums + r * n + j, (size_t)w * sizeof *x);
            el_fold_column_panel(op, expert, n, x, w, x + n * w);
            for (uint64_t r = 0; r < n; r++)
                memcpy(s->sums + r * n + j, x + r * w, (size_t)w * sizeof *x);
        }
    }
    el_free(x);
    if (status != EL_OK) {
        el_free(s->sums);
        s->sums = NULL;
        return status;
    }
    *out = s->sums;
    return EL_OK;
}

/* Rows of the sums of a rotated input. */
static enum el_status rotated_rows(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                                   const struct fold_tensor *t, uint32_t expert, bool cross, uint64_t row0, uint64_t n_rows,
                                   double *out, struct el_err *err)
{
    const double *sums = NULL;
    if (row0 > m->n_in || n_rows > m->n_in - row0)
        return el_fail(err, EL_E_USAGE, "rows %llu to %llu of the sums of '%s', which reads %llu columns",
                       (unsigned long long)row0, (unsigned long long)(row0 + n_rows), m->name, (unsigned long long)m->n_in);
    (void)pthread_mutex_lock(&fold->lock);
    const enum el_status status = make_sums(fold, stats, m, t, expert, cross, &sums, err);
    if (status == EL_OK)
        memcpy(out, sums + row0 * m->n_in, (size_t)(n_rows * m->n_in) * sizeof *out);
    (void)pthread_mutex_unlock(&fold->lock);
    return status;
}

/* Rows row0 .. of sums that gains alone have changed. */
static enum el_status divide_rows(const struct fold_tensor *t, const struct el_stats_matrix *m, uint32_t expert, uint64_t row0,
                                  uint64_t n_rows, double *out, struct el_err *err)
{
    if (!t)
        return EL_OK;
    double *const by = el_alloc_array((size_t)m->n_in, sizeof *by);
    if (!by)
        return el_fold_no_memory(err);
    divisors(t, expert, m->n_in, by);
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t j = 0; j < m->n_in; j++)
            out[r * m->n_in + j] /= by[row0 + r] * by[j];
    el_free(by);
    return EL_OK;
}

enum el_status el_fold_hessian(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                               const char *name, uint32_t expert, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct fold_tensor *const t = changes_of(fold, name);
    if (is_rotated(t))
        return rotated_rows(fold, stats, m, t, expert, false, row0, n_rows, out, err);
    EL_TRY(el_stats_hessian(stats, m, expert, row0, n_rows, out, err));
    return divide_rows(t, m, expert, row0, n_rows, out, err);
}

enum el_status el_fold_cross(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                             const char *name, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct fold_tensor *const t = changes_of(fold, name);
    if (is_rotated(t))
        return rotated_rows(fold, stats, m, t, 0, true, row0, n_rows, out, err);
    EL_TRY(el_stats_cross(stats, m, row0, n_rows, out, err));
    return divide_rows(t, m, 0, row0, n_rows, out, err);
}

/* The diagonal of a rotated H, over the number of tokens. */
static enum el_status rotated_importance(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                                         const struct fold_tensor *t, uint32_t expert, float *out, struct el_err *err)
{
    double n = 0.0;
    const double *sums = NULL;
    EL_TRY(el_stats_count(stats, m, expert, &n, err));
    if (!(m->has & EL_STATS_HESSIAN))
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': what a rotated input's columns weigh takes the sums of products", m->name);
    (void)pthread_mutex_lock(&fold->lock);
    const enum el_status status = n > 0.0 ? make_sums(fold, stats, m, t, expert, false, &sums, err) : EL_OK;
    for (uint64_t j = 0; j < m->n_in && status == EL_OK; j++)
        out[j] = sums ? (float)fmax(sums[j * m->n_in + j] / n, 0.0) : 1.0f;
    (void)pthread_mutex_unlock(&fold->lock);
    return status;
}

enum el_status el_fold_importance(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                                  const char *name, uint32_t expert, float *out, struct el_err *err)
{
    const struct fold_tensor *const t = changes_of(fold, name);
    if (is_rotated(t))
        return rotated_importance(fold, stats, m, t, expert, out, err);
    EL_TRY(el_stats_importance(stats, m, expert, out, err));
    double n = 0.0;
    EL_TRY(el_stats_count(stats, m, expert, &n, err));
    if (!t || n == 0.0)
        return EL_OK;
    double *const by = el_alloc_array((size_t)m->n_in, sizeof *by);
    if (!by)
        return el_fold_no_memory(err);
    divisors(t, expert, m->n_in, by);
    for (uint64_t j = 0; j < m->n_in; j++)
        out[j] = (float)((double)out[j] / (by[j] * by[j]));
    el_free(by);
    return EL_OK;
}

enum el_status el_fold_abs(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m, const char *name,
                           uint32_t expert, float *mean, float *max, struct el_err *err)
{
    const struct fold_tensor *const t = changes_of(fold, name);
    if (is_rotated(t))
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': of a rotated input neither mean nor maximum is known", m->name);
    EL_TRY(el_stats_abs(stats, m, expert, mean, max, err));
    if (!t)
        return EL_OK;
    double *const by = el_alloc_array((size_t)m->n_in, sizeof *by);
    if (!by)
        return el_fold_no_memory(err);
    divisors(t, expert, m->n_in, by);
    for (uint64_t j = 0; j < m->n_in; j++) {
        if (mean)
            mean[j] = (float)((double)mean[j] / fabs(by[j]));
        if (max)
            max[j] = (float)((double)max[j] / fabs(by[j]));
    }
    el_free(by);
    return EL_OK;
}
