/* Adding statistics up: tensor by tensor, in pieces, so that Hessians of any size need no memory. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "quant/stats.h"
#include "quant/stats_file.h"

enum { PIECE_ELEMS = 1 << 18 };

struct merge {
    struct el_source *const *sources;
    size_t n_sources;
    bool full;                 /* ours too, not only what llama.cpp has */
    struct el_tensor *tensors; /* [n], names owned */
    size_t n, cap;
    struct el_strmap by_name;
    struct el_sink *sink;
    double *scale; /* [n_sources] of sums and counts: chunks of a .dat to tokens */
    double *sums;
    float *piece;
};

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the statistics");
}

static bool ends(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* ---- metadata ---- */

static uint64_t number_of(const struct el_source *s, const char *key)
{
    const size_t at = el_meta_find(s->meta, key);
    const enum el_meta_type type = at == SIZE_MAX ? EL_META_STR : el_meta_type(s->meta, at);
    if (type == EL_META_STR || type == EL_META_ARR || type == EL_META_F32 || type == EL_META_F64)
        return 0;
    const int64_t v = el_meta_int(s->meta, at, 0);
    return v < 0 ? 0 : (uint64_t)v;
}

static size_t n_strings(const struct el_source *s, const char *key)
{
    const size_t at = el_meta_find(s->meta, key);
    const bool strings =
        at != SIZE_MAX && el_meta_type(s->meta, at) == EL_META_ARR && el_meta_elem_type(s->meta, at) == EL_META_STR;
    return strings ? el_meta_n_elems(s->meta, at) : 0;
}

static const char *string_of(const struct el_source *s, const char *key, size_t i)
{
    return el_meta_str(s->meta, el_meta_find(s->meta, key), i, NULL);
}

static bool same_lists(const struct el_source *a, const struct el_source *b, const char *key)
{
    bool same = n_strings(a, key) == n_strings(b, key);
    for (size_t i = 0; same && i < n_strings(a, key); i++)
        same = strcmp(string_of(a, key, i), string_of(b, key, i)) == 0;
    return same;
}

/* Whether there is more to add up than llama.cpp's part. */
static enum el_status choose(struct merge *m, bool only_importance, struct el_err *err)
{
    m->full = !only_importance;
    for (size_t i = 0; i < m->n_sources; i++)
        m->full = m->full && number_of(m->sources[i], EL_STATS_KEY_VERSION) > 0;
    for (size_t i = 1; i < m->n_sources && m->full; i++)
        if (!same_lists(m->sources[0], m->sources[i], EL_STATS_KEY_MATRICES) ||
            !same_lists(m->sources[0], m->sources[i], EL_STATS_KEY_INPUTS))
            return el_fail(err, EL_E_USAGE, "'%s' and '%s' are of different matrices", m->sources[0]->path, m->sources[i]->path);
    return EL_OK;
}

static void add_strings(const struct merge *m, const char *key, const char **to)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_sources; i++)
        for (size_t k = 0; k < n_strings(m->sources[i], key); k++)
            to[n++] = string_of(m->sources[i], key, k);
}

static size_t count_strings(const struct merge *m, const char *key)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_sources; i++)
        n += n_strings(m->sources[i], key);
    return n;
}

static const char *protocol_of(const struct merge *m)
{
    const char *first = NULL;
    for (size_t i = 0; i < m->n_sources; i++) {
        const size_t at = el_meta_find(m->sources[i]->meta, EL_STATS_KEY_PROTOCOL);
        const bool is_string = at != SIZE_MAX && el_meta_type(m->sources[i]->meta, at) == EL_META_STR;
        const char *const s = is_string ? el_meta_str(m->sources[i]->meta, at, 0, NULL) : "";
        if (first && strcmp(first, s) != 0)
            return "merged";
        first = s;
    }
    return first;
}

