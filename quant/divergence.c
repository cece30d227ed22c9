/* See divergence.h. */
#include "quant/divergence.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/stream.h"
#include "quant/make.h"
#include "quant/overlay.h"

static const uint64_t USUAL_SCRATCH = 1u << 30;
enum { MAX_LANES = 64 };

struct el_divergence {
    struct el_sens *s;
    struct el_source *overlay;
    struct el_stream *stream;
    struct el_workfile *file; /* prefixes [n_layers + 1], logits [n_positions, n_vocab] f32, lanes [n_lanes] */
    uint32_t n_layers;
    bool tied; /* the embedding is the output matrix too */
    uint64_t n_vocab, lane_nbytes;
    uint64_t *position; /* [n_positions] tokens whose predictions are compared */
    size_t n_positions, n_lanes;
    bool ready; /* the prefixes are there */
    struct el_make_factors factors;
    struct el_made *made; /* [rows, columns] */
    float *own;           /* [EL_STREAM_LOGITS, n_vocab] logits of the model itself */
    double *lp;           /* [threads, 2, n_vocab] */
    double *kld;          /* [n_positions] */
    bool *begun;          /* [n_lanes] the variant has a lane of its own */
    uint64_t done, total; /* batches, of one group of variants */
};

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for divergences");
}

/* ---- opening ---- */

/* Of every window the predictions from its second half, of the tokens n / 2 + 1 .. n - 1; of these as many as are wanted. */
static enum el_status choose_positions(struct el_divergence *d, const struct el_calibrate_text *text, struct el_err *err)
{
    uint64_t at = 0;
    d->position = el_alloc_array((size_t)el_stream_n_tokens(d->stream), sizeof *d->position);
    if (!d->position)
        return no_memory(err);
    for (size_t w = 0; w < text->n_windows; at += text->window_n[w++]) {
        const uint64_t n = text->window_n[w], first = n / 2, all = n - 1 > first ? n - 1 - first : 0;
        const uint64_t some = d->s->opts.n_positions && d->s->opts.n_positions < all ? d->s->opts.n_positions : all;
        for (uint64_t i = 0; i < some; i++)
            d->position[d->n_positions++] = at + first + (some == all ? i : (2 * i + 1) * all / (2 * some));
    }
    return d->n_positions > 0 ? EL_OK : el_fail(err, EL_E_USAGE, "the text has no window of at least 3 tokens");
}

static enum el_status open_all(struct el_divergence *d, struct el_err *err)
{
    const struct el_sens *const s = d->s;
    const struct el_calibrate_text *const text = s->opts.text;
    if (!text)
        return el_fail(err, EL_E_USAGE, "divergences need a text");
    const struct el_stream_text windows = {text->ids, text->window_n, text->n_windows};
    EL_TRY(el_overlay_open(s->source, &d->overlay, err));
    EL_TRY(el_stream_open(s->source, d->overlay, &windows, s->opts.n_threads, &d->stream, err));
    d->n_layers = el_stream_model(d->stream)->hp.n_layers;
    d->n_vocab = el_stream_model(d->stream)->hp.n_vocab;
    d->lane_nbytes = el_lane_nbytes(d->stream);
    d->tied = el_source_find(s->source, "output.weight") == SIZE_MAX;
    EL_TRY(choose_positions(d, text, err));
    const uint64_t most = s->opts.max_scratch ? s->opts.max_scratch : USUAL_SCRATCH, lanes = most / d->lane_nbytes;
    d->n_lanes = lanes < 1 ? 1 : lanes > MAX_LANES ? MAX_LANES : (size_t)lanes;
    d->made = el_calloc_array(s->n_rows * s->n_columns, sizeof *d->made);
    d->own = el_alloc_array(EL_STREAM_LOGITS, (size_t)d->n_vocab * sizeof *d->own);
    d->lp = el_alloc_array(el_pool_n(el_stream_pool(d->stream)), 2 * (size_t)d->n_vocab * sizeof *d->lp);
    d->kld = el_alloc_array(d->n_positions, sizeof *d->kld);
    d->begun = el_alloc_array(d->n_lanes, sizeof *d->begun);
    if (!d->made || !d->own || !d->lp || !d->kld || !d->begun)
        return no_memory(err);
    return el_workfile_scratch(s->opts.scratch_path ? s->opts.scratch_path : s->source->path, &d->file, err);
}

