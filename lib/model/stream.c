/* Running a model layer by layer; see stream.h. */
#include "model/stream.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "base/limits.h"
#include "base/mem.h"
#include "model/linear.h"
#include "model/ops.h"
#include "model/session_impl.h"

enum { MIN_BATCH = 512, MAX_SEQS = 16 };

struct batch {
    uint64_t first; /* token */
    uint32_t n;
};

struct el_stream {
    struct el_model model[2]; /* by enum el_stream_from; the second's source is NULL when there is none */
    struct el_session *session;
    struct el_kernels kernels[2]; /* of the models: what they multiply quantized weights with */
    const int32_t *ids;
    uint32_t *pos, *seq; /* [n_tokens] */
    uint64_t n_tokens;
    struct batch *batches;
    size_t n_batches;
    uint32_t max_rows, layer;
    struct el_row *rows;
    float *before;
    el_stream_fn *fn; /* of the call in progress */
    void *user;
};

/* ---- opening ---- */

static enum el_status check_text(const struct el_stream *s, const struct el_stream_text *text, struct el_err *err)
{
    const struct el_hparams *const hp = &s->model[0].hp;
    uint64_t at = 0;
    for (size_t w = 0; w < text->n_windows; w++)
        for (uint32_t i = 0; i < text->window_n[w]; i++, at++)
            if (text->ids[at] < 0 || (uint32_t)text->ids[at] >= hp->n_vocab)
                return el_fail(err, EL_E_USAGE, "the text has token %d, the model's vocabulary %u tokens", text->ids[at],
                               hp->n_vocab);
    return at > 0 ? EL_OK : el_fail(err, EL_E_USAGE, "the text has no tokens");
}

/* Whole windows share a batch, as many as it holds. */
static enum el_status make_batches(struct el_stream *s, const struct el_stream_text *text, uint32_t *longest, uint32_t *n_seqs,
                                   struct el_err *err)
{
    *longest = 0;
    for (size_t w = 0; w < text->n_windows; w++) {
        s->n_tokens += text->window_n[w];
        *longest = text->window_n[w] > *longest ? text->window_n[w] : *longest;
    }
    const uint32_t most = *longest > MIN_BATCH ? *longest : MIN_BATCH;
    *n_seqs = most / *longest;
    *n_seqs = *n_seqs > MAX_SEQS ? MAX_SEQS : *n_seqs < 4 && *longest <= MIN_BATCH ? 4 : *n_seqs;
    s->pos = el_alloc_array(s->n_tokens, sizeof *s->pos);
    s->seq = el_alloc_array(s->n_tokens, sizeof *s->seq);
    s->batches = el_alloc_array(text->n_windows, sizeof *s->batches);
    if (!s->pos || !s->seq || !s->batches)
        return el_fail(err, EL_E_MEMORY, "out of memory for %llu tokens", (unsigned long long)s->n_tokens);
    uint64_t at = 0;
    uint32_t seq = *n_seqs;
    for (size_t w = 0; w < text->n_windows; w++) {
        const uint32_t n = text->window_n[w];
        if (n == 0)
            continue;
        struct batch *b = s->n_batches ? &s->batches[s->n_batches - 1] : NULL;
        if (!b || seq == *n_seqs || b->n + n > most) {
            b = &s->batches[s->n_batches++];
            *b = (struct batch){at, 0};
            seq = 0;
        }
        for (uint32_t i = 0; i < n; i++, at++) {
            s->pos[at] = i;
            s->seq[at] = seq;
        }
        b->n += n;
        seq++;
        s->max_rows = b->n > s->max_rows ? b->n : s->max_rows;
    }
    return EL_OK;
}

static enum el_status describe(struct el_stream *s, enum el_stream_from from, struct el_source *source, struct el_err *err)
{
    static const struct el_model_opts defaults = {.no_mmap = true};
    struct el_model *const m = &s->model[from];
    const enum el_status status = el_model_describe(m, source, &defaults, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "'%s'", source->path);
    s->kernels[from] = *m->kernels;
    if (m->f32_activations)
        el_kernels_without_q8(&s->kernels[from]);
    return EL_OK;
}

