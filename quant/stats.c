/* Reading statistics; see stats.h. */
#include "quant/stats.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "quant/stats_file.h"

enum { TILE = EL_STATS_TILE, TILE_ELEMS = TILE * TILE };

/* Where an input's tensors are; SIZE_MAX: there is none. */
struct places {
    size_t sum2, counts, sumabs, maxabs, hessian, cross;
};

struct el_stats {
    struct el_source *source;
    struct el_stats_matrix *m; /* [n] */
    struct places *places;     /* [n] */
    size_t n;
    struct el_strmap tensors, by_name; /* names of tensors; of matrices (owned by `names`) */
    char **names;
};

static enum el_status no_memory(const struct el_source *s, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
}

/* ---- the directory ---- */

/* Length of the name before the suffix; 0: it has another. */
static size_t stem(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0 ? n - m : 0;
}

static size_t find(const struct el_stats *s, const char *name, const char *suffix)
{
    char full[2 * EL_MAX_TENSOR_NAME];
    const size_t n = strlen(name), m = strlen(suffix);
    if (n + m >= sizeof full)
        return SIZE_MAX;
    memcpy(full, name, n);
    memcpy(full + n, suffix, m);
    const int64_t at = el_strmap_get(&s->tensors, full, n + m, -1);
    return at < 0 ? SIZE_MAX : (size_t)at;
}

static enum el_status misshapen(const struct el_stats *s, size_t tensor, const char *wanted, struct el_err *err)
{
    const struct el_tensor *const t = &s->source->tensors[tensor];
    return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': %llu rows of %llu %s, must be %s", s->source->path, t->name,
                   (unsigned long long)t->n_rows, (unsigned long long)t->n_in, t->enc_name, wanted);
}

/* F32 and n elements, whatever the dimensions? GGUF drops leading ones. */
static bool has_elems(const struct el_stats *s, size_t tensor, uint64_t n)
{
    const struct el_tensor *const t = &s->source->tensors[tensor];
    const struct el_enc f32 = el_enc_f32();
    return el_enc_equal(&t->enc, &f32) && t->n_rows * t->n_in == n && t->n_rows <= UINT32_MAX && t->n_in <= UINT32_MAX;
}

static enum el_status check_optional(struct el_stats *s, size_t tensor, uint64_t n, struct el_stats_matrix *m, unsigned what,
                                     struct el_err *err)
{
    if (tensor == SIZE_MAX)
        return EL_OK;
    if (!has_elems(s, tensor, n))
        return misshapen(s, tensor, "F32 and fit 'in_sum2' and 'counts'", err);
    m->has |= what;
    return EL_OK;
}

static enum el_status add_matrix(struct el_stats *s, size_t sum2, const char *name, const char *lead, struct el_err *err)
{
    struct el_stats_matrix *const m = &s->m[s->n];
    struct places *const p = &s->places[s->n];
    const size_t counts = find(s, name, EL_SUFFIX_COUNTS);
    if (counts == SIZE_MAX)
        return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s" EL_SUFFIX_SUM2 "' has no '%s" EL_SUFFIX_COUNTS "' beside it",
                       s->source->path, name, name);
    const struct el_tensor *const t = &s->source->tensors[sum2], *const c = &s->source->tensors[counts];
    const uint64_t n_experts = c->n_rows * c->n_in;
    if (n_experts < 1 || n_experts > EL_MAX_EXPERTS || !has_elems(s, counts, n_experts))
        return misshapen(s, counts, "1 to 4096 F32", err);
    if (t->n_rows > UINT32_MAX || t->n_in > UINT32_MAX || t->n_rows * t->n_in == 0 || t->n_rows * t->n_in % n_experts != 0 ||
        !has_elems(s, sum2, t->n_rows * t->n_in))
        return misshapen(s, sum2, "F32, as many rows as 'counts' has", err);
    const uint64_t n_in = t->n_rows * t->n_in / n_experts, blocks = (n_in + TILE - 1) / TILE;
    *m = (struct el_stats_matrix){.name = name, .n_experts = (uint32_t)n_experts, .n_in = n_in, .has = EL_STATS_SUM2};
    *p = (struct places){sum2,
                         counts,
                         find(s, lead, EL_SUFFIX_SUMABS),
                         find(s, lead, EL_SUFFIX_MAXABS),
                         find(s, lead, EL_SUFFIX_HESSIAN),
                         find(s, lead, EL_SUFFIX_CROSS)};
    if ((p->sumabs == SIZE_MAX) != (p->maxabs == SIZE_MAX))
        return el_fail(err, EL_E_FORMAT, "'%s': of '%s" EL_SUFFIX_SUMABS "' and '%s" EL_SUFFIX_MAXABS "' only one is there",
                       s->source->path, lead, lead);
    EL_TRY(check_optional(s, p->sumabs, n_in * n_experts, m, EL_STATS_ABS, err));
    EL_TRY(check_optional(s, p->maxabs, n_in * n_experts, m, EL_STATS_ABS, err));
    EL_TRY(check_optional(s, p->hessian, n_experts * (blocks * (blocks + 1) / 2) * TILE_ELEMS, m, EL_STATS_HESSIAN, err));
    EL_TRY(check_optional(s, p->cross, n_in * n_in, m, EL_STATS_CROSS, err));
    s->n++;
    return EL_OK;
}

