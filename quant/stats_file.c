#include "quant/stats_file.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "quant/stats.h"

enum { TILE_ELEMS = EL_STATS_TILE * EL_STATS_TILE, BUFFER_ELEMS = 64 * TILE_ELEMS };

/* Indices of an input's tensors; SIZE_MAX: there is none. */
struct places {
    size_t sumabs, maxabs, hessian, cross;
};

struct el_stats_writer {
    struct el_sink *sink;
    const struct el_inputs *inputs;
    struct places *of_input; /* [inputs->n] */
    size_t *sum2, *counts;   /* [inputs->n_of] */
    size_t influence, massive;
    el_stats_tee_fn *tee;
    void *user;
    float *buffer; /* [BUFFER_ELEMS], or a row */
};

static enum el_status no_memory(const struct el_sink *sink, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "'%s': out of memory", sink->path);
}

/* ---- what the file says ---- */

static enum el_status set_str(struct el_meta *meta, const char *key, const char *s, struct el_err *err)
{
    return el_meta_set_str(meta, key, s, strlen(s), err);
}

enum el_status el_stats_describe(struct el_meta *meta, const struct el_stats_about *about, const char *const *matrices,
                                 const char *const *inputs, size_t n, struct el_err *err)
{
    EL_TRY(set_str(meta, EL_STATS_KEY_TYPE, "imatrix", err));
    EL_TRY(el_meta_set_str_array(meta, EL_STATS_KEY_DATASETS, about->datasets, NULL, about->n_datasets, err));
    EL_TRY(el_meta_set_u32(meta, EL_STATS_KEY_CHUNKS, about->n_chunks, err));
    EL_TRY(el_meta_set_u32(meta, EL_STATS_KEY_CHUNK, about->chunk_size, err));
    if (n == 0)
        return EL_OK;
    EL_TRY(el_meta_set_u32(meta, EL_STATS_KEY_VERSION, EL_STATS_VERSION, err));
    EL_TRY(el_meta_set_str_array(meta, EL_STATS_KEY_MATRICES, matrices, NULL, n, err));
    EL_TRY(el_meta_set_str_array(meta, EL_STATS_KEY_INPUTS, inputs, NULL, n, err));
    EL_TRY(el_meta_set_str_array(meta, EL_STATS_KEY_SHA256, about->sha256, NULL, about->n_datasets, err));
    EL_TRY(el_meta_set_scalar(meta, EL_STATS_KEY_TOKENS, EL_META_U64, &about->n_tokens, err));
    EL_TRY(set_str(meta, EL_STATS_KEY_PROTOCOL, about->protocol, err));
    return el_meta_set_bool(meta, EL_STATS_KEY_QUANTIZED, about->quantized, err);
}

/* ---- the directory ---- */

struct directory {
    struct el_tensor *t;
    size_t n;
};

/* Adds a tensor; its index to *at. */
static bool add(struct directory *d, const char *name, const char *suffix, const uint64_t *dims, uint32_t n_dims, size_t *at)
{
    const size_t n_name = strlen(name) + strlen(suffix) + 1;
    char *const full = el_alloc(n_name);
    if (!full)
        return false;
    (void)snprintf(full, n_name, "%s%s", name, suffix);
    *at = d->n;
    d->t[d->n] = (struct el_tensor){.name = full, .file_name = full, .enc = el_enc_f32(), .n_dims = n_dims};
    memcpy(d->t[d->n++].dims, dims, n_dims * sizeof *dims);
    return true;
}