static enum el_status check_same(const struct el_stream *s, struct el_err *err)
{
    const struct el_model *const a = &s->model[0], *const b = &s->model[1];
    const bool same = a->arch == b->arch && a->hp.n_layers == b->hp.n_layers && a->hp.n_embd == b->hp.n_embd &&
                      a->hp.n_vocab == b->hp.n_vocab && a->hp.n_heads == b->hp.n_heads && a->hp.n_kv_heads == b->hp.n_kv_heads &&
                      a->hp.n_ff == b->hp.n_ff && a->hp.n_experts == b->hp.n_experts;
    if (same)
        return EL_OK;
    return el_fail(err, EL_E_USAGE, "'%s' is another model than '%s': family or shapes differ", b->source->path, a->source->path);
}

static enum el_status bind(struct el_stream *s, enum el_stream_from from, enum el_bind_what what, uint32_t layer, bool multiplied,
                           struct el_pool *pool, struct el_err *err)
{
    struct el_model *const m = &s->model[from];
    struct el_weights *const w = &s->model[0].weights;
    /* What is looked up only is left where it lies; layers are read, so that no more than one is in memory. */
    const struct el_bind_opts opts = {.own = what == EL_BIND_LAYER,
                                      .kernels = multiplied && !m->f32_activations ? m->kernels : NULL,
                                      .pool = pool,
                                      .what = what,
                                      .layer = layer};
    el_weights_release(w);
    enum el_status status = el_weights_bind(w, m->arch, &s->model[0].hp, m->source, &opts, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "'%s'", m->source->path);
    if (s->session)
        s->session->run.kernels = &s->kernels[from];
    return EL_OK;
}

/* The run's observer: knows which rows of the batch an expert's are. */
static void observe(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x)
{
    const struct el_stream *const s = user;
    const struct el_routing *const routing = &s->session->run.routing;
    if (s->fn)
        s->fn(s->user, w, expert, x, w->n_experts > 1 ? routing->row + routing->start[expert] : NULL);
}

static enum el_status open_stream(struct el_stream *s, struct el_source *source, struct el_source *quantized,
                                  const struct el_stream_text *text, unsigned n_threads, struct el_err *err)
{
    uint32_t longest, n_seqs;
    EL_TRY(describe(s, EL_FROM_MODEL, source, err));
    if (quantized) {
        EL_TRY(describe(s, EL_FROM_QUANTIZED, quantized, err));
        EL_TRY(check_same(s, err));
    }
    EL_TRY(check_text(s, text, err));
    EL_TRY(make_batches(s, text, &longest, &n_seqs, err));
    s->ids = text->ids;
    s->rows = el_alloc_array(s->max_rows, sizeof *s->rows);
    s->before = el_alloc_array((size_t)s->max_rows * s->model[0].hp.n_embd, sizeof *s->before);
    if (!s->rows || !s->before)
        return el_fail(err, EL_E_MEMORY, "out of memory for batches of %u tokens", s->max_rows);
    /* RoPE's factors and learned positions are global: the session is made when they are there. */
    EL_TRY(bind(s, EL_FROM_MODEL, EL_BIND_GLOBAL, 0, false, NULL, err));
    s->model[0].weights.any_input = el_weights_change_inputs(source) || (quantized && el_weights_change_inputs(quantized));
    const struct el_session_opts opts = {.n_ctx = longest,
                                         .n_seqs = n_seqs,
                                         .n_batch = s->max_rows,
                                         .kv_type_k = "f32",
                                         .kv_type_v = "f32",
                                         .n_threads = n_threads};
    EL_TRY(el_session_open_by_layer(&s->model[0], &opts, &s->session, err));
    /* Whoever writes rows does not know which layer reads them, so int8 forms are made when they are read. */
    s->session->run.early_q8 = 0;
    (void)el_session_observe(s->session, observe, s);
    return EL_OK;
}

enum el_status el_stream_open(struct el_source *source, struct el_source *quantized, const struct el_stream_text *text,
                              unsigned n_threads, struct el_stream **stream, struct el_err *err)
{
    *stream = NULL;
    struct el_stream *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "out of memory for a stream");
    const enum el_status status = open_stream(s, source, quantized, text, n_threads, err);
    if (status != EL_OK) {
        el_stream_close(s);
        return status;
    }
    *stream = s;
    return EL_OK;
}