/* The name that a matrix' input goes by: its own, where the file does not say. */
static enum el_status lead_of(const struct el_stats *s, const struct el_strmap *listed, const char *name, const char **lead,
                              struct el_err *err)
{
    const size_t inputs = el_meta_find(s->source->meta, EL_STATS_KEY_INPUTS);
    const int64_t at = el_strmap_get(listed, name, strlen(name), -1);
    *lead = at < 0 ? name : el_meta_str(s->source->meta, inputs, (size_t)at, NULL);
    if (find(s, *lead, EL_SUFFIX_SUM2) != SIZE_MAX)
        return EL_OK;
    return el_fail(err, EL_E_FORMAT, "'%s': metadata '%s': '%s' is said to read the input of '%.64s', which is not there",
                   s->source->path, EL_STATS_KEY_INPUTS, name, *lead);
}

/* Matrices and their leads, where the file lists them: both lists are strings and of one length. */
static enum el_status read_lists(const struct el_stats *s, struct el_strmap *listed, struct el_err *err)
{
    const struct el_meta *const meta = s->source->meta;
    const size_t names = el_meta_find(meta, EL_STATS_KEY_MATRICES), inputs = el_meta_find(meta, EL_STATS_KEY_INPUTS);
    uint32_t version = 0;
    EL_TRY(el_meta_get_u32_or(meta, EL_STATS_KEY_VERSION, 1, UINT32_MAX, 0, &version, err));
    if (version == 0)
        return EL_OK;
    if (version > EL_STATS_VERSION)
        return el_fail(err, EL_E_UNSUPPORTED, "version %u of statistics, known is %d", version, EL_STATS_VERSION);
    if (names == SIZE_MAX || inputs == SIZE_MAX || el_meta_type(meta, names) != EL_META_ARR ||
        el_meta_type(meta, inputs) != EL_META_ARR || el_meta_elem_type(meta, names) != EL_META_STR ||
        el_meta_elem_type(meta, inputs) != EL_META_STR || el_meta_n_elems(meta, names) != el_meta_n_elems(meta, inputs))
        return el_fail(err, EL_E_FORMAT, "metadata '%s' and '%s' must be lists of strings of one length", EL_STATS_KEY_MATRICES,
                       EL_STATS_KEY_INPUTS);
    for (size_t i = 0; i < el_meta_n_elems(meta, names); i++) {
        const char *const name = el_meta_str(meta, names, i, NULL);
        if (!el_strmap_add(listed, name, strlen(name), (int64_t)i, NULL))
            return no_memory(s->source, err);
    }
    return EL_OK;
}

