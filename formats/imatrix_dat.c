/*
 * The importance matrix of llama.cpp before it became GGUF ("imatrix.dat"), little-endian:
 *
 *   i32 n_entries
 *   n_entries times: i32 n, name [n bytes], i32 n_calls, i32 n_values, f32 values [n_values]: mean of x^2 times n_calls
 *   and perhaps: i32 n_chunks, i32 n, name of the text [n bytes]
 *
 * Read, an entry NAME is two tensors, NAME.in_sum2 [1, n_values] and NAME.counts [1, 1], as in the GGUF, with n_calls
 * as the count; general.type is "imatrix". Written are such tensors and nothing else.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"
#include "formats/store.h"

extern const struct el_format el_format_imatrix_dat;

static const char sum2[] = ".in_sum2", counts[] = ".counts";

enum { MAX_ENTRIES = 1 << 16, MAX_NAME = 255, MAX_DATASET = 1 << 16 };

/* ---- reading ---- */

static uint32_t get_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_name(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] > '~')
            return false;
    return true;
}

/* There is no magic: small numbers, and the beginning of a name as tensors have them. */
static bool imatrix_probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    (void)path;
    if (is_folder || n_head < 24)
        return false;
    const uint32_t n_entries = get_u32(head), n = get_u32(head + 4);
    const size_t shown = n < n_head - 8 ? n : n_head - 8;
    return n_entries >= 1 && n_entries <= MAX_ENTRIES && n >= 1 && n <= MAX_NAME && is_name(head + 8, shown) &&
           memchr(head + 8, '.', shown);
}

struct reader {
    struct el_source *s;
    const struct el_file *file;
    uint64_t at;
};

static enum el_status read_bytes(struct reader *r, void *out, uint64_t nbytes, const char *what, struct el_err *err)
{
    if (nbytes > r->file->nbytes - r->at)
        return el_fail(err, EL_E_FORMAT, "'%s': ends in %s at byte %llu", r->s->path, what, (unsigned long long)r->at);
    EL_TRY(el_file_read(r->file, r->at, out, nbytes, err));
    r->at += nbytes;
    return EL_OK;
}

static enum el_status read_number(struct reader *r, const char *what, uint32_t min, uint32_t max, uint32_t *out,
                                  struct el_err *err)
{
    uint8_t bytes[4];
    EL_TRY(read_bytes(r, bytes, sizeof bytes, what, err));
    *out = get_u32(bytes);
    if (*out >= min && *out <= max)
        return EL_OK;
    return el_fail(err, EL_E_FORMAT, "'%s': %s is %d, allowed are %u to %u", r->s->path, what, (int32_t)*out, min, max);
}

/* A tensor NAME.suffix [1, n]. The name is made anew. */
static enum el_status add(struct el_source *s, const char *name, const char *suffix, uint64_t n, struct el_err *err)
{
    const size_t n_name = strlen(name), n_suffix = strlen(suffix);
    char *const full = el_alloc(n_name + n_suffix + 1);
    if (!full)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
    memcpy(full, name, n_name);
    memcpy(full + n_name, suffix, n_suffix + 1);
    struct el_tensor t = {.name = full, .file_name = full, .enc = el_enc_f32(), .n_dims = 2, .dims = {1, n}};
    return el_store_add(s, &t, err);
}

static enum el_status read_entry(struct reader *r, float *count, uint64_t count_at, struct el_err *err)
{
    char name[MAX_NAME + 1] = "";
    uint32_t n = 0, n_calls = 0, n_values = 0;
    EL_TRY(read_number(r, "the length of a name", 1, MAX_NAME, &n, err));
    EL_TRY(read_bytes(r, name, n, "a name", err));
    if (!is_name((const uint8_t *)name, n))
        return el_fail(err, EL_E_FORMAT, "'%s': a name has bytes that are no name's", r->s->path);
    EL_TRY(read_number(r, "the number of calls", 0, INT_MAX, &n_calls, err));
    EL_TRY(read_number(r, "the number of values", 1, INT_MAX, &n_values, err));
    const uint64_t nbytes = (uint64_t)n_values * sizeof(float);
    if (nbytes > r->file->nbytes - r->at)
        return el_fail(err, EL_E_FORMAT, "'%s': '%s' has %u values, the file ends before", r->s->path, name, n_values);
    /* What has no calls has its values as they are. */
    *count = n_calls ? (float)n_calls : 1.0f;
    EL_TRY(add(r->s, name, sum2, n_values, err));
    EL_TRY(el_store_add_piece(r->s, 0, r->at, nbytes, err));
    r->at += nbytes;
    EL_TRY(add(r->s, name, counts, 1, err));
    return el_store_add_piece(r->s, EL_STORE_MEMORY, count_at, sizeof(float), err);
}

