/*
 * Calibration: a stream of the model's layers, the sums of what their matrices read, and the file of both. The order of writes is
 * the order of layers, so what a run that was stopped has written is what the next one need not do again.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "model/laid_file.h"
#include "model/stream.h"
#include "quant/collect.h"
#include "quant/residual.h"
#include "quant/run_state.h"
#include "quant/stats_file.h"

static const double USUAL_MASSIVE = 20;

struct calibration {
    struct el_source *source;
    const struct el_calibrate_text *text;
    const struct el_calibrate_opts *opts;
    struct el_sink *sink;
    el_calibrate_report_fn *report;
    void *report_user;
    double massive;
    struct el_stream *stream;
    struct el_inputs inputs;
    struct el_collect *collect;
    struct el_residual *residual;
    struct el_run_state *state;
    struct el_stats_writer *writer;
    bool *skip;            /* [n_tokens] */
    const bool *skip_rows; /* of the batch that runs */
    uint64_t head_first;   /* token, while the head runs */
    uint64_t done, total;  /* steps: a batch through a layer */
};

/* ---- what a state belongs to ---- */

#define ANOTHER "of another model, text, option or CPU level"
static const struct el_run_kind state_kind = {"edgellm-calib-1\n", "calibration", {ANOTHER, ANOTHER, ANOTHER, ANOTHER}};

static void add_string(struct el_sha256 *sha, const char *s)
{
    el_sha256_add(sha, s, strlen(s) + 1);
}

static enum el_status make_key(const struct calibration *c, char key[65], struct el_err *err)
{
    const struct el_calibrate_opts *const o = c->opts;
    const struct el_calibrate_text *const text = c->text;
    char model[65], quantized[65] = "";
    EL_TRY(el_source_fingerprint(c->source, model, err));
    if (o->quantized)
        EL_TRY(el_source_fingerprint(o->quantized, quantized, err));
    struct el_sha256 *const sha = el_sha256_open();
    if (!sha)
        return el_fail(err, EL_E_MEMORY, "out of memory for a hash");
    uint64_t n = 0;
    for (size_t w = 0; w < text->n_windows; w++)
        n += text->window_n[w];
    const uint64_t numbers[] = {n,        text->n_windows, text->n_ctx,     o->no_hessian, o->process_output,
                                o->cross, o->skip_first,   o->skip_massive, text->n_names, EL_STATS_VERSION};
    add_string(sha, el_version());
    add_string(sha, el_cpu_level());
    add_string(sha, model);
    add_string(sha, quantized);
    add_string(sha, text->protocol);
    for (size_t i = 0; i < text->n_names; i++) {
        add_string(sha, text->names[i]);
        add_string(sha, text->sha256[i]);
    }
    el_sha256_add(sha, numbers, sizeof numbers);
    el_sha256_add(sha, &c->massive, sizeof c->massive);
    el_sha256_add(sha, text->window_n, text->n_windows * sizeof *text->window_n);
    el_sha256_add(sha, text->ids, n * sizeof *text->ids);
    el_sha256_close(sha, key);
    return EL_OK;
}

/* ---- a batch ---- */

static void on_rows(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x, const uint32_t *row)
{
    const struct calibration *const c = user;
    el_collect_rows(c->collect, w, expert, x, row, c->skip_rows);
}

static void on_head_rows(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x, const uint32_t *row)
{
    const struct calibration *const c = user;
    el_collect_rows(c->collect, w, expert, x, row, c->skip + c->head_first);
}

static void on_original(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x, const uint32_t *row)
{
    const struct calibration *const c = user;
    (void)expert;
    if (!row)
        el_collect_original(c->collect, w, x);
}

static void step(struct calibration *c)
{
    c->done++;
    if (c->opts->progress)
        c->opts->progress(c->opts->progress_user, "calibrate", c->done, c->total);
}

static void set_batch(struct calibration *c, size_t b)
{
    uint64_t first;
    (void)el_stream_batch(c->stream, b, &first);
    c->skip_rows = c->opts->skip_first || c->opts->skip_massive ? c->skip + first : NULL;
}