/* Matrices of one lead have one number: that of the first of them. */
static enum el_status number_inputs(struct el_stats *s, const char *const *leads, struct el_err *err)
{
    struct el_strmap numbers;
    enum el_status status = EL_OK;
    size_t n = 0;
    el_strmap_init(&numbers);
    for (size_t i = 0; i < s->n && status == EL_OK; i++) {
        struct el_stats_matrix *const m = &s->m[i];
        const int64_t first = el_strmap_get(&numbers, leads[i], strlen(leads[i]), -1);
        m->input = first < 0 ? n++ : s->m[first].input;
        if (first < 0 && !el_strmap_add(&numbers, leads[i], strlen(leads[i]), (int64_t)i, NULL))
            status = no_memory(s->source, err);
        if (first >= 0 && (m->n_in != s->m[first].n_in || m->n_experts != s->m[first].n_experts))
            status = el_fail(err, EL_E_FORMAT, "'%s': '%s' and '%s' are said to read one input, but differ in shape",
                             s->source->path, m->name, s->m[first].name);
    }
    el_strmap_release(&numbers);
    return status;
}

static enum el_status read_directory(struct el_stats *s, const char **leads, struct el_err *err)
{
    struct el_strmap listed;
    enum el_status status = EL_OK;
    el_strmap_init(&listed);
    for (size_t i = 0; i < s->source->n_tensors && status == EL_OK; i++) {
        const char *const name = s->source->tensors[i].name;
        if (!el_strmap_add(&s->tensors, name, strlen(name), (int64_t)i, NULL))
            status = no_memory(s->source, err);
    }
    if (status == EL_OK) {
        status = read_lists(s, &listed, err);
        if (status != EL_OK && status != EL_E_MEMORY)
            (void)el_fail_prefix(err, status, "'%s'", s->source->path);
    }
    for (size_t i = 0; i < s->source->n_tensors && status == EL_OK; i++) {
        const size_t n = stem(s->source->tensors[i].name, EL_SUFFIX_SUM2);
        if (n == 0)
            continue;
        char *const name = s->names[s->n] = el_strndup(s->source->tensors[i].name, n);
        status = name ? lead_of(s, &listed, name, &leads[s->n], err) : no_memory(s->source, err);
        if (status == EL_OK && !el_strmap_add(&s->by_name, name, n, (int64_t)s->n, NULL))
            status = no_memory(s->source, err);
        if (status == EL_OK)
            status = add_matrix(s, i, name, leads[s->n], err);
    }
    el_strmap_release(&listed);
    if (status == EL_OK && s->n == 0)
        status = el_fail(err, EL_E_FORMAT, "'%s': holds no statistics: no tensor is named ..." EL_SUFFIX_SUM2, s->source->path);
    return status == EL_OK ? number_inputs(s, leads, err) : status;
}

enum el_status el_stats_open(struct el_source *source, struct el_stats **stats, struct el_err *err)
{
    *stats = NULL;
    struct el_stats *const s = el_calloc_array(1, sizeof *s);
    const char **const leads = el_calloc_array(source->n_tensors, sizeof *leads);
    enum el_status status = EL_OK;
    if (!s || !leads) {
        el_free(s);
        el_free(leads);
        return no_memory(source, err);
    }
    s->source = source;
    el_strmap_init(&s->tensors);
    el_strmap_init(&s->by_name);
    s->m = el_calloc_array(source->n_tensors, sizeof *s->m);
    s->places = el_calloc_array(source->n_tensors, sizeof *s->places);
    s->names = el_calloc_array(source->n_tensors, sizeof *s->names);
    status = s->m && s->places && s->names ? read_directory(s, leads, err) : no_memory(source, err);
    el_free(leads);
    if (status != EL_OK) {
        el_stats_close(s);
        return status;
    }
    *stats = s;
    return EL_OK;
}

void el_stats_close(struct el_stats *stats)
{
    if (!stats)
        return;
    for (size_t i = 0; stats->names && i < stats->source->n_tensors; i++)
        el_free(stats->names[i]);
    el_free(stats->names);
    el_free(stats->m);
    el_free(stats->places);
    el_strmap_release(&stats->tensors);
    el_strmap_release(&stats->by_name);
    el_free(stats);
}