/* What stands behind the entries, if anything. */
static enum el_status read_tail(struct reader *r, struct el_err *err)
{
    static const char *const none[] = {""};
    uint32_t n_chunks = 0, n = 0;
    EL_TRY(el_meta_set_str(r->s->meta, "general.type", "imatrix", 7, err));
    if (r->at == r->file->nbytes)
        return el_meta_set_str_array(r->s->meta, "imatrix.datasets", none, NULL, 0, err);
    EL_TRY(read_number(r, "the number of chunks", 0, INT_MAX, &n_chunks, err));
    EL_TRY(el_meta_set_u32(r->s->meta, "imatrix.chunk_count", n_chunks, err));
    if (r->at == r->file->nbytes)
        return el_meta_set_str_array(r->s->meta, "imatrix.datasets", none, NULL, 0, err);
    EL_TRY(read_number(r, "the length of the text's name", 0, MAX_DATASET, &n, err));
    char *const name = el_alloc(n + 1u);
    if (!name)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", r->s->path);
    enum el_status status = read_bytes(r, name, n, "the name of the text", err);
    const char *const one[] = {name};
    const size_t length = n;
    if (status == EL_OK)
        status = el_meta_set_str_array(r->s->meta, "imatrix.datasets", one, &length, n > 0, err);
    el_free(name);
    return status;
}

static enum el_status imatrix_open(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    struct el_store *st;
    uint32_t n_entries = 0;
    EL_TRY(el_store_new(s, 1, &st, err));
    EL_TRY(el_file_open(&st->files[0], s->path, err));
    struct reader r = {s, &st->files[0], 0};
    EL_TRY(read_number(&r, "the number of entries", 1, MAX_ENTRIES, &n_entries, err));
    float *const count = el_alloc_array(n_entries, sizeof *count);
    if (!count)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %u entries", s->path, n_entries);
    st->memory = (uint8_t *)count;
    st->memory_name = "(counts)";
    for (uint32_t i = 0; i < n_entries; i++)
        EL_TRY(read_entry(&r, &count[i], i * sizeof *count, err));
    EL_TRY(read_tail(&r, err));
    if (opts->strict && r.at != r.file->nbytes)
        return el_fail(err, EL_E_FORMAT, "'%s': %llu bytes behind the end", s->path, (unsigned long long)(r.file->nbytes - r.at));
    return EL_OK;
}

/* ---- writing ---- */

/* All values are held until commit: they are few. */
struct imatrix_sink {
    struct el_outfile *out;
    float **values; /* [n_tensors] */
    char *dataset;
    uint32_t n_chunks, chunk_size;
};

static enum el_status no_memory(const struct el_sink *s, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
}

/* Length of the name before the suffix; 0: it has another. */
static size_t stem(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0 ? n - m : 0;
}

static enum el_status take_meta(struct imatrix_sink *k, const struct el_sink *s, const struct el_meta *meta, struct el_err *err)
{
    const size_t names = el_meta_find(meta, "imatrix.datasets");
    const bool strings = names != SIZE_MAX && el_meta_elem_type(meta, names) == EL_META_STR && el_meta_n_elems(meta, names) > 0;
    /* The last one: the format has room for one. */
    k->dataset = el_strdup(strings ? el_meta_str(meta, names, el_meta_n_elems(meta, names) - 1, NULL) : "");
    EL_TRY(el_meta_get_u32_or(meta, "imatrix.chunk_count", 0, INT_MAX, 0, &k->n_chunks, err));
    EL_TRY(el_meta_get_u32_or(meta, "imatrix.chunk_size", 0, INT_MAX, 0, &k->chunk_size, err));
    if (k->chunk_size == 0)
        k->chunk_size = 1; /* counts are of chunks already */
    return k->dataset ? EL_OK : no_memory(s, err);
}

static enum el_status imatrix_begin(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                                    struct el_err *err)
{
    struct imatrix_sink *const k = s->priv;
    s->tensors = el_calloc_array(n, sizeof *s->tensors);
    k->values = el_calloc_array(n, sizeof *k->values);
    if (!s->tensors || !k->values)
        return no_memory(s, err);
    for (size_t i = 0; i < n; i++) {
        if (!stem(tensors[i].name, sum2) && !stem(tensors[i].name, counts))
            return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s' has no place in an imatrix.dat", s->path, tensors[i].name);
        s->tensors[i] = tensors[i];
        s->tensors[i].name = s->tensors[i].file_name = el_strdup(tensors[i].name);
        s->n_tensors++;
        if (!s->tensors[i].name)
            return no_memory(s, err);
        EL_TRY(el_tensor_complete(&s->tensors[i], err));
        k->values[i] = el_calloc_array(el_tensor_nbytes(&s->tensors[i]) / sizeof(float), sizeof(float));
        if (!k->values[i])
            return no_memory(s, err);
    }
    EL_TRY(take_meta(k, s, meta, err));
    return el_outfile_open(s->path, s->opts.overwrite, &k->out, err);
}