static enum el_status describe(const struct merge *m, struct el_meta *meta, struct el_err *err)
{
    const struct el_source *const s = m->sources[0];
    struct el_stats_about about = {.n_datasets = count_strings(m, EL_STATS_KEY_DATASETS), .protocol = protocol_of(m)};
    const size_t n = m->full ? n_strings(s, EL_STATS_KEY_MATRICES) : 0;
    /* Whatever the number of hashes in damaged files: as many as there are names are stored. */
    const size_t n_hashes = count_strings(m, EL_STATS_KEY_SHA256),
                 n_most = about.n_datasets > n_hashes ? about.n_datasets : n_hashes;
    const char **const names = el_calloc_array(2 * n_most + 2 * n, sizeof *names);
    if (!names)
        return no_memory(err);
    const char **const hashes = names + n_most, **const lists = hashes + n_most;
    for (size_t i = 0; i < n_most; i++)
        names[i] = hashes[i] = "";
    add_strings(m, EL_STATS_KEY_DATASETS, names);
    add_strings(m, EL_STATS_KEY_SHA256, hashes);
    about.datasets = names;
    about.sha256 = hashes;
    for (size_t i = 0; i < m->n_sources; i++) {
        const size_t at = el_meta_find(m->sources[i]->meta, EL_STATS_KEY_QUANTIZED);
        about.n_chunks += (uint32_t)number_of(m->sources[i], EL_STATS_KEY_CHUNKS);
        about.n_tokens += number_of(m->sources[i], EL_STATS_KEY_TOKENS);
        if (about.chunk_size == 0)
            about.chunk_size = (uint32_t)number_of(m->sources[i], EL_STATS_KEY_CHUNK);
        about.quantized = about.quantized || (at != SIZE_MAX && el_meta_type(m->sources[i]->meta, at) == EL_META_BOOL &&
                                              el_meta_int(m->sources[i]->meta, at, 0) != 0);
    }
    for (size_t i = 0; i < n; i++) {
        lists[i] = string_of(s, EL_STATS_KEY_MATRICES, i);
        lists[n + i] = string_of(s, EL_STATS_KEY_INPUTS, i);
    }
    const enum el_status status = el_stats_describe(meta, &about, lists, lists + n, n, err);
    el_free(names);
    return status;
}

/* ---- tensors ---- */

static bool is_sum(const char *name)
{
    return ends(name, EL_SUFFIX_SUM2) || ends(name, EL_SUFFIX_COUNTS);
}

static bool is_ours(const char *name)
{
    return ends(name, EL_SUFFIX_SUMABS) || ends(name, EL_SUFFIX_MAXABS) || ends(name, EL_SUFFIX_HESSIAN) ||
           ends(name, EL_SUFFIX_CROSS) || strcmp(name, EL_STATS_INFLUENCE) == 0 || strcmp(name, EL_STATS_MASSIVE) == 0;
}

static bool is_everywhere(const struct merge *m, const char *name)
{
    for (size_t i = 0; i < m->n_sources; i++)
        if (el_source_find(m->sources[i], name) == SIZE_MAX)
            return false;
    return true;
}

static enum el_status add_tensor(struct merge *m, const struct el_tensor *t, struct el_err *err)
{
    const int64_t at = el_strmap_get(&m->by_name, t->name, strlen(t->name), -1);
    const struct el_enc f32 = el_enc_f32();
    if (!el_enc_equal(&t->enc, &f32))
        return el_fail(err, EL_E_FORMAT, "tensor '%s' is %s, must be F32", t->name, t->enc_name);
    if (at >= 0) {
        const struct el_tensor *const first = &m->tensors[at];
        if (first->n_rows * first->n_in == t->n_rows * t->n_in)
            return EL_OK;
        return el_fail(err, EL_E_USAGE, "tensor '%s' has %llu values in one file and %llu in another", t->name,
                       (unsigned long long)(first->n_rows * first->n_in), (unsigned long long)(t->n_rows * t->n_in));
    }
    if (m->n == m->cap) {
        const size_t cap = m->cap ? 2 * m->cap : 64;
        struct el_tensor *const grown = el_realloc_array(m->tensors, cap, sizeof *grown);
        if (!grown)
            return no_memory(err);
        m->tensors = grown;
        m->cap = cap;
    }
    char *const name = el_strdup(t->name);
    if (!name)
        return no_memory(err);
    m->tensors[m->n] = *t;
    m->tensors[m->n].name = m->tensors[m->n].file_name = name;
    return el_strmap_add(&m->by_name, name, strlen(name), (int64_t)m->n++, NULL) ? EL_OK : no_memory(err);
}

