#include "model/relay.h"

#include <stdatomic.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/mem.h"
#include "tensor/layout.h"

/* Bytes of the file that a thread reads at a time: they stay in its cache until they are re-laid. */
enum { READ_NBYTES = 256 << 10 };

bool el_relay_pays(const struct el_kernels *kernels, const struct el_enc *enc)
{
    return !enc->wide && !enc->permuted && el_layout_of(enc->e) && kernels->laid[el_encoding_index(enc->e)];
}

static uint64_t strips_per_expert(const struct el_weight *w)
{
    return (w->n_out + EL_STRIP_ROWS - 1) / EL_STRIP_ROWS;
}

uint64_t el_relay_n_strips(const struct el_weight *w)
{
    return w->n_experts * strips_per_expert(w);
}

void el_relay_place(struct el_weight *w, const uint8_t *data)
{
    const struct el_encoding *const e = w->m.enc.e;
    w->laid = (struct el_laid){.index = (enum el_encoding_index)el_encoding_index(e),
                               .n_rows = w->n_out,
                               .n_in = w->n_in,
                               .strip_nbytes = el_strip_nbytes(e, w->n_in),
                               .data = data};
}

struct job {
    struct el_source *source;
    const struct el_relay_item *item;
    uint8_t *to;
    uint64_t strips_per_expert, chunk; /* strips */
    uint8_t *buffers;                  /* a thread has buffer_nbytes of them */
    uint64_t buffer_nbytes;
    atomic_bool failed;
    struct el_err err; /* of the first that failed */
};

/* Strips that begin in [s, end) of one expert: one read. */
static enum el_status lay_run(struct job *job, uint64_t s, uint64_t end, uint8_t *buffer, struct el_err *err)
{
    static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    const struct el_weight *const w = job->item->w;
    const struct el_encoding *const e = w->m.enc.e;
    const uint64_t expert = s / job->strips_per_expert, first = s % job->strips_per_expert * EL_STRIP_ROWS;
    const uint64_t row_nbytes = w->n_in / e->block_n * e->block_nbytes;
    uint64_t n_rows = (end - s) * EL_STRIP_ROWS;
    uint8_t *parts[EL_MAX_PARTS] = {buffer};
    if (n_rows > w->n_out - first)
        n_rows = w->n_out - first;
    EL_TRY(el_source_read_parts(job->source, job->item->t, &canonical, expert * w->n_out + first, n_rows, parts, err));
    for (uint64_t r = 0; r < n_rows; r += EL_STRIP_ROWS, s++)
        el_lay_strip(e, buffer + r * row_nbytes, row_nbytes,
                     n_rows - r < EL_STRIP_ROWS ? (uint32_t)(n_rows - r) : EL_STRIP_ROWS, w->n_in,
                     job->to + s * w->laid.strip_nbytes);
    return EL_OK;
}

static void lay_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    struct job *const job = arg;
    for (uint64_t s = begin; s < end && !atomic_load(&job->failed);) {
        struct el_err err = {.code = EL_OK};
        const uint64_t left = job->strips_per_expert - s % job->strips_per_expert, to = end - s < left ? end : s + left;
        if (lay_run(job, s, to, job->buffers + thread * job->buffer_nbytes, &err) != EL_OK) {
            if (!atomic_exchange(&job->failed, true))
                job->err = err;
            return;
        }
        s = to;
    }
}

/* Where each item goes; *largest: bytes of the largest strip. */
static bool lay_out(const struct el_relay_item *items, size_t n_items, uint64_t *total, uint64_t *largest)
{
    *total = *largest = 0;
    for (size_t i = 0; i < n_items; i++) {
        struct el_weight *const w = items[i].w;
        uint64_t n_strips, nbytes;
        el_relay_place(w, NULL);
        const uint64_t strip = w->laid.strip_nbytes;
        if (!el_mul_u64(w->n_experts, strips_per_expert(w), &n_strips) || !el_mul_u64(n_strips, strip, &nbytes) ||
            !el_align_u64(nbytes, 64, &nbytes) || !el_add_u64(*total, nbytes, total))
            return false;
        *largest = strip > *largest ? strip : *largest;
    }
    return *total <= SIZE_MAX / 2 && *largest <= SIZE_MAX / EL_MAX_THREADS / 2;
}

enum el_status el_relay_run(struct el_source *source, const struct el_relay_item *items, size_t n_items, struct el_pool *pool,
                            void **arena, struct el_err *err)
{
    struct job job = {.source = source};
    uint64_t total, largest, at = 0;
    *arena = NULL;
    if (!lay_out(items, n_items, &total, &largest))
        return el_fail(err, EL_E_MEMORY, "out of memory for the weights");
    if (total == 0)
        return EL_OK;
    job.buffer_nbytes = (largest > READ_NBYTES ? largest : READ_NBYTES) + 64;
    *arena = el_alloc_aligned((size_t)total);
    job.buffers = el_alloc_aligned((size_t)(el_pool_n(pool) * job.buffer_nbytes));
    enum el_status status = EL_OK;
    if (!*arena || !job.buffers)
        status = el_fail(err, EL_E_MEMORY, "out of memory for the weights (%.2f GiB)",
                         (double)total / (1024.0 * 1024.0 * 1024.0));
    atomic_init(&job.failed, false);
    for (size_t i = 0; i < n_items && status == EL_OK; i++) {
        struct el_weight *const w = items[i].w;
        const uint64_t n_strips = el_relay_n_strips(w);
        job.item = &items[i];
        job.to = (uint8_t *)*arena + at;
        job.strips_per_expert = strips_per_expert(w);
        job.chunk = READ_NBYTES / w->laid.strip_nbytes ? READ_NBYTES / w->laid.strip_nbytes : 1;
        w->laid.data = job.to;
        el_pool_run(pool, n_strips, job.chunk, lay_task, &job);
        at += (n_strips * w->laid.strip_nbytes + 63) / 64 * 64;
        if (atomic_load(&job.failed)) {
            if (err)
                *err = job.err;
            status = el_fail_prefix(err, job.err.code, "tensor '%s'", items[i].t->name);
        } else if (el_interrupted()) {
            status = el_fail(err, EL_E_INTERRUPTED, "interrupted");
        }
    }
    el_free_aligned(job.buffers);
    return status;
}
