/*
 * Packing: source -> strips of rows -> decode, check, encode -> sink.
 *
 * The unit of work is a strip of rows (quant/strips.h). Strips of all tensors form one sequence; a wave of them is worked on by
 * all threads, each of which reads, encodes and writes its own, then accounted for in order by the caller's thread. So bytes,
 * sums and the first error do not depend on the number of threads, and memory is a few buffers per thread.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "model/laid_file.h"
#include "quant/measure.h"
#include "quant/pack_log.h"
#include "quant/plan.h"
#include "quant/slice.h"
#include "quant/strips.h"
#include "quant/tally.h"

enum { WAVE_PER_THREAD = 32 /* a wave ends when its last strip does: few ends */ };

struct strip {
    size_t tensor;
    uint64_t row0, n_rows;
    enum el_status status;
    struct el_err err;
    double sum_w2, sum_err2, sum_out2, sum_y2;
    uint64_t n_nonfinite;
};

/* Buffers of one thread, large enough for any strip of the plan. */
struct worker {
    uint8_t *in, *out;
    float *x, *row;
};

struct pack {
    struct el_source *base;   /* as it was given, and */
    struct el_source *source; /* as the plan changes it */
    const struct el_plan *plan;
    struct el_sink *sink;
    const struct el_pack_opts *opts;
    struct el_pool *pool;
    struct worker *workers;
    unsigned n_workers;
    struct strip *wave;
    size_t wave_cap;
    struct el_slice slice; /* of the wave's strips, where they need one */
    struct el_report report;
    bool has_report;         /* the sink can take it */
    struct el_pack_log *log; /* NULL: no state is kept */
    char output_key[65];
    uint64_t done, total; /* bytes of the source's tensors */
};

/* ---- a strip, in any thread ---- */

static enum el_status write_parts(const struct pack *pk, const struct strip *s, uint8_t *const data[EL_MAX_PARTS],
                                  struct el_err *err)
{
    const struct el_tensor *const t = &pk->sink->tensors[s->tensor];
    for (uint32_t p = 0; p < t->n_parts; p++) {
        const struct el_part_shape *const part = &t->parts[p];
        /* A part that all rows share goes with the first strip. */
        if (part->row_nbytes == 0 && s->row0 > 0)
            continue;
        const uint64_t nbytes = part->row_nbytes ? part->row_nbytes * s->n_rows : part->nbytes;
        if (nbytes == 0)
            continue;
        if (pk->log)
            EL_TRY(el_pack_log_write(pk->log, s->tensor, p, part->row_nbytes * s->row0, data[p], nbytes, err));
        EL_TRY(pk->sink->ops->write(pk->sink, s->tensor, p, part->row_nbytes * s->row0, data[p], nbytes, err));
    }
    return EL_OK;
}

/* What could not be represented: F16 ends at 65504. row0: of the job in the tensor. */
static enum el_status too_large(const struct el_tensor *t, uint64_t row0, const struct el_quant_job *job, struct el_err *err)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < job->n_rows * job->n_in; i++) {
        if (fabsf(job->x[i]) > fabsf(job->x[at]))
            at = i;
    }
    return el_fail(err, EL_E_UNSUPPORTED, "tensor '%s': element %llu is %.6g, too large for %s", t->name,
                   (unsigned long long)(row0 * t->n_in + at), (double)job->x[at], t->enc_name);
}

/* Encodes w->x, n_rows from row `at` of the strip on, to its place in the strip's parts. */
static enum el_status encode_rows(const struct pack *pk, struct strip *s, const struct worker *w, uint64_t at, uint64_t n_rows,
                                  uint8_t *const out[EL_MAX_PARTS], struct el_err *err)
{
    const struct el_plan_entry *const entry = &pk->plan->entries[s->tensor];
    const struct el_tensor *const t = &pk->sink->tensors[s->tensor];
    struct el_quant_job job = {.x = w->x,
                               .n_rows = n_rows,
                               .n_in = t->n_in,
                               .enc = entry->to,
                               .scratch = w->row,
                               .importance = pk->slice.importance,
                               .shared = pk->slice.shared,
                               .opts = &pk->plan->how,
                               .sum_out2 = NAN,
                               .sum_y2 = NAN};
    const struct el_method *const method = pk->slice.entry ? pk->slice.method : entry->method;
    for (uint32_t p = 0; p < t->n_parts; p++)
        job.parts_out[p] = out[p] + at * t->parts[p].row_nbytes;
    const enum el_status status = method ? method->quantize(&job, err) : el_quant_encode(&job, EL_ENCODE_NEAREST, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "tensor '%s'", t->name);
    if (!isfinite(job.sum_err2))
        return too_large(t, s->row0 + at, &job, err);
    s->sum_w2 += job.sum_w2;
    s->sum_err2 += job.sum_err2;
    s->sum_out2 += job.sum_out2;
    s->sum_y2 += job.sum_y2;
    return EL_OK;
}

