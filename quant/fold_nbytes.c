/* What a fold takes of memory, known from what is marked: before a weight is read. */
#include "quant/fold_impl.h"

enum {
    PANEL_NBYTES = 64 * sizeof(double), /* of a row of what is rotated together, the wider of the two panels */
    READ_NBYTES = 1 << 20,              /* that reading rows of the base as numbers takes */
    N_MADE = sizeof((struct el_fold *)0)->made / sizeof *((struct el_fold *)0)->made,
};

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Columns of a rotation's scratch: the odd part of its size. */
static uint64_t odd_part(uint64_t n)
{
    return n ? n / (n & (~n + 1)) : 0;
}

/* A producer's rows that a rotation mixes: the matrix, or one expert's part. 0: made row by row. */
static uint64_t made_nbytes(const struct el_fold *fold, const struct el_fold_end *end)
{
    const struct el_tensor *const t = &fold->source->tensors[end->tensor];
    return end->vector || end->rows_are_in ? 0 : t->n_rows / end->n_experts * t->n_in * sizeof(float);
}

static uint64_t sums_nbytes(const struct el_fold *fold, const struct el_stats *stats, const struct el_fold_end *end)
{
    const struct el_stats_matrix *const m = el_fold_stats_find(fold, stats, end->name);
    const uint64_t n = m ? m->n_in * m->n_in * sizeof(double) : 0;
    return (m && m->has & EL_STATS_HESSIAN ? n : 0) + (m && m->has & EL_STATS_CROSS ? n : 0);
}

uint64_t el_fold_nbytes(const struct el_fold *fold, const struct el_stats *stats, size_t n_methods, unsigned n_threads)
{
    uint64_t changes = 0, made = 0, sums = 0, rows = 1, columns = 1, odd = 1;
    for (size_t i = 0; i < fold->n_places; i++) {
        const struct fold_place *const place = &fold->places[i];
        const struct el_fold_place *const p = &place->p;
        if (place->marked[EL_FOLD_GAIN])
            changes += n_methods * (sizeof(struct fold_change) + p->n_groups * p->n_channels * sizeof(double));
        for (size_t k = 0; k < p->n_producers + p->n_consumers; k++) {
            const struct el_fold_end *const end = &place->ends[k];
            columns = most(columns, end->n_in);
            if (!place->marked[EL_FOLD_ROTATE])
                continue;
            if (k < p->n_producers)
                made = most(made, made_nbytes(fold, end));
            else
                sums = most(sums, sums_nbytes(fold, stats, end));
            rows = most(rows, most(fold->source->tensors[end->tensor].n_rows / end->n_experts, end->n_in));
        }
        if (!place->marked[EL_FOLD_ROTATE])
            continue;
        odd = most(odd, odd_part(p->head_n));
        changes += n_methods * (sizeof(struct fold_change) + 2 * p->head_n * (sizeof(double) + sizeof(float)));
    }
    const uint64_t panel = made + sums > 0 ? (rows + odd) * PANEL_NBYTES : 0;
    return changes + N_MADE * made + sums + panel + n_threads * ((columns + odd) * sizeof(double) + READ_NBYTES);
}