/* ---- a layer ---- */

static void skip_first(struct calibration *c)
{
    for (uint64_t i = 0; i < el_stream_n_tokens(c->stream); i++) {
        uint32_t pos;
        (void)el_stream_token(c->stream, i, &pos);
        c->skip[i] = pos < c->opts->skip_first;
    }
}

/* Which tokens do not count in this layer. */
static enum el_status find_skipped(struct calibration *c, struct el_err *err)
{
    const struct el_lane from = el_run_state_from(c->state, 0);
    skip_first(c);
    for (size_t b = 0; c->opts->skip_massive && b < el_stream_n_batches(c->stream); b++) {
        const float *before, *after;
        EL_TRY(el_stream_block(c->stream, b, &from, NULL, NULL, NULL, &before, &after, err));
        el_residual_batch(c->residual, b, before, after);
        step(c);
    }
    if (c->opts->skip_massive)
        el_residual_flag(c->residual, c->massive, c->skip);
    return EL_OK;
}

/* One look at all batches; keep: what comes out goes on to the next layer. */
static enum el_status run_pass(struct calibration *c, bool first, bool keep, struct el_err *err)
{
    const struct el_lane from = el_run_state_from(c->state, 0), to = el_run_state_to(c->state, 0);
    const struct el_lane from1 = el_run_state_from(c->state, 1), to1 = el_run_state_to(c->state, 1);
    for (size_t b = 0; b < el_stream_n_batches(c->stream); b++) {
        const float *before, *after;
        set_batch(c, b);
        if (c->opts->cross)
            EL_TRY(el_stream_block(c->stream, b, &from1, keep ? &to1 : NULL, on_original, c, NULL, NULL, err));
        EL_TRY(el_stream_block(c->stream, b, &from, keep && !c->opts->quantized ? &to : NULL, on_rows, c, &before, &after, err));
        if (first)
            el_residual_batch(c->residual, b, before, after);
        step(c);
    }
    return EL_OK;
}

/* Writes what this pass has made: of the first also the sums. */
static enum el_status write_pass(struct calibration *c, int32_t layer, bool first, struct el_err *err)
{
    size_t end;
    for (size_t i = el_inputs_of_layer(&c->inputs, layer, &end); i < end; i++) {
        if (first)
            EL_TRY(el_stats_write_sums(c->writer, i, el_collect_sums(c->collect, i), err));
        for (uint32_t e = 0; e < c->inputs.v[i].n_experts; e++) {
            const double *const tiles = el_collect_hessian(c->collect, i, e);
            if (tiles)
                EL_TRY(el_stats_write_hessian(c->writer, i, e, tiles, err));
        }
        const double *const cross = el_collect_cross(c->collect, i);
        if (cross)
            EL_TRY(el_stats_write_cross(c->writer, i, cross, err));
    }
    return EL_OK;
}

static enum el_status report_layer(struct calibration *c, uint32_t layer, struct el_err *err)
{
    struct el_massive list[EL_MASSIVE_MOST];
    const struct el_calibrate_report report = {
        .layer = layer,
        .n_layers = el_stream_model(c->stream)->hp.n_layers,
        .influence = el_residual_influence(c->residual),
        .n_massive = el_residual_massive(c->residual, c->massive, list),
        .massive_pos = list[0].pos,
        .massive_token = list[0].token,
        .massive_channel = list[0].channel,
        .massive_value = (double)list[0].value,
    };
    EL_TRY(el_stats_write_layer(c->writer, layer, report.influence, list, err));
    if (c->report)
        c->report(c->report_user, &report);
    return EL_OK;
}