const struct el_stats_matrix *el_stats_at(const struct el_stats *stats, size_t i)
{
    return i < stats->n ? &stats->m[i] : NULL;
}

const struct el_stats_matrix *el_stats_find(const struct el_stats *stats, const char *name)
{
    const int64_t at = el_strmap_get(&stats->by_name, name, strlen(name), -1);
    return at < 0 ? NULL : &stats->m[at];
}

enum el_status el_stats_store_origin(const struct el_stats *stats, const char *name, struct el_meta *meta, struct el_err *err)
{
    const struct el_meta *const from = stats->source->meta;
    const size_t sha256 = el_meta_find(from, EL_STATS_KEY_SHA256), datasets = el_meta_find(from, EL_STATS_KEY_DATASETS);
    const bool strings = datasets != SIZE_MAX && el_meta_elem_type(from, datasets) == EL_META_STR;
    uint32_t n_chunks = 0;
    EL_TRY(el_meta_set_str(meta, "quantize.imatrix.file", name, strlen(name), err));
    if (strings && el_meta_n_elems(from, datasets) > 0) {
        size_t n;
        const char *const first = el_meta_str(from, datasets, 0, &n);
        EL_TRY(el_meta_set_str(meta, "quantize.imatrix.dataset", first, n, err));
    }
    EL_TRY(el_meta_set_u32(meta, "quantize.imatrix.entries_count", (uint32_t)stats->n, err));
    EL_TRY(el_meta_get_u32_or(from, EL_STATS_KEY_CHUNKS, 0, UINT32_MAX, 0, &n_chunks, err));
    EL_TRY(el_meta_set_u32(meta, "quantize.imatrix.chunks_count", n_chunks, err));
    if (sha256 == SIZE_MAX || el_meta_elem_type(from, sha256) != EL_META_STR)
        return EL_OK;
    return el_meta_set_from(meta, "edgellm.calibration.sha256", from, sha256, err);
}

/* ---- values ---- */

static enum el_status read_f32(const struct el_stats *s, size_t tensor, uint64_t elem, uint64_t n, float *out, struct el_err *err)
{
    const struct el_tensor *const t = &s->source->tensors[tensor];
    return s->source->ops->read(s->source, t, 0, elem * sizeof *out, out, n * sizeof *out, err);
}

/* The same, of values that are finite and (but for products) not negative. */
static enum el_status read_checked(const struct el_stats *s, size_t tensor, uint64_t elem, uint64_t n, bool products, float *out,
                                   struct el_err *err)
{
    EL_TRY(read_f32(s, tensor, elem, n, out, err));
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(out[i]) || (!products && out[i] < 0))
            return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': element %llu is %g, allowed are %s", s->source->path,
                           s->source->tensors[tensor].name, (unsigned long long)(elem + i), (double)out[i],
                           products ? "finite numbers" : "finite numbers from 0 up");
    return EL_OK;
}

static const struct places *places_of(const struct el_stats *s, const struct el_stats_matrix *m)
{
    return &s->places[m - s->m];
}

static enum el_status check_wanted(const struct el_stats *s, const struct el_stats_matrix *m, uint32_t expert, unsigned what,
                                   const char *name, struct el_err *err)
{
    if (!(m->has & what))
        return el_fail(err, EL_E_USAGE, "'%s' has no %s of '%s'", s->source->path, name, m->name);
    if (expert >= m->n_experts)
        return el_fail(err, EL_E_USAGE, "'%s': expert %u of '%s', which has %u", s->source->path, expert, m->name, m->n_experts);
    return EL_OK;
}

enum el_status el_stats_count(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, double *n,
                              struct el_err *err)
{
    float count = 0;
    *n = 0;
    EL_TRY(check_wanted(stats, m, expert, EL_STATS_SUM2, "counts", err));
    EL_TRY(read_checked(stats, places_of(stats, m)->counts, expert, 1, false, &count, err));
    *n = (double)count;
    return EL_OK;
}

