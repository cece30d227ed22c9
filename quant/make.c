/* See make.h. */
#include "quant/make.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/kernels.h"
#include "quant/measure.h"

enum {
    PIECE_ELEMS = 16 << 10, /* of a job: decoded, encoded and measured while they are in the core's own cache */
    BLOCK_ELEMS = 8 << 20,  /* numbers of a whole tensor that are in memory as f32 at a time */
};

/* Bytes of factored sums of products: one of 8,192 columns, or many of few. */
static const uint64_t MAX_KEPT = 768u << 20;

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for a quantized matrix");
}

enum el_status el_made_open(struct el_made *made, const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_err *err)
{
    uint64_t nbytes = 0;
    *made = (struct el_made){.enc = *enc, .n_rows = n_rows, .n_in = n_in};
    if (!enc->e->parts(enc, n_rows, n_in, made->parts, &made->n_parts))
        return el_fail(err, EL_E_USAGE, "rows of %llu elements do not fit %s", (unsigned long long)n_in, enc->e->name);
    for (uint32_t p = 0; p < made->n_parts; p++)
        nbytes += (made->parts[p].nbytes + 63) / 64 * 64;
    made->block = nbytes <= SIZE_MAX ? el_alloc_aligned((size_t)nbytes) : NULL;
    if (!made->block)
        return no_memory(err);
    nbytes = 0;
    for (uint32_t p = 0; p < made->n_parts; p++) {
        made->data[p] = made->block + nbytes;
        nbytes += (made->parts[p].nbytes + 63) / 64 * 64;
    }
    return EL_OK;
}

void el_made_release(struct el_made *made)
{
    el_free_aligned(made->block);
    *made = (struct el_made){.block = NULL};
}

struct el_matrix el_made_matrix(const struct el_made *made)
{
    struct el_matrix m = {.enc = made->enc, .n_rows = made->n_rows, .n_in = made->n_in};
    for (uint32_t p = 0; p < made->n_parts; p++) {
        m.data[p] = made->data[p];
        m.row_nbytes[p] = made->parts[p].row_nbytes;
    }
    return m;
}

uint32_t el_make_n_experts(const struct el_tensor *t)
{
    return t->n_dims >= 3 ? (uint32_t)t->dims[t->n_dims - 3] : 1;
}

/* ---- reading ---- */

static enum el_status read_block(struct el_source *source, const struct el_tensor *t, uint64_t row0, uint64_t n,
                                 struct el_made *stored, float *out, struct el_err *err)
{
    EL_TRY(el_source_read_parts(source, t, NULL, row0, n, stored->data, err));
    struct el_matrix m = el_made_matrix(stored);
    m.n_rows = n;
    el_kernels_decode(el_kernels(), &m, 0, n, out);
    uint64_t first = 0;
    if (el_clean(out, n * t->n_in, &first) > 0)
        return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': element %llu is NaN or infinite", source->path, t->name,
                       (unsigned long long)(row0 * t->n_in + first));
    return EL_OK;
}

enum el_status el_make_read(struct el_source *source, const struct el_tensor *t, const uint64_t *row, uint64_t row0, uint64_t n,
                            float *out, struct el_err *err)
{
    struct el_made stored;
    enum el_status status = el_made_open(&stored, &t->enc, row ? 1 : n, t->n_in, err);
    if (status == EL_OK && !row)
        status = read_block(source, t, row0, n, &stored, out, err);
    for (uint64_t r = 0; row && r < n && status == EL_OK; r++)
        status = read_block(source, t, row[r], 1, &stored, out + r * t->n_in, err);
    el_made_release(&stored);
    return status;
}

/* ---- quantizing ---- */

struct sums {
    double w2, err2, out2;
    enum el_status status;
    struct el_err err;
};

struct making {
    const struct el_plan *plan;
    const struct el_plan_entry *entry;
    const struct el_slice *slice;
    const struct el_method *method; /* NULL: conversion */
    const float *x;
    uint64_t n, piece, at;
    struct el_made *made;
    float *scratch;    /* [threads, n_in] */
    struct sums *sums; /* [pieces] */
};

static enum el_status run_piece(const struct making *m, uint64_t row0, uint64_t n, float *scratch, struct sums *sums)
{
    const struct el_made *const made = m->made;
    struct el_quant_job job = {.x = m->x + row0 * made->n_in,
                               .importance = m->slice->importance,
                               .n_rows = n,
                               .n_in = made->n_in,
                               .enc = made->enc,
                               .scratch = scratch,
                               .shared = m->slice->shared,
                               .opts = &m->plan->how,
                               .sum_out2 = (double)NAN};
    for (uint32_t p = 0; p < made->n_parts; p++)
        job.parts_out[p] = made->data[p] + (m->at + row0) * made->parts[p].row_nbytes;
    EL_TRY(m->method ? m->method->quantize(&job, &sums->err) : el_quant_encode(&job, EL_ENCODE_NEAREST, &sums->err));
    if (!isfinite(job.sum_err2))
        return el_fail(&sums->err, EL_E_UNSUPPORTED, "values too large for %s", made->enc.e->name);
    sums->w2 = job.sum_w2;
    sums->err2 = job.sum_err2;
    sums->out2 = job.sum_out2;
    return EL_OK;
}