enum el_status el_divergence_open(struct el_sens *sens, struct el_divergence **divergence, struct el_err *err)
{
    *divergence = NULL;
    struct el_divergence *const d = el_calloc_array(1, sizeof *d);
    if (!d)
        return no_memory(err);
    d->s = sens;
    const enum el_status status = open_all(d, err);
    if (status != EL_OK) {
        el_divergence_close(d);
        return status;
    }
    *divergence = d;
    return EL_OK;
}

void el_divergence_close(struct el_divergence *divergence)
{
    struct el_divergence *const d = divergence;
    if (!d)
        return;
    el_stream_close(d->stream);
    el_source_close(d->overlay);
    el_workfile_close(d->file);
    for (size_t i = 0; d->made && i < d->s->n_rows * d->s->n_columns; i++)
        el_made_release(&d->made[i]);
    el_free(d->made);
    el_free(d->position);
    el_free(d->own);
    el_free(d->lp);
    el_free(d->kld);
    el_free(d->begun);
    el_free(d);
}

/* ---- where things lie ---- */

static struct el_lane prefix(const struct el_divergence *d, uint32_t layer)
{
    return (struct el_lane){d->file, layer * d->lane_nbytes};
}

static uint64_t logits_at(const struct el_divergence *d, size_t position)
{
    return (d->n_layers + 1) * d->lane_nbytes + position * d->n_vocab * sizeof(float);
}

static struct el_lane lane(const struct el_divergence *d, size_t variant)
{
    return (struct el_lane){d->file, logits_at(d, d->n_positions) + variant * d->lane_nbytes};
}

/* ---- the model itself ---- */

static enum el_status keep_logits(void *user, size_t first, uint32_t n, const float *logits, uint64_t stride, struct el_err *err)
{
    const struct el_divergence *const d = user;
    for (uint32_t i = 0; i < n; i++)
        EL_TRY(el_workfile_write(d->file, logits_at(d, first + i), logits + i * stride, d->n_vocab * sizeof(float), err));
    return EL_OK;
}

static void step(struct el_divergence *d)
{
    d->done++;
    el_sens_progress(d->s, "divergences", d->done, d->total);
}

/* Batch after batch of a lane through the layer that is loaded. */
static enum el_status run_layer(struct el_divergence *d, struct el_lane from, struct el_lane to, struct el_err *err)
{
    for (size_t b = 0; b < el_stream_n_batches(d->stream); b++)
        EL_TRY(el_stream_block(d->stream, b, &from, &to, NULL, NULL, NULL, NULL, err));
    step(d);
    return EL_OK;
}

static enum el_status make_prefixes(struct el_divergence *d, struct el_err *err)
{
    const struct el_lane first = prefix(d, 0), last = prefix(d, d->n_layers);
    d->done = 0;
    d->total = d->n_layers;
    EL_TRY(el_stream_embed(d->stream, EL_FROM_MODEL, &first, err));
    for (uint32_t l = 0; l < d->n_layers; l++) {
        EL_TRY(el_stream_load(d->stream, EL_FROM_MODEL, l, err));
        EL_TRY(run_layer(d, prefix(d, l), prefix(d, l + 1), err));
    }
    EL_TRY(el_stream_load_head(d->stream, EL_FROM_MODEL, err));
    EL_TRY(el_stream_logits(d->stream, &last, d->position, d->n_positions, keep_logits, d, err));
    d->ready = true;
    return EL_OK;
}

/* ---- changed matrices ---- */

struct group {
    const uint32_t *choice; /* [n, rows] */
    size_t n;
    double *kld;
};

/* Is the row's matrix another one in this variant? What is copied is not. */
static bool changes(const struct el_divergence *d, const struct group *g, size_t variant, size_t row)
{
    const uint32_t c = g->choice[variant * d->s->n_rows + row];
    return c != EL_SENS_KEEP && !el_sens_entry(d->s, row, c)->copy;
}

static bool changes_in(const struct el_divergence *d, const struct group *g, size_t variant, uint32_t stage)
{
    for (size_t i = 0; i < d->s->n_rows; i++)
        if (d->s->rows[i].stage == stage && changes(d, g, variant, i))
            return true;
    return false;
}