/* What is wrong with element `at` of the tensor, if that is an error. */
static enum el_status check_bad(const struct pack *pk, const struct strip *s, unsigned long long at, struct el_err *err)
{
    const struct el_plan_entry *const entry = &pk->plan->entries[s->tensor];
    const struct el_tensor *const from = &pk->source->tensors[s->tensor];
    if (!pk->opts->nan_to_zero)
        return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': element %llu is NaN or infinite", pk->source->path, from->name, at);
    if (entry->copy && !(from->enc.e->flags & EL_ENC_FLOAT))
        return el_fail(err, EL_E_FORMAT,
                       "'%s': tensor '%s': element %llu is NaN or infinite, and a copied %s cannot hold 0 instead",
                       pk->source->path, from->name, at, from->enc_name);
    return EL_OK;
}

/* Rows of a strip, which lies in a buffer of its own, to f32. */
static void decode_rows(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const struct el_kernels *const k = el_kernels();
    const struct el_enc f16 = el_enc_f16();
    if (el_enc_equal(&m->enc, &f16))
        k->f16_to_f32((const uint16_t *)(const void *)(m->data[0] + row0 * m->row_nbytes[0]), n_rows * m->n_in, out);
    else
        el_kernels_decode(k, m, row0, n_rows, out);
}

static enum el_status run_strip(const struct pack *pk, struct strip *s, const struct worker *w, struct el_err *err)
{
    const struct el_plan_entry *const entry = &pk->plan->entries[s->tensor];
    const struct el_tensor *const from = &pk->source->tensors[s->tensor];
    uint8_t *parts[EL_MAX_PARTS];
    if (s->n_rows == 0 || from->n_in == 0)
        return EL_OK;
    (void)el_lay_parts(from->parts, from->n_parts, s->n_rows, w->in, parts);
    EL_TRY(el_source_read_parts(pk->source, from, &pk->sink->tensors[s->tensor].order, s->row0, s->n_rows, parts, err));

    struct el_matrix m = {.enc = from->enc, .n_rows = s->n_rows, .n_in = from->n_in};
    for (uint32_t p = 0; p < from->n_parts; p++) {
        m.data[p] = parts[p];
        m.row_nbytes[p] = from->parts[p].row_nbytes;
    }
    uint8_t *out[EL_MAX_PARTS];
    const struct el_tensor *const to = &pk->sink->tensors[s->tensor];
    (void)el_lay_parts(to->parts, to->n_parts, s->n_rows, entry->copy ? w->in : w->out, out);
    const uint64_t piece = el_piece_rows(from, entry);
    for (uint64_t at = 0, n; at < s->n_rows; at += n) {
        n = s->n_rows - at < piece ? s->n_rows - at : piece;
        decode_rows(&m, at, n, w->x);
        uint64_t first = 0;
        const uint64_t n_bad = el_clean(w->x, n * from->n_in, &first);
        if (n_bad > 0)
            EL_TRY(check_bad(pk, s, (unsigned long long)((s->row0 + at) * from->n_in + first), err));
        s->n_nonfinite += n_bad;
        if (entry->copy && n_bad == 0)
            el_add_squares(w->x, NULL, n * from->n_in, &s->sum_w2, &s->sum_err2); /* and sum_out2 stays 0, as it is */
        else
            EL_TRY(encode_rows(pk, s, w, at, n, out, err));
    }
    return write_parts(pk, s, out, err);
}

static void run_strips(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    struct pack *const pk = arg;
    for (uint64_t i = begin; i < end; i++) {
        struct strip *const s = &pk->wave[i];
        if (el_interrupted())
            s->status = el_fail(&s->err, EL_E_INTERRUPTED, "interrupted");
        else
            s->status = run_strip(pk, s, &pk->workers[thread], &s->err);
    }
}

/* ---- set-up ---- */

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "pack: out of memory");
}