static enum el_status imatrix_write(struct el_sink *s, size_t t, uint32_t part, uint64_t offset, const void *data,
                                    uint64_t nbytes, struct el_err *err)
{
    struct imatrix_sink *const k = s->priv;
    (void)part;
    (void)err;
    memcpy((uint8_t *)k->values[t] + offset, data, nbytes);
    return EL_OK;
}

static size_t find_counts(const struct el_sink *s, const char *name, size_t n_name)
{
    for (size_t i = 0; i < s->n_tensors; i++)
        if (stem(s->tensors[i].name, counts) == n_name && memcmp(s->tensors[i].name, name, n_name) == 0)
            return i;
    return SIZE_MAX;
}

static void add_name(struct el_buf *b, const char *s, size_t n)
{
    el_buf_add_u32(b, (uint32_t)n);
    el_buf_add(b, s, n);
}

/* An expert that saw nothing has the importance 1 everywhere, as llama.cpp writes it. */
static void add_entry(const struct el_sink *s, struct el_buf *b, size_t t, size_t c)
{
    const struct imatrix_sink *const k = s->priv;
    const size_t n_name = stem(s->tensors[t].name, sum2);
    const uint64_t n = s->tensors[t].n_rows * s->tensors[t].n_in, n_experts = s->tensors[c].n_rows * s->tensors[c].n_in;
    float most = 0;
    for (uint64_t e = 0; e < n_experts; e++)
        most = fmaxf(most, k->values[c][e]);
    const double n_calls = ceil((double)most / k->chunk_size);
    add_name(b, s->tensors[t].name, n_name);
    el_buf_add_u32(b, (uint32_t)n_calls);
    el_buf_add_u32(b, (uint32_t)n);
    for (uint64_t i = 0; i < n; i++) {
        const double count = (double)k->values[c][n_experts ? i / (n / n_experts) : 0];
        const float v = (float)(count > 0 ? (double)k->values[t][i] / count * n_calls : n_calls);
        el_buf_add(b, &v, sizeof v);
    }
}

static enum el_status imatrix_commit(struct el_sink *s, struct el_err *err)
{
    struct imatrix_sink *const k = s->priv;
    struct el_buf b;
    uint32_t n = 0;
    el_buf_init(&b);
    el_buf_add_u32(&b, 0);
    for (size_t t = 0; t < s->n_tensors; t++) {
        const size_t n_name = stem(s->tensors[t].name, sum2), c = n_name ? find_counts(s, s->tensors[t].name, n_name) : SIZE_MAX;
        if (c == SIZE_MAX || s->tensors[c].n_rows * s->tensors[c].n_in == 0)
            continue;
        add_entry(s, &b, t, c);
        n++;
    }
    el_buf_add_u32(&b, k->n_chunks);
    add_name(&b, k->dataset, strlen(k->dataset));
    for (size_t i = 0; i < 4 && !b.failed; i++)
        b.data[i] = (char)(uint8_t)(n >> (8 * i));
    enum el_status status = b.failed ? no_memory(s, err) : el_outfile_write(k->out, 0, b.data, b.nbytes, err);
    el_buf_release(&b);
    return status == EL_OK ? el_outfile_commit(k->out, err) : status;
}

static void imatrix_close(struct el_sink *s)
{
    struct imatrix_sink *const k = s->priv;
    for (size_t i = 0; k->values && i < s->n_tensors; i++)
        el_free(k->values[i]);
    el_free(k->values);
    el_free(k->dataset);
    el_outfile_close(k->out);
    el_free(k);
}

static const struct el_sink_ops sink_ops = {
    .begin = imatrix_begin, .write = imatrix_write, .commit = imatrix_commit, .close = imatrix_close};

static enum el_status imatrix_create(struct el_sink *s, struct el_err *err)
{
    s->priv = el_calloc_array(1, sizeof(struct imatrix_sink));
    if (!s->priv)
        return no_memory(s, err);
    s->ops = &sink_ops;
    return EL_OK;
}

const struct el_format el_format_imatrix_dat = {
    .name = "imatrix",
    .about = "importance matrix of llama.cpp as it was before GGUF (.dat)",
    .probe = imatrix_probe,
    .open = imatrix_open,
    .create = imatrix_create,
};
