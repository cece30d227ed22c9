/* A single .safetensors file, read and written with its names as they are. The header is checked in safetensors_read.c. */
#include "formats/safetensors.h"

#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"
#include "formats/store.h"

extern const struct el_format el_format_safetensors;

/* ---- reading ---- */

static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    if (is_folder)
        return false;
    const size_t n = strlen(path);
    if (n >= 12 && strcmp(path + n - 12, ".safetensors") == 0)
        return true;
    /* The upper half of the header's length is zero in every legal file. */
    return n_head > 8 && head[8] == '{' && head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] == 0;
}

static enum el_status open_source(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    (void)opts;
    struct el_store *store;
    EL_TRY(el_store_new(s, 1, &store, err));
    struct el_st_header h;
    EL_TRY(el_st_open(s->path, &store->files[0], &h, err));
    const enum el_status status = el_st_add_tensors(s, &h, err);
    el_st_header_release(&h);
    return status;
}

/* ---- writing ---- */

void el_st_begin_header(struct el_buf *json)
{
    el_buf_add_str(json, "{\"__metadata__\":{\"format\":\"pt\"}");
}

uint64_t el_st_header_nbytes(void)
{
    struct el_buf json;
    el_buf_init(&json);
    el_st_begin_header(&json);
    const uint64_t nbytes = 8 + json.nbytes + 1 + 7; /* length, brace, padding */
    el_buf_release(&json);
    return nbytes;
}

void el_st_add_tensor(struct el_buf *json, const char *name, const char *dtype, uint32_t n_dims, const uint64_t *dims,
                      uint64_t begin, uint64_t end)
{
    el_buf_add_byte(json, ',');
    el_buf_add_json_str(json, name, strlen(name));
    el_buf_addf(json, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
    for (uint32_t i = 0; i < n_dims; i++)
        el_buf_addf(json, "%s%llu", i ? "," : "", (unsigned long long)dims[i]);
    el_buf_addf(json, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin, (unsigned long long)end);
}

enum el_status el_st_write_header(struct el_buf *json, struct el_outfile *f, uint64_t *data_offset, struct el_err *err)
{
    el_buf_add_byte(json, '}');
    while (!json->failed && json->nbytes % 8 != 0)
        el_buf_add_byte(json, ' ');
    struct el_buf start;
    el_buf_init(&start);
    el_buf_add_u64(&start, json->nbytes);
    enum el_status status = EL_OK;
    if (json->failed || start.failed)
        status = el_fail(err, EL_E_MEMORY, "out of memory for the safetensors header");
    if (status == EL_OK)
        status = el_outfile_write(f, 0, start.data, start.nbytes, err);
    if (status == EL_OK)
        status = el_outfile_write(f, start.nbytes, json->data, json->nbytes, err);
    *data_offset = start.nbytes + json->nbytes;
    el_buf_release(&start);
    return status;
}

struct writer {
    struct el_outfile *f;
    uint64_t *offsets; /* [n_tensors], of their bytes in the file */
};

/* The sink's own copy of what is declared, with the names as they will be in the file. */
static enum el_status copy_tensors(struct el_sink *s, struct el_tensor *tensors, size_t n, struct el_err *err)
{
    if (n > EL_MAX_SAFETENSORS_TENSORS)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': %zu tensors, a safetensors file has at most %d", s->path, n,
                       (int)EL_MAX_SAFETENSORS_TENSORS);
    s->tensors = el_calloc_array(n, sizeof *s->tensors);
    if (!s->tensors)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu tensors", s->path, n);
    for (size_t i = 0; i < n; i++) {
        if (!el_st_dtype_of_enc(&tensors[i].enc))
            return el_fail_why(err, EL_E_UNSUPPORTED, EL_REASON_NOT_STORED,
                               "'%s': tensor '%s': %s cannot be stored in safetensors, only F32, F16, BF16", s->path,
                               tensors[i].name, tensors[i].enc_name);
        tensors[i].order = (struct el_row_order){EL_ROWS_CANONICAL, 0, 0};
        tensors[i].order_elems = false;
        s->tensors[i] = tensors[i];
        s->tensors[i].name = s->tensors[i].file_name = el_strdup(tensors[i].name);
        if (!s->tensors[i].name)
            return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu tensors", s->path, n);
        s->n_tensors++;
    }
    return EL_OK;
}