static enum el_status make_workers(struct pack *pk, struct el_err *err)
{
    const struct el_strip_nbytes b = el_strip_buffers(pk->source, pk->plan);
    pk->workers = el_calloc_array(pk->n_workers, sizeof *pk->workers);
    if (!pk->workers || b.in > SIZE_MAX || b.out > SIZE_MAX || b.x > SIZE_MAX)
        return out_of_memory(err);
    for (unsigned i = 0; i < pk->n_workers; i++) {
        struct worker *const w = &pk->workers[i];
        w->in = el_alloc((size_t)b.in);
        w->out = el_alloc((size_t)b.out);
        w->x = el_alloc((size_t)b.x);
        w->row = el_alloc((size_t)b.row);
        if (!w->in || !w->out || !w->x || !w->row)
            return out_of_memory(err);
    }
    pk->wave_cap = (size_t)pk->n_workers * WAVE_PER_THREAD;
    pk->wave = el_calloc_array(pk->wave_cap, sizeof *pk->wave);
    return pk->wave ? EL_OK : out_of_memory(err);
}

static void free_pack(struct pack *pk)
{
    for (unsigned i = 0; pk->workers && i < pk->n_workers; i++) {
        el_free(pk->workers[i].in);
        el_free(pk->workers[i].out);
        el_free(pk->workers[i].x);
        el_free(pk->workers[i].row);
    }
    el_free(pk->workers);
    el_free(pk->wave);
    el_slice_close(&pk->slice);
    el_report_release(&pk->report);
    el_pack_log_close(pk->log);
    el_pool_close(pk->pool);
}

/*
 * The output's metadata and tensors as the plan has them; the caller frees both, the names are the source's. report: NULL, or
 * what the metadata gets room for.
 */
static enum el_status declare(const struct el_source *source, const struct el_plan *plan, const struct el_report *report,
                              struct el_meta **meta_out, struct el_tensor **tensors_out, struct el_err *err)
{
    struct el_meta *const meta = *meta_out = el_meta_copy(source->meta);
    struct el_tensor *const tensors = *tensors_out = el_calloc_array(plan->n, sizeof *tensors);
    if (!meta || !tensors)
        return out_of_memory(err);
    for (size_t i = 0; i < plan->n; i++) {
        const struct el_tensor *const from = &source->tensors[i];
        tensors[i] = (struct el_tensor){
            .name = from->name,
            .file_name = from->name,
            .enc = plan->entries[i].to,
            .n_dims = from->n_dims,
            .order_elems = from->order_elems,
        };
        memcpy(tensors[i].dims, from->dims, sizeof from->dims);
        if (el_tensor_complete(&tensors[i], err) != EL_OK)
            return el_fail_prefix(err, EL_E_FORMAT, "tensor '%s'", from->name);
    }
    EL_TRY(el_plan_store(plan, meta, err));
    return report ? el_report_declare(report, meta, err) : EL_OK;
}

/* Do the numbers of the report go into this output? */
static bool takes_report(const struct el_plan *plan, const struct el_sink *sink)
{
    return plan->store && !plan->keep_meta && sink->ops->set_array;
}

static enum el_status begin_sink(struct pack *pk, struct el_err *err)
{
    const struct el_plan *const plan = pk->plan;
    struct el_meta *meta = NULL;
    struct el_tensor *tensors = NULL;
    enum el_status status = EL_OK;
    for (size_t i = 0; i < plan->n; i++)
        if (!el_add_u64(pk->total, el_tensor_nbytes(&pk->source->tensors[i]), &pk->total))
            return el_fail(err, EL_E_FORMAT, "'%s': sizes of the tensors overflow 64 bits", pk->source->path);
    pk->has_report = takes_report(plan, pk->sink);
    EL_TRY_OUT(declare(pk->source, plan, pk->has_report ? &pk->report : NULL, &meta, &tensors, err));
    pk->sink->source = pk->base;
    EL_TRY_OUT(pk->sink->ops->begin(pk->sink, meta, tensors, plan->n, err));
    if (pk->opts->state_path)
        status = el_pack_key_output(meta, tensors, plan->n, plan, pk->opts->nan_to_zero, pk->output_key, err);
out:
    el_meta_free(meta);
    el_free(tensors);
    return status;
}

/* ---- the loop ---- */

/* How many rows the next strip may have: not beyond its slice. */
static uint64_t next_rows(const struct pack *pk, const struct el_pack_place *next)
{
    const struct el_tensor *const t = &pk->source->tensors[next->tensor];
    const struct el_plan_entry *const entry = &pk->plan->entries[next->tensor];
    const uint64_t slice = el_slice_rows(t, entry), rows = el_strip_rows(t, entry);
    const uint64_t left = slice > 0 ? slice - next->row % slice : 0;
    return left < rows ? left : rows;
}

