/* See strips.h. */
#include "quant/strips.h"

#include "quant/slice.h"

enum {
    STRIP_ELEMS = 128 << 10,   /* 256 KiB of f16: large enough for the calls that read and write it */
    PIECE_ELEMS = 16 << 10,    /* 64 KiB of f32: decoded, encoded and measured while they are in the core's own cache */
    PROGRAM_NBYTES = 16 << 20, /* the program and its libraries, with what they allocate before they work */
    TENSOR_NBYTES = 4 << 10,   /* of directory, plan and reports */
    META_COPIES = 4,           /* of the source, of the plan, and of the header as bytes, in a buffer that grows by doubling */
};

uint64_t el_slice_rows(const struct el_tensor *t, const struct el_plan_entry *entry)
{
    return el_slice_wanted(entry) && entry->stats->n_experts > 0 ? t->n_rows / entry->stats->n_experts : t->n_rows;
}

/* Rows of the tensor that make about `elems` numbers; all of them where the method wants to see them together. */
static uint64_t rows_of(const struct el_tensor *t, const struct el_plan_entry *entry, uint64_t elems)
{
    const bool by_rows = !entry->method || entry->method->by_rows;
    if (entry->method && entry->method->min_rows > 0)
        return entry->method->min_rows < el_slice_rows(t, entry) ? entry->method->min_rows : el_slice_rows(t, entry);
    const uint64_t rows = t->n_in ? elems / t->n_in : t->n_rows;
    return !by_rows ? t->n_rows : rows == 0 ? 1 : rows < t->n_rows ? rows : t->n_rows;
}

uint64_t el_strip_rows(const struct el_tensor *t, const struct el_plan_entry *entry)
{
    return rows_of(t, entry, STRIP_ELEMS);
}

uint64_t el_piece_rows(const struct el_tensor *t, const struct el_plan_entry *entry)
{
    return rows_of(t, entry, PIECE_ELEMS);
}

uint64_t el_lay_parts(const struct el_part_shape *parts, uint32_t n_parts, uint64_t n_rows, uint8_t *buf,
                      uint8_t *out[EL_MAX_PARTS])
{
    uint64_t at = 0;
    for (uint32_t p = 0; p < EL_MAX_PARTS; p++) {
        out[p] = p < n_parts && buf ? buf + at : NULL;
        if (p < n_parts)
            at += parts[p].row_nbytes ? parts[p].row_nbytes * n_rows : parts[p].nbytes;
    }
    return at;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct el_strip_nbytes el_strip_buffers(const struct el_source *source, const struct el_plan *plan)
{
    struct el_strip_nbytes all = {.in = 0};
    for (size_t i = 0; i < plan->n; i++) {
        const struct el_tensor *const t = &source->tensors[i];
        const struct el_plan_entry *const entry = &plan->entries[i];
        const uint64_t rows = el_strip_rows(t, entry);
        struct el_part_shape to[EL_MAX_PARTS];
        uint32_t n_parts = 0;
        uint8_t *unused[EL_MAX_PARTS];
        (void)entry->to.e->parts(&entry->to, t->n_rows, t->n_in, to, &n_parts);
        all.in = most(all.in, el_lay_parts(t->parts, t->n_parts, rows, NULL, unused));
        all.out = most(all.out, el_lay_parts(to, n_parts, rows, NULL, unused));
        all.x = most(all.x, el_piece_rows(t, entry) * t->n_in * sizeof(float));
        all.row = most(all.row, t->n_in * sizeof(float));
    }
    return all;
}

/* ---- a budget ---- */

static uint64_t meta_nbytes(const struct el_meta *meta)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < el_meta_count(meta); i++) {
        const size_t n = el_meta_n_elems(meta, i);
        sum +=
            n * (el_meta_elem_type(meta, i) == EL_META_STR ? sizeof(uint64_t) : el_meta_type_nbytes(el_meta_elem_type(meta, i)));
        for (size_t j = 0; el_meta_elem_type(meta, i) == EL_META_STR && j < n; j++) {
            size_t nbytes;
            (void)el_meta_str(meta, i, j, &nbytes);
            sum += nbytes + 1;
        }
    }
    return sum;
}

/* While tensor i is worked on by so many threads: what its method keeps. */
static uint64_t method_nbytes(const struct el_source *source, const struct el_plan *plan, size_t i, unsigned n_threads)
{
    const struct el_tensor *const t = &source->tensors[i];
    const struct el_plan_entry *const entry = &plan->entries[i];
    const struct el_method *const m = entry->method;
    const bool cross = entry->stats && entry->stats->has & EL_STATS_CROSS && !plan->how.no_cross;
    uint64_t sum = el_slice_wanted(entry) ? t->n_in * sizeof(float) : 0;
    if (el_slice_wanted(entry) && m->open_nbytes)
        sum += m->open_nbytes(&entry->to, t->n_in, cross, n_threads);
    if (m && m->strip_nbytes)
        sum += n_threads * m->strip_nbytes(&entry->to, el_piece_rows(t, entry), t->n_in);
    return sum;
}

/* While the changes of the model are decided, and what stays of them: changed rows are made in a buffer of their own. */
static uint64_t fold_nbytes(const struct el_plan *plan, unsigned n_threads, uint64_t strip_nbytes)
{
    if (!plan->fold)
        return 0;
    const struct el_fold_task task = {.fold = plan->fold, .stats = plan->stats, .opts = &plan->how};
    uint64_t deciding = 0;
    for (size_t i = 0; i < plan->n_folds; i++)
        if (plan->folds[i]->nbytes)
            deciding = most(deciding, plan->folds[i]->nbytes(&task, n_threads));
    return el_fold_nbytes(plan->fold, plan->stats, plan->n_folds, n_threads) + deciding + n_threads * strip_nbytes;
}

static uint64_t needed(const struct el_source *source, const struct el_plan *plan, unsigned n_threads, size_t *tensor)
{
    const struct el_strip_nbytes b = el_strip_buffers(source, plan);
    uint64_t methods = 0;
    *tensor = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const uint64_t own = method_nbytes(source, plan, i, n_threads);
        *tensor = own > methods ? i : *tensor;
        methods = most(methods, own);
    }
    return PROGRAM_NBYTES + META_COPIES * meta_nbytes(source->meta) + TENSOR_NBYTES * plan->n +
           n_threads * (b.in + b.out + b.x + b.row) + methods + fold_nbytes(plan, n_threads, b.in);
}

enum el_status el_strip_threads(const struct el_source *source, const struct el_plan *plan, uint64_t max_nbytes,
                                unsigned *n_threads, struct el_err *err)
{
    size_t tensor;
    unsigned n = *n_threads ? *n_threads : el_n_cpus();
    if (max_nbytes == 0)
        return EL_OK;
    while (n > 1 && needed(source, plan, n, &tensor) > max_nbytes)
        n--;
    const uint64_t least = needed(source, plan, n, &tensor);
    if (least > max_nbytes)
        return el_fail(err, EL_E_USAGE, "memory of %llu bytes: at least %llu are needed, for tensor '%s'",
                       (unsigned long long)max_nbytes, (unsigned long long)least, plan->n ? source->tensors[tensor].name : "");
    *n_threads = n;
    return EL_OK;
}