static enum el_status run_layer(struct calibration *c, uint32_t layer, struct el_err *err)
{
    uint32_t n_passes = 1;
    EL_TRY(el_stream_load(c->stream, EL_FROM_MODEL, layer, err));
    EL_TRY(find_skipped(c, err));
    EL_TRY(el_collect_layer(c->collect, (int32_t)layer, &n_passes, err));
    c->total += (uint64_t)(n_passes - 1) * el_stream_n_batches(c->stream);
    for (uint32_t p = 0; p < n_passes; p++) {
        EL_TRY(el_collect_pass(c->collect, p, err));
        EL_TRY(run_pass(c, p == 0, p == n_passes - 1, err));
        EL_TRY(write_pass(c, (int32_t)layer, p == 0, err));
    }
    if (!c->opts->quantized)
        return report_layer(c, layer, err);
    const struct el_lane from = el_run_state_from(c->state, 0), to = el_run_state_to(c->state, 0);
    EL_TRY(el_stream_load(c->stream, EL_FROM_QUANTIZED, layer, err));
    for (size_t b = 0; b < el_stream_n_batches(c->stream); b++) {
        EL_TRY(el_stream_block(c->stream, b, &from, &to, NULL, NULL, NULL, NULL, err));
        step(c);
    }
    return report_layer(c, layer, err);
}

static enum el_status run_head(struct calibration *c, struct el_err *err)
{
    const struct el_lane from = el_run_state_from(c->state, 0);
    uint32_t n_passes;
    skip_first(c);
    EL_TRY(el_collect_layer(c->collect, EL_INPUTS_HEAD, &n_passes, err));
    for (uint32_t p = 0; p < n_passes; p++) {
        EL_TRY(el_collect_pass(c->collect, p, err));
        EL_TRY(el_stream_head(c->stream, EL_FROM_MODEL, &from, on_head_rows, c, &c->head_first, err));
        EL_TRY(write_pass(c, EL_INPUTS_HEAD, p == 0, err));
    }
    return EL_OK;
}

/* ---- all ---- */

static enum el_status write_again(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                  struct el_err *err)
{
    const struct calibration *const c = user;
    return el_run_replay_write(c->state, c->sink, tensor, 0, offset, data, nbytes, err);
}

/* The j-th line of the folds of a model that rotates the residual stream; NULL past the last. */
static const char *residual_rotation(const struct el_source *s, size_t j)
{
    const size_t at = el_meta_find(s->meta, "edgellm.folds");
    if (at == SIZE_MAX || el_meta_type(s->meta, at) != EL_META_ARR || el_meta_elem_type(s->meta, at) != EL_META_STR)
        return NULL;
    for (size_t i = 0; i < el_meta_n_elems(s->meta, at); i++) {
        const char *const line = el_meta_str(s->meta, at, i, NULL);
        if (strstr(line, " rotate residual ") && j-- == 0)
            return line;
    }
    return NULL;
}

/* The model's layers are run on what the quantized ones give: in other directions that would be noise. */
static enum el_status check_rotations(const struct el_source *source, const struct el_source *quantized, struct el_err *err)
{
    const char *a = "", *b = "";
    for (size_t j = 0; a && b && strcmp(a, b) == 0; j++) {
        a = residual_rotation(source, j);
        b = residual_rotation(quantized, j);
    }
    if (!a && !b)
        return EL_OK;
    return el_fail(err, EL_E_USAGE,
                   "'%s': its residual stream is changed by '%.64s', that of '%s' by '%.64s'; both must be the same",
                   quantized->path, b ? b : "nothing", source->path, a ? a : "nothing");
}