/* Opens the slice that the next wave is of. */
static enum el_status open_slice(struct pack *pk, const struct el_pack_place *next, struct el_err *err)
{
    if (next->tensor == pk->plan->n)
        return EL_OK;
    const struct el_tensor *const t = &pk->source->tensors[next->tensor];
    const struct el_plan_entry *const entry = &pk->plan->entries[next->tensor];
    if (!el_slice_wanted(entry) || t->n_rows == 0 || t->n_in == 0) {
        el_slice_close(&pk->slice);
        return EL_OK;
    }
    const uint32_t expert = (uint32_t)(next->row / el_slice_rows(t, entry));
    const enum el_status status = el_slice_open(&pk->slice, pk->plan, entry, expert, t->n_in, pk->pool, err);
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "tensor '%s'", t->name);
}

static size_t fill_wave(struct pack *pk, struct el_pack_place *next)
{
    size_t n = 0;
    while (n < pk->wave_cap && next->tensor < pk->plan->n) {
        const struct el_tensor *const t = &pk->source->tensors[next->tensor];
        const struct el_plan_entry *const entry = &pk->plan->entries[next->tensor];
        /* A slice is a wave of its own, or several. */
        if (n > 0 && el_slice_wanted(entry) && next->row % el_slice_rows(t, entry) == 0)
            break;
        if (n > 0 && !el_slice_wanted(entry) && el_slice_wanted(&pk->plan->entries[pk->wave[0].tensor]))
            break;
        pk->wave[n++] = (struct strip){.tensor = next->tensor, .row0 = next->row, .n_rows = next_rows(pk, next)};
        next->row += pk->wave[n - 1].n_rows;
        if (next->row == t->n_rows) {
            next->tensor++;
            next->row = 0;
        }
    }
    return n;
}

static void tell(struct pack *pk, const struct el_tally *tally, size_t tensor, bool resumed)
{
    if (pk->has_report)
        el_report_add(&pk->report, tensor, tally);
    el_tally_report(tally, tensor, resumed, pk->opts->report, pk->opts->report_user);
}

static void add_strip(const struct pack *pk, const struct strip *s, struct el_tally *tally)
{
    const struct el_tensor *const t = &pk->source->tensors[s->tensor];
    const struct el_plan_entry *const entry = &pk->plan->entries[s->tensor];
    tally->sum_w2 += s->sum_w2;
    tally->sum_err2 += s->sum_err2;
    tally->n_nonfinite += s->n_nonfinite;
    tally->n_parts = el_slice_wanted(entry) ? entry->stats->n_experts : 1;
    if (!isnan(s->sum_out2)) {
        tally->sum_out2 += s->sum_out2;
        tally->sum_y2 += s->sum_y2;
        tally->n_known++;
    }
    if (!pk->slice.entry)
        return;
    tally->damping = pk->slice.damping > tally->damping ? pk->slice.damping : tally->damping;
    if (pk->slice.weaker && s->row0 % el_slice_rows(t, entry) == 0) {
        if (tally->n_weaker++ == 0) {
            tally->why = (uint32_t)pk->slice.weaker;
            tally->first_weaker = pk->slice.expert;
        }
    }
}

/* Adds a wave up in order: sums, reports, progress, and the first error. */
static enum el_status account(struct pack *pk, size_t n, struct el_tally *tally, struct el_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct strip *const s = &pk->wave[i];
        if (s->status != EL_OK) {
            if (err)
                *err = s->err;
            return s->status;
        }
        const struct el_tensor *const t = &pk->source->tensors[s->tensor];
        uint8_t *unused[EL_MAX_PARTS];
        add_strip(pk, s, tally);
        pk->done += el_lay_parts(t->parts, t->n_parts, s->n_rows, NULL, unused);
        if (s->row0 + s->n_rows == t->n_rows) {
            if (pk->log)
                EL_TRY(el_pack_log_tensor(pk->log, s->tensor, tally, err));
            tell(pk, tally, s->tensor, false);
            memset(tally, 0, sizeof *tally);
        }
    }
    if (pk->opts->progress && n > 0)
        pk->opts->progress(pk->opts->progress_user, pk->source->tensors[pk->wave[n - 1].tensor].name, pk->done, pk->total);
    return EL_OK;
}

static void tell_resumed(void *user, uint64_t tensor, const struct el_tally *tally)
{
    tell(user, tally, (size_t)tensor, true);
}