static enum el_status begin(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                            struct el_err *err)
{
    (void)meta; /* the format has no place for it */
    struct writer *const w = s->priv;
    struct stat st;
    if (s->source && stat(el_source_path(s->source), &st) == 0) {
        const struct el_file in = {.dev = (uint64_t)st.st_dev, .ino = (uint64_t)st.st_ino};
        if (el_outfile_same_as_file(w->f, &in))
            return el_fail(err, EL_E_USAGE, "'%s': input and output are the same file", s->path);
    }
    struct el_source *source;
    memcpy(&source, &s->source, sizeof source); /* the operation takes a mutable source for its other uses */
    if (source && source->ops->is_file && stat(s->path, &st) == 0 &&
        source->ops->is_file(source, (uint64_t)st.st_dev, (uint64_t)st.st_ino))
        return el_fail(err, EL_E_USAGE, "'%s': output is one of the files of the input '%s'", s->path, el_source_path(source));
    EL_TRY(copy_tensors(s, tensors, n, err));
    w->offsets = el_calloc_array(n, sizeof *w->offsets);
    if (!w->offsets)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu tensors", s->path, n);
    struct el_buf json;
    el_buf_init(&json);
    el_st_begin_header(&json);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct el_tensor *const t = &s->tensors[i];
        const uint64_t end = at + el_tensor_nbytes(t);
        el_st_add_tensor(&json, t->name, el_st_dtype_of_enc(&t->enc), t->n_dims, t->dims, at, end);
        w->offsets[i] = at;
        at = end;
    }
    uint64_t data_offset;
    enum el_status status = el_st_write_header(&json, w->f, &data_offset, err);
    el_buf_release(&json);
    for (size_t i = 0; i < n; i++)
        w->offsets[i] += data_offset;
    return status == EL_OK ? el_outfile_reserve(w->f, data_offset + at, err) : status;
}

static enum el_status write_part(struct el_sink *s, size_t t, uint32_t part, uint64_t offset, const void *data, uint64_t nbytes,
                                 struct el_err *err)
{
    (void)part;
    const struct writer *const w = s->priv;
    return el_outfile_write(w->f, w->offsets[t] + offset, data, nbytes, err);
}

static enum el_status commit(struct el_sink *s, struct el_err *err)
{
    const struct writer *const w = s->priv;
    return el_outfile_commit(w->f, err);
}

static void close_sink(struct el_sink *s)
{
    struct writer *const w = s->priv;
    if (w) {
        el_outfile_close(w->f);
        el_free(w->offsets);
        el_free(w);
    }
    s->priv = NULL;
}

static const struct el_sink_ops sink_ops = {.begin = begin, .write = write_part, .commit = commit, .close = close_sink};

static enum el_status create(struct el_sink *s, struct el_err *err)
{
    if (s->opts.split_max_nbytes || s->opts.split_max_tensors)
        return el_fail(err, EL_E_USAGE, "'%s': format safetensors is one file, only gguf and hf can be split", s->path);
    struct writer *const w = el_calloc_array(1, sizeof *w);
    if (!w)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
    s->priv = w;
    s->ops = &sink_ops;
    return el_outfile_open(s->path, s->opts.overwrite, &w->f, err);
}

/* ---- arrays ---- */

enum el_status el_arrays_write(const char *path, const struct el_array *arrays, size_t n_arrays, bool overwrite,
                               struct el_err *err)
{
    struct el_outfile *f;
    EL_TRY(el_outfile_open(path, overwrite, &f, err));
    struct el_buf json;
    el_buf_init(&json);
    el_buf_add_str(&json, "{\"__metadata__\":{}");
    enum el_status status = EL_OK;
    uint64_t at = 0;
    for (size_t i = 0; i < n_arrays; i++) {
        const struct el_array *const a = &arrays[i];
        struct el_tensor t = {.enc = el_st_enc_of_dtype(a->dtype == 'i' ? "I32" : "F32"), .n_dims = a->n_dims};
        if (a->dtype != 'f' && a->dtype != 'i') {
            status = el_fail(err, EL_E_USAGE, "array '%s': dtype '%c', must be f or i", a->name, a->dtype);
            goto out;
        }
        memcpy(t.dims, a->dims, sizeof t.dims);
        status = el_tensor_complete(&t, err);
        if (status != EL_OK) {
            status = el_fail_prefix(err, status, "array '%s'", a->name);
            goto out;
        }
        const uint64_t end = at + el_tensor_nbytes(&t);
        el_st_add_tensor(&json, a->name, a->dtype == 'i' ? "I32" : "F32", a->n_dims, a->dims, at, end);
        at = end;
    }
    uint64_t offset;
    EL_TRY_OUT(el_st_write_header(&json, f, &offset, err));
    EL_TRY_OUT(el_outfile_reserve(f, offset + at, err));
    for (size_t i = 0; i < n_arrays; i++) {
        uint64_t nbytes = 4;
        for (uint32_t d = 0; d < arrays[i].n_dims; d++)
            nbytes *= arrays[i].dims[d]; /* cannot overflow: el_tensor_complete has multiplied them */
        EL_TRY_OUT(el_outfile_write(f, offset, arrays[i].data, nbytes, err));
        offset += nbytes;
    }
    status = el_outfile_commit(f, err);
out:
    el_buf_release(&json);
    el_outfile_close(f);
    return status;
}

const struct el_format el_format_safetensors = {
    .name = "safetensors",
    .about = "one .safetensors file, names as they are",
    .probe = probe,
    .open = open_source,
    .create = create,
};