void el_stream_close(struct el_stream *stream)
{
    if (!stream)
        return;
    el_session_close(stream->session);
    el_weights_release(&stream->model[0].weights);
    el_free(stream->pos);
    el_free(stream->seq);
    el_free(stream->batches);
    el_free(stream->rows);
    el_free(stream->before);
    el_free(stream);
}

/* ---- what there is ---- */

const struct el_model *el_stream_model(const struct el_stream *stream)
{
    return &stream->model[0];
}

struct el_pool *el_stream_pool(const struct el_stream *stream)
{
    return stream->session->run.pool;
}

uint64_t el_stream_n_tokens(const struct el_stream *stream)
{
    return stream->n_tokens;
}

size_t el_stream_n_batches(const struct el_stream *stream)
{
    return stream->n_batches;
}

uint32_t el_stream_max_rows(const struct el_stream *stream)
{
    return stream->max_rows;
}

uint32_t el_stream_batch(const struct el_stream *stream, size_t b, uint64_t *first)
{
    *first = stream->batches[b].first;
    return stream->batches[b].n;
}

int32_t el_stream_token(const struct el_stream *stream, uint64_t i, uint32_t *pos)
{
    *pos = stream->pos[i];
    return stream->ids[i];
}

uint64_t el_lane_nbytes(const struct el_stream *stream)
{
    return stream->n_tokens * stream->model[0].hp.n_embd * sizeof(float);
}

/* ---- running ---- */

static uint64_t row_nbytes(const struct el_stream *s)
{
    return s->model[0].hp.n_embd * sizeof(float);
}

/* Sets the run up for tokens first .. first + n. */
static void begin(struct el_stream *s, uint64_t first, uint32_t n, bool logits)
{
    for (uint32_t i = 0; i < n; i++)
        s->rows[i] = (struct el_row){s->ids[first + i], s->seq[first + i], s->pos[first + i], logits};
    el_session_begin_batch(s->session, s->rows, n);
}

static enum el_status read_rows(struct el_stream *s, const struct el_lane *lane, uint64_t first, uint32_t n, struct el_err *err)
{
    struct el_rows_buf *const x = &s->session->run.b[EL_B_X];
    EL_TRY(el_workfile_read(lane->file, lane->offset + first * row_nbytes(s), x->f32, n * row_nbytes(s), err));
    x->n = n;
    el_activation_changed(&s->session->run, EL_B_X);
    return EL_OK;
}

static enum el_status write_rows(struct el_stream *s, const struct el_lane *lane, uint64_t first, uint32_t n, struct el_err *err)
{
    const struct el_rows_buf *const x = &s->session->run.b[EL_B_X];
    return el_workfile_write(lane->file, lane->offset + first * row_nbytes(s), x->f32, n * row_nbytes(s), err);
}

enum el_status el_stream_embed(struct el_stream *stream, enum el_stream_from from, const struct el_lane *to, struct el_err *err)
{
    struct el_run *const run = &stream->session->run;
    EL_TRY(bind(stream, from, EL_BIND_GLOBAL, 0, false, run->pool, err));
    for (size_t b = 0; b < stream->n_batches; b++) {
        const struct batch *const batch = &stream->batches[b];
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "interrupted");
        begin(stream, batch->first, batch->n, false);
        run->arch->embed(run);
        if (!run->ops->all_finite(run, EL_B_X))
            return el_fail(err, EL_E_FAILED, "the embedding of these tokens is not finite");
        EL_TRY(write_rows(stream, to, batch->first, batch->n, err));
    }
    el_weights_release(&stream->model[0].weights);
    return EL_OK;
}

enum el_status el_stream_load(struct el_stream *stream, enum el_stream_from from, uint32_t layer, struct el_err *err)
{
    stream->layer = layer;
    stream->session->kv.first_layer = layer;
    return bind(stream, from, EL_BIND_LAYER, layer, true, stream->session->run.pool, err);
}

