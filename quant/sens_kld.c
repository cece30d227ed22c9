/* Divergences of cells and of plans; the machine is quant/divergence.h. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "quant/divergence.h"

/* The cell that stands for a candidate: the next larger one that fits, else the next smaller. SIZE_MAX: none fits. */
static size_t nearest_column(const struct el_sens *s, size_t row, size_t column)
{
    for (size_t c = column; c < s->n_columns; c++)
        if (s->rows[row].cells[c].fits)
            return c;
    for (size_t c = column; c-- > 0;)
        if (s->rows[row].cells[c].fits)
            return c;
    return SIZE_MAX;
}

struct cell_list {
    struct el_sens *s;
    uint32_t *choice; /* [n, rows] */
    struct cell_at {
        size_t row, column;
    } * at;
    double *kld;
    size_t n;
};

static enum el_status on_group(void *user, size_t first, size_t n, struct el_err *err)
{
    const struct cell_list *const list = user;
    for (size_t i = first; i < first + n; i++) {
        list->s->rows[list->at[i].row].cells[list->at[i].column].kld = list->kld[i];
        EL_TRY(el_sens_file_kld(list->s, list->at[i].row, list->at[i].column, err));
    }
    return el_sens_file_sync(list->s, err);
}

/* Each cell once, in the order of the rows, which is that of the layers. */
static enum el_status make_list(struct cell_list *list, const size_t *candidates, size_t n, struct el_err *err)
{
    struct el_sens *const s = list->s;
    const size_t most = s->n_rows * s->n_columns;
    bool *const wanted = el_calloc_array(most, sizeof *wanted);
    list->at = el_alloc_array(most, sizeof *list->at);
    if (!wanted || !list->at) {
        el_free(wanted);
        return el_fail(err, EL_E_MEMORY, "out of memory for divergences");
    }
    for (size_t i = 0; i < s->n_rows; i++)
        for (size_t k = 0; k < (n ? n : s->n_columns); k++) {
            const size_t asked = n ? candidates[k] : k, c = n ? nearest_column(s, i, asked) : asked;
            if (c != SIZE_MAX && s->rows[i].cells[c].fits && isnan(s->rows[i].cells[c].kld))
                wanted[i * s->n_columns + c] = true;
        }
    for (size_t k = 0; k < most; k++)
        if (wanted[k])
            list->at[list->n++] = (struct cell_at){k / s->n_columns, k % s->n_columns};
    el_free(wanted);
    list->choice = el_alloc_array(list->n, s->n_rows * sizeof *list->choice);
    list->kld = el_alloc_array(list->n, sizeof *list->kld);
    if (!list->choice || !list->kld)
        return el_fail(err, EL_E_MEMORY, "out of memory for divergences");
    for (size_t k = 0; k < list->n; k++) {
        for (size_t i = 0; i < s->n_rows; i++)
            list->choice[k * s->n_rows + i] = EL_SENS_KEEP;
        list->choice[k * s->n_rows + list->at[k].row] = (uint32_t)list->at[k].column;
    }
    return EL_OK;
}

static enum el_status open_divergence(struct el_sens *s, struct el_err *err)
{
    return s->divergence ? EL_OK : el_divergence_open(s, &s->divergence, err);
}

enum el_status el_sens_divergences(struct el_sens *sens, const size_t *candidates, size_t n, struct el_err *err)
{
    struct cell_list list = {.s = sens};
    for (size_t k = 0; k < n; k++)
        if (candidates[k] >= sens->n_columns)
            return el_fail(err, EL_E_USAGE, "candidate %zu: there are %zu", candidates[k], sens->n_columns);
    enum el_status status = open_divergence(sens, err);
    if (status == EL_OK)
        status = make_list(&list, candidates, n, err);
    if (status == EL_OK && list.n > 0)
        status = el_divergence_run(sens->divergence, list.choice, list.n, list.kld, on_group, &list, err);
    el_free(list.at);
    el_free(list.choice);
    el_free(list.kld);
    return status;
}

enum el_status el_sens_try(struct el_sens *sens, const uint32_t *choice, size_t n_plans, double *kld, struct el_err *err)
{
    for (size_t k = 0; k < n_plans * sens->n_rows; k++) {
        const size_t row = k % sens->n_rows;
        if (choice[k] == EL_SENS_KEEP || (choice[k] < sens->n_columns && sens->rows[row].cells[choice[k]].fits))
            continue;
        return el_fail(err, EL_E_USAGE, "plan %zu: tensor '%s' has no candidate %u that fits", k / sens->n_rows,
                       sens->source->tensors[sens->rows[row].tensor].name, choice[k]);
    }
    EL_TRY(open_divergence(sens, err));
    return el_divergence_run(sens->divergence, choice, n_plans, kld, NULL, NULL, err);
}