enum el_status el_stats_importance(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, float *out,
                                   struct el_err *err)
{
    double n;
    EL_TRY(el_stats_count(stats, m, expert, &n, err));
    EL_TRY(read_checked(stats, places_of(stats, m)->sum2, expert * m->n_in, m->n_in, false, out, err));
    for (uint64_t j = 0; j < m->n_in; j++)
        out[j] = n > 0 ? (float)((double)out[j] / n) : 1.0f;
    return EL_OK;
}

enum el_status el_stats_abs(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, float *mean,
                            float *max, struct el_err *err)
{
    const struct places *const p = places_of(stats, m);
    double n;
    EL_TRY(check_wanted(stats, m, expert, EL_STATS_ABS, "absolute values", err));
    EL_TRY(el_stats_count(stats, m, expert, &n, err));
    if (mean)
        EL_TRY(read_checked(stats, p->sumabs, expert * m->n_in, m->n_in, false, mean, err));
    for (uint64_t j = 0; mean && j < m->n_in; j++)
        mean[j] = n > 0 ? (float)((double)mean[j] / n) : 0.0f;
    return max ? read_checked(stats, p->maxabs, expert * m->n_in, m->n_in, false, max, err) : EL_OK;
}

static enum el_status check_rows(const struct el_stats *s, const struct el_stats_matrix *m, uint64_t row0, uint64_t n_rows,
                                 struct el_err *err)
{
    if (row0 <= m->n_in && n_rows <= m->n_in - row0)
        return EL_OK;
    return el_fail(err, EL_E_USAGE, "'%s': rows %llu to %llu of '%s', whose input has %llu columns", s->source->path,
                   (unsigned long long)row0, (unsigned long long)(row0 + n_rows), m->name, (unsigned long long)m->n_in);
}

enum el_status el_stats_hessian(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, uint64_t row0,
                                uint64_t n_rows, double *out, struct el_err *err)
{
    float tile[TILE_ELEMS];
    EL_TRY(check_wanted(stats, m, expert, EL_STATS_HESSIAN, "Hessian", err));
    EL_TRY(check_rows(stats, m, row0, n_rows, err));
    const uint64_t blocks = (m->n_in + TILE - 1) / TILE, first = expert * (blocks * (blocks + 1) / 2);
    for (uint64_t a = row0 / TILE; a * TILE < row0 + n_rows; a++)
        for (uint64_t b = 0; b < blocks; b++) {
            /* Above the diagonal a tile is the other one transposed. */
            const bool flip = b > a;
            const uint64_t at = flip ? b * (b + 1) / 2 + a : a * (a + 1) / 2 + b;
            EL_TRY(read_checked(stats, places_of(stats, m)->hessian, (first + at) * TILE_ELEMS, TILE_ELEMS, true, tile, err));
            for (uint64_t i = 0; i < TILE; i++) {
                const uint64_t r = a * TILE + i;
                for (uint64_t j = 0; r >= row0 && r < row0 + n_rows && j < TILE && b * TILE + j < m->n_in; j++)
                    out[(r - row0) * m->n_in + b * TILE + j] = (double)tile[flip ? j * TILE + i : i * TILE + j];
            }
        }
    return EL_OK;
}

enum el_status el_stats_cross(const struct el_stats *stats, const struct el_stats_matrix *m, uint64_t row0, uint64_t n_rows,
                              double *out, struct el_err *err)
{
    EL_TRY(check_wanted(stats, m, 0, EL_STATS_CROSS, "cross product", err));
    EL_TRY(check_rows(stats, m, row0, n_rows, err));
    float *const row = el_alloc_array(m->n_in, sizeof *row);
    enum el_status status = row ? EL_OK : no_memory(stats->source, err);
    for (uint64_t r = 0; r < n_rows && status == EL_OK; r++) {
        status = read_checked(stats, places_of(stats, m)->cross, (row0 + r) * m->n_in, m->n_in, true, row, err);
        for (uint64_t j = 0; j < m->n_in && status == EL_OK; j++)
            out[r * m->n_in + j] = (double)row[j];
    }
    el_free(row);
    return status;
}