static void run_pieces(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct making *const m = arg;
    for (uint64_t i = begin; i < end; i++) {
        struct sums *const sums = &m->sums[i];
        const uint64_t row0 = i * m->piece, n = m->n - row0 < m->piece ? m->n - row0 : m->piece;
        if (el_interrupted())
            sums->status = el_fail(&sums->err, EL_E_INTERRUPTED, "interrupted");
        else
            sums->status = run_piece(m, row0, n, m->scratch + thread * m->made->n_in, sums);
    }
}

static uint64_t piece_rows(const struct el_method *method, uint64_t n, uint64_t n_in)
{
    if (method && !method->by_rows)
        return n;
    if (method && method->min_rows > 0)
        return method->min_rows;
    return PIECE_ELEMS / n_in > 0 ? PIECE_ELEMS / n_in : 1;
}

enum el_status el_make_rows(const struct el_plan *plan, const struct el_plan_entry *entry, const struct el_slice *slice,
                            const float *x, uint64_t n, struct el_made *made, uint64_t at, struct el_pool *pool,
                            struct el_err *err)
{
    struct making m = {.plan = plan, .entry = entry, .slice = slice, .x = x, .n = n, .at = at, .made = made};
    m.method = slice->entry ? slice->method : entry->method;
    m.piece = piece_rows(m.method, n, made->n_in);
    const uint64_t n_pieces = (n + m.piece - 1) / m.piece;
    enum el_status status = EL_OK;
    m.scratch = el_alloc_array((size_t)made->n_in * el_pool_n(pool), sizeof *m.scratch);
    m.sums = el_calloc_array((size_t)n_pieces, sizeof *m.sums);
    if (!m.scratch || !m.sums)
        status = no_memory(err);
    else
        el_pool_run(pool, n_pieces, 1, run_pieces, &m);
    for (uint64_t i = 0; i < n_pieces && status == EL_OK; i++) {
        status = m.sums[i].status;
        if (status != EL_OK && err)
            *err = m.sums[i].err;
        made->sum_w2 += m.sums[i].w2;
        made->sum_err2 += m.sums[i].err2;
        made->sum_out2 += m.sums[i].out2;
    }
    el_free(m.scratch);
    el_free(m.sums);
    return status;
}

/* ---- a whole tensor ---- */

struct el_solve_kept *el_make_factors(struct el_make_factors *f, const struct el_stats_matrix *m, uint32_t expert)
{
    if (!m)
        return NULL;
    if (f->input != m->input || f->expert != expert)
        el_solve_kept_release(&f->kept);
    f->input = m->input;
    f->expert = expert;
    f->kept.max_nbytes = MAX_KEPT;
    return &f->kept;
}

static enum el_status make_slice(struct el_source *source, const struct el_plan *plan, size_t tensor, struct el_slice *slice,
                                 uint64_t row0, uint64_t n_rows, float *x, uint64_t block, struct el_made *made,
                                 struct el_pool *pool, struct el_err *err)
{
    const struct el_tensor *const t = &source->tensors[tensor];
    for (uint64_t r = 0, n; r < n_rows; r += n) {
        n = n_rows - r < block ? n_rows - r : block;
        EL_TRY(el_make_read(source, t, NULL, row0 + r, n, x, err));
        EL_TRY(el_make_rows(plan, &plan->entries[tensor], slice, x, n, made, row0 + r, pool, err));
    }
    return EL_OK;
}

static enum el_status make_slices(struct el_source *source, const struct el_plan *plan, size_t tensor,
                                  struct el_make_factors *factors, struct el_made *made, struct el_pool *pool, struct el_err *err)
{
    const struct el_tensor *const t = &source->tensors[tensor];
    const struct el_plan_entry *const entry = &plan->entries[tensor];
    const uint32_t n_experts = el_slice_wanted(entry) ? el_make_n_experts(t) : 1;
    const uint64_t n_rows = t->n_rows / n_experts;
    const bool by_rows = !entry->method || entry->method->by_rows;
    const uint64_t most = BLOCK_ELEMS / t->n_in > 64 ? BLOCK_ELEMS / t->n_in / 64 * 64 : 64;
    const uint64_t block = by_rows && most < n_rows ? most : n_rows;
    struct el_slice slice = {.entry = NULL};
    float *const x = el_alloc_array((size_t)block * (size_t)t->n_in, sizeof *x);
    enum el_status status = x ? EL_OK : no_memory(err);
    for (uint32_t e = 0; e < n_experts && status == EL_OK; e++) {
        slice.kept = el_make_factors(factors, entry->stats, e);
        if (el_slice_wanted(entry))
            status = el_slice_open(&slice, plan, entry, e, t->n_in, pool, err);
        if (status == EL_OK)
            status = make_slice(source, plan, tensor, &slice, e * n_rows, n_rows, x, block, made, pool, err);
    }
    el_slice_close(&slice);
    el_free(x);
    return status;
}

enum el_status el_make_tensor(struct el_source *source, const struct el_plan *plan, size_t tensor,
                              struct el_make_factors *factors, struct el_made *made, struct el_pool *pool, struct el_err *err)
{
    const struct el_tensor *const t = &source->tensors[tensor];
    enum el_status status = el_made_open(made, &plan->entries[tensor].to, t->n_rows, t->n_in, err);
    if (status == EL_OK)
        status = make_slices(source, plan, tensor, factors, made, pool, err);
    if (status == EL_OK)
        return EL_OK;
    el_made_release(made);
    return el_fail_prefix(err, status, "tensor '%s'", t->name);
}