enum el_status el_stream_block(struct el_stream *stream, size_t b, const struct el_lane *from, const struct el_lane *to,
                               el_stream_fn *fn, void *user, const float **before, const float **after, struct el_err *err)
{
    struct el_run *const run = &stream->session->run;
    const struct batch *const batch = &stream->batches[b];
    if (el_interrupted())
        return el_fail(err, EL_E_INTERRUPTED, "interrupted");
    begin(stream, batch->first, batch->n, false);
    EL_TRY(read_rows(stream, from, batch->first, batch->n, err));
    if (before) {
        memcpy(stream->before, run->b[EL_B_X].f32, batch->n * row_nbytes(stream));
        *before = stream->before;
    }
    stream->fn = fn;
    stream->user = user;
    run->arch->block(run, stream->layer);
    stream->fn = NULL;
    if (!run->ops->all_finite(run, EL_B_X))
        return el_fail(err, EL_E_FAILED, "layer %u of 0 to %u gives values that are not finite", stream->layer,
                       run->hp->n_layers - 1);
    if (after)
        *after = run->b[EL_B_X].f32;
    return to ? write_rows(stream, to, batch->first, batch->n, err) : EL_OK;
}

enum el_status el_stream_head(struct el_stream *stream, enum el_stream_from from, const struct el_lane *lane, el_stream_fn *fn,
                              void *user, uint64_t *first, struct el_err *err)
{
    struct el_run *const run = &stream->session->run;
    const uint32_t rows = stream->max_rows < EL_HEAD_ROWS ? stream->max_rows : EL_HEAD_ROWS;
    EL_TRY(bind(stream, from, EL_BIND_GLOBAL, 0, true, run->pool, err));
    for (*first = 0; *first < stream->n_tokens; *first += rows) {
        const uint64_t left = stream->n_tokens - *first;
        const uint32_t n = left < rows ? (uint32_t)left : rows;
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "interrupted");
        begin(stream, *first, n, true);
        EL_TRY(read_rows(stream, lane, *first, n, err));
        stream->fn = fn;
        stream->user = user;
        run->arch->head(run);
        stream->fn = NULL;
    }
    el_weights_release(&stream->model[0].weights);
    return EL_OK;
}

enum el_status el_stream_load_head(struct el_stream *stream, enum el_stream_from from, struct el_err *err)
{
    return bind(stream, from, EL_BIND_GLOBAL, 0, true, stream->session->run.pool, err);
}

enum el_status el_stream_logits(struct el_stream *stream, const struct el_lane *lane, const uint64_t *token, size_t n,
                                el_stream_logits_fn *fn, void *user, struct el_err *err)
{
    struct el_run *const run = &stream->session->run;
    const struct el_rows_buf *const x = &run->b[EL_B_X], *const logits = &run->b[EL_B_LOGITS];
    const size_t most = stream->max_rows < EL_STREAM_LOGITS ? stream->max_rows : EL_STREAM_LOGITS;
    static_assert((int)EL_STREAM_LOGITS <= (int)EL_HEAD_ROWS, "a session by layer has room for them");
    for (size_t first = 0; first < n; first += most) {
        const uint32_t rows = (uint32_t)(n - first < most ? n - first : most);
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "interrupted");
        for (uint32_t i = 0; i < rows; i++) {
            const uint64_t t = token[first + i];
            stream->rows[i] = (struct el_row){stream->ids[t], stream->seq[t], stream->pos[t], true};
        }
        el_session_begin_batch(stream->session, stream->rows, rows);
        for (uint32_t i = 0; i < rows; i++)
            EL_TRY(el_workfile_read(lane->file, lane->offset + token[first + i] * row_nbytes(stream), x->f32 + i * x->stride,
                                    row_nbytes(stream), err));
        run->b[EL_B_X].n = rows;
        el_activation_changed(run, EL_B_X);
        run->arch->head(run);
        if (!run->ops->all_finite(run, EL_B_LOGITS))
            return el_fail(err, EL_E_FAILED, "the output matrix gives logits that are not finite");
        EL_TRY(fn(user, first, rows, logits->f32, logits->stride, err));
    }
    return EL_OK;
}