static enum el_status list(struct merge *m, struct el_err *err)
{
    for (size_t i = 0; i < m->n_sources; i++)
        for (size_t k = 0; k < m->sources[i]->n_tensors; k++) {
            const struct el_tensor *const t = &m->sources[i]->tensors[k];
            if (!is_sum(t->name) && !(m->full && i == 0 && is_ours(t->name) && is_everywhere(m, t->name)))
                continue;
            const enum el_status status = add_tensor(m, t, err);
            if (status != EL_OK)
                return el_fail_prefix(err, status, "'%s'", m->sources[i]->path);
        }
    return EL_OK;
}

/* A .dat counts chunks: as many tokens as the chunks of the others have. */
static void find_scales(struct merge *m)
{
    uint64_t chunk = 0;
    for (size_t i = 0; i < m->n_sources && chunk == 0; i++)
        chunk = number_of(m->sources[i], EL_STATS_KEY_CHUNK);
    for (size_t i = 0; i < m->n_sources; i++) {
        const bool in_chunks = el_meta_find(m->sources[i]->meta, EL_STATS_KEY_CHUNK) == SIZE_MAX;
        m->scale[i] = in_chunks && chunk > 0 ? (double)chunk : 1.0;
    }
}

/* ---- values ---- */

/* m->piece = n values from `at` on of a tensor that source i has. */
static enum el_status read_piece(const struct merge *m, size_t i, size_t tensor, uint64_t at, uint64_t n, struct el_err *err)
{
    struct el_source *const s = m->sources[i];
    const struct el_tensor *const t = &s->tensors[tensor];
    if (t->n_rows * t->n_in < at + n)
        return el_fail(err, EL_E_USAGE, "'%s': tensor '%s' is smaller than in '%s'", s->path, t->name, m->sources[0]->path);
    EL_TRY(s->ops->read(s, t, 0, at * sizeof *m->piece, m->piece, n * sizeof *m->piece, err));
    for (uint64_t k = 0; k < n; k++)
        if (!isfinite(m->piece[k]))
            return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': element %llu is %g, not finite", s->path, t->name,
                           (unsigned long long)(at + k), (double)m->piece[k]);
    return EL_OK;
}

static enum el_status merge_tensor(const struct merge *m, size_t to, struct el_err *err)
{
    const struct el_tensor *const t = &m->tensors[to];
    const uint64_t n_elems = t->n_rows * t->n_in;
    const bool greatest = ends(t->name, EL_SUFFIX_MAXABS), mean = strcmp(t->name, EL_STATS_INFLUENCE) == 0;
    for (uint64_t at = 0, n; at < n_elems; at += n) {
        double weight = 0;
        n = n_elems - at < PIECE_ELEMS ? n_elems - at : PIECE_ELEMS;
        memset(m->sums, 0, n * sizeof *m->sums);
        for (size_t i = 0; i < m->n_sources; i++) {
            const size_t tensor = el_source_find(m->sources[i], t->name);
            const double tokens = (double)number_of(m->sources[i], EL_STATS_KEY_TOKENS), w = mean ? tokens : m->scale[i];
            if (tensor == SIZE_MAX)
                continue;
            if (el_interrupted())
                return el_fail(err, EL_E_INTERRUPTED, "interrupted");
            EL_TRY(read_piece(m, i, tensor, at, n, err));
            weight += tokens;
            for (uint64_t k = 0; k < n; k++)
                m->sums[k] = greatest ? fmax(m->sums[k], (double)m->piece[k]) : m->sums[k] + w * (double)m->piece[k];
        }
        for (uint64_t k = 0; k < n; k++)
            m->piece[k] = (float)(mean && weight > 0 ? m->sums[k] / weight : m->sums[k]);
        EL_TRY(m->sink->ops->write(m->sink, to, 0, at * sizeof *m->piece, m->piece, n * sizeof *m->piece, err));
    }
    return EL_OK;
}