static bool add_input(struct directory *d, const struct el_input *input, bool hessian, bool cross, struct places *p)
{
    const uint64_t blocks = (input->n_in + EL_STATS_TILE - 1) / EL_STATS_TILE;
    const uint64_t columns[] = {input->n_experts, input->n_in};
    const uint64_t tiles[] = {input->n_experts, blocks * (blocks + 1) / 2, TILE_ELEMS};
    const uint64_t square[] = {input->n_in, input->n_in};
    *p = (struct places){SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    if (!add(d, input->name, EL_SUFFIX_SUMABS, columns, 2, &p->sumabs) ||
        !add(d, input->name, EL_SUFFIX_MAXABS, columns, 2, &p->maxabs))
        return false;
    if (hessian && input->hessian && !add(d, input->name, EL_SUFFIX_HESSIAN, tiles, 3, &p->hessian))
        return false;
    return !cross || !input->cross || add(d, input->name, EL_SUFFIX_CROSS, square, 2, &p->cross);
}

static bool list(struct el_stats_writer *w, struct directory *d, uint32_t n_layers, bool hessian, bool cross)
{
    const struct el_inputs *const inputs = w->inputs;
    size_t at = 0;
    for (size_t i = 0; i < inputs->n; i++) {
        for (; at < inputs->n_of && inputs->of[at].input == i; at++) {
            const uint64_t sums[] = {inputs->v[i].n_experts, inputs->v[i].n_in}, counts[] = {inputs->v[i].n_experts, 1};
            if (!add(d, inputs->of[at].name, EL_SUFFIX_SUM2, sums, 2, &w->sum2[at]) ||
                !add(d, inputs->of[at].name, EL_SUFFIX_COUNTS, counts, 2, &w->counts[at]))
                return false;
        }
        if (!add_input(d, &inputs->v[i], hessian, cross, &w->of_input[i]))
            return false;
    }
    const uint64_t layers[] = {n_layers, EL_MASSIVE_MOST, EL_MASSIVE_FIELDS};
    return add(d, EL_STATS_INFLUENCE, "", layers, 1, &w->influence) && add(d, EL_STATS_MASSIVE, "", layers, 3, &w->massive);
}

static enum el_status declare(struct el_stats_writer *w, const struct el_stats_about *about, struct directory *d,
                              struct el_err *err)
{
    const struct el_inputs *const inputs = w->inputs;
    struct el_meta *const meta = el_meta_new();
    const char **const names = el_alloc_array(inputs->n_of, sizeof *names),
                       **const leads = el_alloc_array(inputs->n_of, sizeof *leads);
    enum el_status status = meta && names && leads ? EL_OK : no_memory(w->sink, err);
    for (size_t i = 0; names && leads && i < inputs->n_of; i++) {
        names[i] = inputs->of[i].name;
        leads[i] = inputs->v[inputs->of[i].input].name;
    }
    if (status == EL_OK)
        status = el_stats_describe(meta, about, names, leads, inputs->n_of, err);
    if (status == EL_OK)
        status = w->sink->ops->begin(w->sink, meta, d->t, d->n, err);
    el_free(names);
    el_free(leads);
    el_meta_free(meta);
    return status;
}

enum el_status el_stats_writer_open(struct el_sink *sink, const struct el_inputs *inputs, const struct el_stats_about *about,
                                    uint32_t n_layers, bool hessian, bool cross, el_stats_tee_fn *tee, void *user,
                                    struct el_stats_writer **writer, struct el_err *err)
{
    enum { PER_INPUT = 4, PER_MATRIX = 2, OTHERS = 2 };
    uint64_t widest = BUFFER_ELEMS;
    *writer = NULL;
    struct el_stats_writer *const w = el_calloc_array(1, sizeof *w);
    struct directory d = {.t = el_calloc_array(inputs->n * PER_INPUT + inputs->n_of * PER_MATRIX + OTHERS, sizeof *d.t)};
    for (size_t i = 0; i < inputs->n; i++)
        widest = inputs->v[i].n_in > widest ? inputs->v[i].n_in : widest;
    enum el_status status = w && d.t ? EL_OK : no_memory(sink, err);
    if (status == EL_OK) {
        *w = (struct el_stats_writer){.sink = sink, .inputs = inputs, .tee = tee, .user = user};
        w->of_input = el_alloc_array(inputs->n, sizeof *w->of_input);
        w->sum2 = el_alloc_array(inputs->n_of, sizeof *w->sum2);
        w->counts = el_alloc_array(inputs->n_of, sizeof *w->counts);
        w->buffer = el_alloc_array(widest, sizeof *w->buffer);
        if (!w->of_input || !w->sum2 || !w->counts || !w->buffer || !list(w, &d, n_layers, hessian, cross))
            status = no_memory(sink, err);
    }
    if (status == EL_OK)
        status = declare(w, about, &d, err);
    el_tensors_free(d.t, d.n);
    if (status != EL_OK) {
        el_stats_writer_close(w);
        return status;
    }
    *writer = w;
    return EL_OK;
}

void el_stats_writer_close(struct el_stats_writer *writer)
{
    if (!writer)
        return;
    el_free(writer->of_input);
    el_free(writer->sum2);
    el_free(writer->counts);
    el_free(writer->buffer);
    el_free(writer);
}

/* ---- values ---- */

static enum el_status put(struct el_stats_writer *w, size_t tensor, uint64_t elem, uint64_t n, struct el_err *err)
{
    const uint64_t offset = elem * sizeof(float), nbytes = n * sizeof(float);
    if (w->tee)
        EL_TRY(w->tee(w->user, tensor, offset, w->buffer, nbytes, err));
    return w->sink->ops->write(w->sink, tensor, 0, offset, w->buffer, nbytes, err);
}

static enum el_status put_f64(struct el_stats_writer *w, size_t tensor, uint64_t elem, const double *from, uint64_t n,
                              struct el_err *err)
{
    for (uint64_t at = 0; at < n;) {
        const uint64_t m = n - at < BUFFER_ELEMS ? n - at : BUFFER_ELEMS;
        for (uint64_t i = 0; i < m; i++)
            w->buffer[i] = (float)from[at + i];
        EL_TRY(put(w, tensor, elem + at, m, err));
        at += m;
    }
    return EL_OK;
}

enum el_status el_stats_write_sums(struct el_stats_writer *w, size_t input, const struct el_sums *sums, struct el_err *err)
{
    const struct el_input *const in = &w->inputs->v[input];
    for (uint32_t e = 0; e < in->n_experts; e++) {
        const uint64_t from = e * sums->n_pad, to = e * in->n_in;
        for (size_t i = 0; i < w->inputs->n_of; i++) {
            if (w->inputs->of[i].input != input)
                continue;
            EL_TRY(put_f64(w, w->sum2[i], to, sums->sum2 + from, in->n_in, err));
            w->buffer[0] = (float)sums->count[e];
            EL_TRY(put(w, w->counts[i], e, 1, err));
        }
        EL_TRY(put_f64(w, w->of_input[input].sumabs, to, sums->sumabs + from, in->n_in, err));
        memcpy(w->buffer, sums->maxabs + from, in->n_in * sizeof *w->buffer);
        EL_TRY(put(w, w->of_input[input].maxabs, to, in->n_in, err));
    }
    return EL_OK;
}

enum el_status el_stats_write_hessian(struct el_stats_writer *w, size_t input, uint32_t expert, const double *tiles,
                                      struct el_err *err)
{
    const uint64_t blocks = (w->inputs->v[input].n_in + EL_STATS_TILE - 1) / EL_STATS_TILE;
    const uint64_t n = blocks * (blocks + 1) / 2 * TILE_ELEMS;
    return put_f64(w, w->of_input[input].hessian, expert * n, tiles, n, err);
}

enum el_status el_stats_write_cross(struct el_stats_writer *w, size_t input, const double *tiles, struct el_err *err)
{
    const uint64_t n_in = w->inputs->v[input].n_in, blocks = (n_in + EL_STATS_TILE - 1) / EL_STATS_TILE;
    for (uint64_t r = 0; r < n_in; r++) {
        const double *const row = tiles + r / EL_STATS_TILE * blocks * TILE_ELEMS + r % EL_STATS_TILE * EL_STATS_TILE;
        for (uint64_t c = 0; c < n_in; c++)
            w->buffer[c] = (float)row[c / EL_STATS_TILE * TILE_ELEMS + c % EL_STATS_TILE];
        EL_TRY(put(w, w->of_input[input].cross, r * n_in, n_in, err));
    }
    return EL_OK;
}

enum el_status el_stats_write_layer(struct el_stats_writer *w, uint32_t layer, double influence,
                                    const struct el_massive massive[EL_MASSIVE_MOST], struct el_err *err)
{
    EL_TRY(put_f64(w, w->influence, layer, &influence, 1, err));
    for (size_t i = 0; i < EL_MASSIVE_MOST; i++) {
        const struct el_massive *const m = &massive[i];
        const float fields[EL_MASSIVE_FIELDS] = {(float)m->pos, (float)m->token, (float)m->channel, m->value, (float)m->count};
        memcpy(w->buffer + i * EL_MASSIVE_FIELDS, fields, sizeof fields);
    }
    return put(w, w->massive, layer * EL_MASSIVE_MOST * EL_MASSIVE_FIELDS, EL_MASSIVE_MOST * EL_MASSIVE_FIELDS, err);
}