static enum el_status open_all(struct calibration *c, int64_t *layers_done, struct el_err *err)
{
    const struct el_calibrate_opts *const o = c->opts;
    const struct el_stream_text windows = {c->text->ids, c->text->window_n, c->text->n_windows};
    char key[65] = "";
    if (o->cross && !o->quantized)
        return el_fail(err, EL_E_USAGE, "the cross product needs the quantized model");
    if (o->quantized)
        EL_TRY(check_rotations(c->source, o->quantized, err));
    EL_TRY(el_stream_open(c->source, o->quantized, &windows, o->n_threads, &c->stream, err));
    const struct el_model *const model = el_stream_model(c->stream);
    EL_TRY(el_inputs_make(&c->inputs, model->arch, &model->hp, c->source, o->process_output, err));
    const struct el_collect_opts collect = {
        .hessian = !o->no_hessian, .cross = o->cross, .max_rows = el_stream_max_rows(c->stream), .max_nbytes = o->max_nbytes};
    EL_TRY(el_collect_open(&c->inputs, &collect, el_stream_pool(c->stream), &c->collect, err));
    EL_TRY(el_residual_open(c->stream, &c->residual, err));
    c->skip = el_calloc_array(el_stream_n_tokens(c->stream), sizeof *c->skip);
    if (!c->skip)
        return el_fail(err, EL_E_MEMORY, "out of memory for a calibration");
    if (o->state_path)
        EL_TRY(make_key(c, key, err));
    EL_TRY(el_run_state_open(o->state_path, c->sink->path, &state_kind, key, o->cross ? 2 : 1, el_lane_nbytes(c->stream),
                             &c->state, layers_done, err));
    const struct el_stats_about about = {.datasets = c->text->names,
                                         .sha256 = c->text->sha256,
                                         .n_datasets = c->text->n_names,
                                         .n_chunks = (uint32_t)c->text->n_windows,
                                         .chunk_size = c->text->n_ctx,
                                         .n_tokens = el_stream_n_tokens(c->stream),
                                         .protocol = c->text->protocol,
                                         .quantized = o->quantized != NULL};
    c->sink->source = c->source; /* it must not be replaced */
    return el_stats_writer_open(c->sink, &c->inputs, &about, model->hp.n_layers, !o->no_hessian, o->cross, el_run_state_tee,
                                c->state, &c->writer, err);
}

static enum el_status run_all(struct calibration *c, int64_t layers_done, struct el_err *err)
{
    const uint32_t n_layers = el_stream_model(c->stream)->hp.n_layers;
    const uint64_t per_layer = el_stream_n_batches(c->stream) * (1u + c->opts->skip_massive + (c->opts->quantized != NULL));
    if (layers_done < 0) {
        const struct el_lane to[EL_RUN_LANES] = {el_run_state_to(c->state, 0), el_run_state_to(c->state, 1)};
        EL_TRY(el_stream_embed(c->stream, c->opts->quantized ? EL_FROM_QUANTIZED : EL_FROM_MODEL, &to[0], err));
        if (c->opts->cross)
            EL_TRY(el_stream_embed(c->stream, EL_FROM_MODEL, &to[1], err));
        EL_TRY(el_run_state_commit(c->state, 0, err));
        layers_done = 0;
    }
    EL_TRY(el_run_state_replay(c->state, write_again, c, err));
    c->total = ((uint64_t)n_layers - (uint64_t)layers_done) * per_layer;
    for (uint32_t l = (uint32_t)layers_done; l < n_layers; l++) {
        EL_TRY(run_layer(c, l, err));
        EL_TRY(el_run_state_commit(c->state, l + 1, err));
    }
    return c->opts->process_output ? run_head(c, err) : EL_OK;
}

enum el_status el_calibrate(struct el_source *source, const struct el_calibrate_text *text, struct el_sink *sink,
                            const struct el_calibrate_opts *opts, el_calibrate_report_fn *report, void *report_user,
                            struct el_err *err)
{
    static const struct el_calibrate_opts defaults = {.n_threads = 0};
    struct calibration c = {.source = source, .text = text, .sink = sink, .report = report, .report_user = report_user};
    int64_t layers_done = -1;
    c.opts = opts ? opts : &defaults;
    c.massive = c.opts->massive > 0 ? c.opts->massive : USUAL_MASSIVE;
    enum el_status status = open_all(&c, &layers_done, err);
    if (status == EL_OK)
        status = run_all(&c, layers_done, err);
    el_stats_writer_close(c.writer);
    el_run_state_close(c.state);
    el_residual_close(c.residual);
    el_collect_close(c.collect);
    el_inputs_release(&c.inputs);
    el_stream_close(c.stream);
    el_free(c.skip);
    return status;
}