/* Makes what a variant has in a stage and puts it into the overlay. */
static enum el_status put(struct el_divergence *d, const struct group *g, size_t variant, uint32_t stage, struct el_err *err)
{
    const struct el_sens *const s = d->s;
    for (size_t i = 0; i < s->n_rows; i++) {
        if (s->rows[i].stage != stage || !changes(d, g, variant, i))
            continue;
        const uint32_t c = g->choice[variant * s->n_rows + i];
        struct el_made *const made = &d->made[i * s->n_columns + c];
        if (!made->block)
            EL_TRY(el_make_tensor(s->source, s->columns[c].plan, s->rows[i].tensor, &d->factors, made, el_stream_pool(d->stream),
                                  err));
        el_overlay_set(d->overlay, s->rows[i].tensor, made);
    }
    return EL_OK;
}

/* Takes it out again, and forgets what no later variant of the group has. */
static void take(struct el_divergence *d, const struct group *g, size_t variant, uint32_t stage)
{
    const struct el_sens *const s = d->s;
    for (size_t i = 0; i < s->n_rows; i++) {
        if (s->rows[i].stage != stage || !changes(d, g, variant, i))
            continue;
        const uint32_t c = g->choice[variant * s->n_rows + i];
        bool again = false;
        for (size_t v = variant + 1; v < g->n; v++)
            again |= g->choice[v * s->n_rows + i] == c;
        el_overlay_set(d->overlay, s->rows[i].tensor, NULL);
        if (!again)
            el_made_release(&d->made[i * s->n_columns + c]);
    }
}

/* ---- a group of variants ---- */

static enum el_status embed(struct el_divergence *d, const struct group *g, struct el_err *err)
{
    for (size_t v = 0; v < g->n; v++) {
        d->begun[v] = changes_in(d, g, v, 0);
        if (!d->begun[v])
            continue;
        const struct el_lane to = lane(d, v);
        EL_TRY(put(d, g, v, 0, err));
        EL_TRY(el_stream_embed(d->stream, EL_FROM_QUANTIZED, &to, err));
        take(d, g, v, 0);
    }
    return EL_OK;
}

static enum el_status group_layer(struct el_divergence *d, const struct group *g, uint32_t l, struct el_err *err)
{
    bool loaded = false;
    for (size_t v = 0; v < g->n; v++) {
        if (!d->begun[v] || changes_in(d, g, v, l + 1))
            continue;
        if (!loaded)
            EL_TRY(el_stream_load(d->stream, EL_FROM_MODEL, l, err));
        loaded = true;
        EL_TRY(run_layer(d, lane(d, v), lane(d, v), err));
    }
    for (size_t v = 0; v < g->n; v++) {
        if (!changes_in(d, g, v, l + 1))
            continue;
        EL_TRY(put(d, g, v, l + 1, err));
        EL_TRY(el_stream_load(d->stream, EL_FROM_QUANTIZED, l, err));
        EL_TRY(run_layer(d, d->begun[v] ? lane(d, v) : prefix(d, l), lane(d, v), err));
        take(d, g, v, l + 1);
        d->begun[v] = true;
    }
    return EL_OK;
}

/* ---- comparing ---- */

struct comparing {
    struct el_divergence *d;
    const float *logits;
    uint64_t stride;
    size_t first;
};

static void compare(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct comparing *const c = arg;
    const size_t n = (size_t)c->d->n_vocab;
    double *const own = c->d->lp + thread * 2 * n, *const other = own + n;
    for (uint64_t i = begin; i < end; i++) {
        double kld = 0.0;
        (void)el_log_softmax(c->d->own + i * n, n, 0, own);
        (void)el_log_softmax(c->logits + i * c->stride, n, 0, other);
        for (size_t k = 0; k < n; k++) {
            const double p = exp(own[k]);
            if (p > 0.0)
                kld += p * (own[k] - other[k]);
        }
        c->d->kld[c->first + i] = kld;
    }
}

static enum el_status on_logits(void *user, size_t first, uint32_t n, const float *logits, uint64_t stride, struct el_err *err)
{
    struct el_divergence *const d = user;
    struct comparing c = {d, logits, stride, first};
    EL_TRY(el_workfile_read(d->file, logits_at(d, first), d->own, n * d->n_vocab * sizeof(float), err));
    el_pool_run(el_stream_pool(d->stream), n, 1, compare, &c);
    return EL_OK;
}