/* Adds an entry of a layer's list of massive activations to that of all files. */
static void add_massive(float list[][EL_MASSIVE_FIELDS], const float *entry)
{
    enum { POS, TOKEN, CHANNEL, VALUE, COUNT };
    size_t at = 0;
    float moved[EL_MASSIVE_FIELDS];
    memcpy(moved, entry, sizeof moved);
    for (size_t i = 0; i < EL_MASSIVE_MOST && list[i][COUNT] > 0; i++) {
        if (list[i][TOKEN] != moved[TOKEN] || (list[i][POS] == 0) != (moved[POS] == 0))
            continue;
        moved[COUNT] += list[i][COUNT];
        if (fabsf(list[i][VALUE]) >= fabsf(moved[VALUE])) {
            list[i][COUNT] = moved[COUNT];
            return;
        }
        memmove(list[i], list[i + 1], (EL_MASSIVE_MOST - i - 1) * sizeof *list);
        memset(list[EL_MASSIVE_MOST - 1], 0, sizeof *list);
        break;
    }
    while (at < EL_MASSIVE_MOST && list[at][COUNT] > 0 && fabsf(list[at][VALUE]) >= fabsf(moved[VALUE]))
        at++;
    if (at == EL_MASSIVE_MOST)
        return;
    memmove(list[at + 1], list[at], (EL_MASSIVE_MOST - at - 1) * sizeof *list);
    memcpy(list[at], moved, sizeof moved);
}

static enum el_status merge_massive(const struct merge *m, size_t to, struct el_err *err)
{
    enum { ELEMS = EL_MASSIVE_MOST * EL_MASSIVE_FIELDS };
    const struct el_tensor *const t = &m->tensors[to];
    for (uint64_t at = 0; at + ELEMS <= t->n_rows * t->n_in; at += ELEMS) {
        float list[EL_MASSIVE_MOST][EL_MASSIVE_FIELDS] = {{0}};
        for (size_t i = 0; i < m->n_sources; i++) {
            EL_TRY(read_piece(m, i, el_source_find(m->sources[i], t->name), at, ELEMS, err));
            for (size_t k = 0; k < EL_MASSIVE_MOST; k++)
                if (m->piece[k * EL_MASSIVE_FIELDS + EL_MASSIVE_FIELDS - 1] > 0)
                    add_massive(list, m->piece + k * EL_MASSIVE_FIELDS);
        }
        EL_TRY(m->sink->ops->write(m->sink, to, 0, at * sizeof(float), list, sizeof list, err));
    }
    return EL_OK;
}

static enum el_status merge_all(struct merge *m, struct el_err *err)
{
    struct el_meta *const meta = el_meta_new();
    enum el_status status = meta ? describe(m, meta, err) : no_memory(err);
    m->sink->source = m->sources[0];
    if (status == EL_OK)
        status = m->sink->ops->begin(m->sink, meta, m->tensors, m->n, err);
    el_meta_free(meta);
    for (size_t i = 0; i < m->n && status == EL_OK; i++)
        status = strcmp(m->tensors[i].name, EL_STATS_MASSIVE) == 0 ? merge_massive(m, i, err) : merge_tensor(m, i, err);
    return status;
}

enum el_status el_stats_merge(struct el_source *const *sources, size_t n_sources, bool only_importance, struct el_sink *sink,
                              struct el_err *err)
{
    struct merge m = {.sources = sources, .n_sources = n_sources, .sink = sink};
    enum el_status status = EL_OK;
    for (size_t i = 0; i < n_sources; i++) {
        struct el_stats *stats;
        EL_TRY(el_stats_open(sources[i], &stats, err));
        el_stats_close(stats);
    }
    el_strmap_init(&m.by_name);
    m.scale = el_alloc_array(n_sources, sizeof *m.scale);
    m.sums = el_alloc_array(PIECE_ELEMS, sizeof *m.sums);
    m.piece = el_alloc_array(PIECE_ELEMS, sizeof *m.piece);
    if (!m.scale || !m.sums || !m.piece)
        status = no_memory(err);
    if (status == EL_OK)
        status = choose(&m, only_importance, err);
    if (status == EL_OK)
        status = list(&m, err);
    if (status == EL_OK) {
        find_scales(&m);
        status = merge_all(&m, err);
    }
    el_tensors_free(m.tensors, m.n);
    el_strmap_release(&m.by_name);
    el_free(m.scale);
    el_free(m.sums);
    el_free(m.piece);
    return status;
}