/* Opens the state, if one is kept, and goes to where it ends. */
static enum el_status resume(struct pack *pk, struct el_pack_place *next, struct el_err *err)
{
    struct el_pack_key key = {.statistics = ""};
    bool resumed;
    if (!pk->opts->state_path)
        return EL_OK;
    EL_TRY(el_source_fingerprint(pk->base, key.model, err));
    if (pk->plan->stats_source)
        EL_TRY(el_source_fingerprint(pk->plan->stats_source, key.statistics, err));
    memcpy(key.output, pk->output_key, sizeof key.output);
    EL_TRY(el_pack_log_open(pk->opts->state_path, &key, &pk->log, &resumed, err));
    if (!resumed)
        return EL_OK;
    EL_TRY(el_pack_log_replay(pk->log, pk->sink, next, tell_resumed, pk, err));
    for (size_t i = 0; i < pk->plan->n && i <= next->tensor; i++) {
        const struct el_tensor *const t = &pk->source->tensors[i];
        uint8_t *unused[EL_MAX_PARTS];
        pk->done += el_lay_parts(t->parts, t->n_parts, i < next->tensor ? t->n_rows : next->row, NULL, unused);
    }
    return EL_OK;
}

static enum el_status run_all(struct pack *pk, struct el_err *err)
{
    struct el_pack_place next;
    memset(&next, 0, sizeof next); /* it is kept as it lies */
    EL_TRY(resume(pk, &next, err));
    for (;;) {
        EL_TRY(open_slice(pk, &next, err));
        const size_t n = fill_wave(pk, &next);
        if (n == 0)
            break;
        el_pool_run(pk->pool, n, 1, run_strips, pk);
        EL_TRY(account(pk, n, &next.tally, err));
        if (pk->log)
            EL_TRY(el_pack_log_commit(pk->log, &next, err));
    }
    return pk->has_report ? el_report_write(&pk->report, pk->sink, err) : EL_OK;
}

static enum el_status check_plan(const struct el_source *source, const struct el_plan *plan, struct el_err *err)
{
    const struct el_source *const of = plan->base;
    bool same = of->n_tensors == source->n_tensors;
    for (size_t i = 0; same && i < of->n_tensors && of != source; i++) {
        const struct el_tensor *const a = &of->tensors[i], *const b = &source->tensors[i];
        same = strcmp(a->name, b->name) == 0 && el_enc_equal(&a->enc, &b->enc) && a->n_rows == b->n_rows && a->n_in == b->n_in;
    }
    return same ? EL_OK : el_fail(err, EL_E_USAGE, "'%s': the plan was made for another model", source->path);
}

enum el_status el_pack_nbytes(struct el_source *source, const struct el_plan *plan, struct el_sink *sink, uint64_t *nbytes,
                              struct el_err *err)
{
    struct el_meta *meta = NULL;
    struct el_tensor *tensors = NULL;
    struct el_report report = {.n = 0};
    enum el_status status = EL_OK;
    *nbytes = 0;
    EL_TRY(check_plan(source, plan, err));
    if (plan->fold)
        return el_fail(err, EL_E_UNSUPPORTED, "method '%s': what it changes is decided while packing, and the size with it",
                       plan->folds[0]->name);
    if (!sink->ops->measure)
        return el_fail(err, EL_E_UNSUPPORTED, "format '%s': its size is not known before it is written", sink->opts.format);
    EL_TRY_OUT(el_report_open(&report, plan, err));
    EL_TRY_OUT(declare(source, plan, takes_report(plan, sink) ? &report : NULL, &meta, &tensors, err));
    sink->source = source;
    status = sink->ops->measure(sink, meta, tensors, plan->n, nbytes, err);
    sink->source = NULL;
out:
    el_report_release(&report);
    el_meta_free(meta);
    el_free(tensors);
    return status;
}

enum el_status el_pack(struct el_source *source, const struct el_plan *plan, struct el_sink *sink,
                       const struct el_pack_opts *opts, struct el_err *err)
{
    static const struct el_pack_opts defaults = {.n_threads = 0};
    struct pack pk = {.base = source, .source = source, .plan = plan, .sink = sink, .opts = opts ? opts : &defaults};
    enum el_status status = EL_OK;
    EL_TRY(check_plan(source, plan, err));
    unsigned n_threads = pk.opts->n_threads;
    EL_TRY(el_strip_threads(plan->source, plan, pk.opts->max_nbytes, &n_threads, err));
    EL_TRY_OUT(el_pool_open(n_threads, &pk.pool, err));
    pk.n_workers = el_pool_n(pk.pool);
    if (plan->fold) {
        EL_TRY_OUT(el_plan_decide(plan, source, pk.pool, err));
        pk.source = el_fold_source(plan->fold);
    }
    EL_TRY_OUT(el_report_open(&pk.report, plan, err));
    EL_TRY_OUT(begin_sink(&pk, err));
    EL_TRY_OUT(make_workers(&pk, err));
    status = run_all(&pk, err);
out:
    free_pack(&pk);
    return status;
}