static enum el_status read_out(struct el_divergence *d, size_t variant, double *kld, struct el_err *err)
{
    const struct el_lane from = d->begun[variant] ? lane(d, variant) : prefix(d, d->n_layers);
    double sum = 0.0;
    EL_TRY(el_stream_logits(d->stream, &from, d->position, d->n_positions, on_logits, d, err));
    for (size_t i = 0; i < d->n_positions; i++)
        sum += d->kld[i];
    *kld = sum / (double)d->n_positions;
    step(d);
    return EL_OK;
}

static bool changes_head(const struct el_divergence *d, const struct group *g, size_t variant)
{
    return changes_in(d, g, variant, d->n_layers + 1) || (d->tied && changes_in(d, g, variant, 0));
}

static enum el_status heads(struct el_divergence *d, const struct group *g, struct el_err *err)
{
    const uint32_t last = d->n_layers + 1;
    bool loaded = false;
    for (size_t v = 0; v < g->n; v++) {
        if (changes_head(d, g, v))
            continue;
        if (!loaded)
            EL_TRY(el_stream_load_head(d->stream, EL_FROM_MODEL, err));
        loaded = true;
        EL_TRY(read_out(d, v, &g->kld[v], err));
    }
    for (size_t v = 0; v < g->n; v++) {
        if (!changes_head(d, g, v))
            continue;
        if (d->tied)
            EL_TRY(put(d, g, v, 0, err));
        EL_TRY(put(d, g, v, last, err));
        EL_TRY(el_stream_load_head(d->stream, EL_FROM_QUANTIZED, err));
        EL_TRY(read_out(d, v, &g->kld[v], err));
        if (d->tied)
            take(d, g, v, 0);
        take(d, g, v, last);
    }
    return EL_OK;
}

/* Steps of a group: a layer of a variant, and its predictions. */
static uint64_t n_steps(const struct el_divergence *d, const struct group *g)
{
    uint64_t n = 0;
    for (size_t v = 0; v < g->n; v++) {
        uint32_t stage = 0;
        while (stage <= d->n_layers && !changes_in(d, g, v, stage))
            stage++;
        n += 1 + (stage == 0 ? d->n_layers : d->n_layers + 1 - stage);
    }
    return n;
}

static enum el_status run_group(struct el_divergence *d, const struct group *g, struct el_err *err)
{
    EL_TRY(embed(d, g, err));
    for (uint32_t l = 0; l < d->n_layers; l++)
        EL_TRY(group_layer(d, g, l, err));
    return heads(d, g, err);
}

/* After a failure: nothing stays in the overlay. */
static void forget(struct el_divergence *d)
{
    for (size_t i = 0; i < d->s->n_rows; i++) {
        el_overlay_set(d->overlay, d->s->rows[i].tensor, NULL);
        for (size_t c = 0; c < d->s->n_columns; c++)
            el_made_release(&d->made[i * d->s->n_columns + c]);
    }
}

enum el_status el_divergence_run(struct el_divergence *divergence, const uint32_t *choice, size_t n, double *kld,
                                 el_divergence_fn *fn, void *user, struct el_err *err)
{
    struct el_divergence *const d = divergence;
    enum el_status status = EL_OK;
    if (!d->ready)
        EL_TRY(make_prefixes(d, err));
    d->done = d->total = 0;
    for (size_t i = 0; i < n; i += d->n_lanes) {
        const struct group g = {choice + i * d->s->n_rows, n - i < d->n_lanes ? n - i : d->n_lanes, kld + i};
        d->total += n_steps(d, &g);
    }
    for (size_t i = 0; i < n && status == EL_OK; i += d->n_lanes) {
        const struct group g = {choice + i * d->s->n_rows, n - i < d->n_lanes ? n - i : d->n_lanes, kld + i};
        status = run_group(d, &g, err);
        if (status == EL_OK && fn)
            status = fn(user, i, g.n, err);
    }
    el_solve_kept_release(&d->factors.kept);
    if (status != EL_OK)
        forget(d);
    return status;
}
