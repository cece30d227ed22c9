/*
 * The header of a safetensors file, and nothing that it says is believed before it is checked. It is read entry by entry: a tree
 * of all of it would take ten times its bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/safetensors.h"

void el_st_header_release(struct el_st_header *h)
{
    for (size_t i = 0; i < h->n_tensors; i++)
        el_free(h->tensors[i].name);
    el_free(h->tensors);
    memset(h, 0, sizeof *h);
}

static enum el_status check_metadata_value(void *user, const struct el_json_member *m, struct el_err *err)
{
    (void)user;
    if (m->text[0] != '"')
        return el_fail(err, EL_E_FORMAT, "header: __metadata__: value of '%s' is not a string", m->key);
    return EL_OK;
}

static enum el_status check_metadata(const struct el_json_member *m, struct el_err *err)
{
    if (m->text[0] != '{')
        return el_fail(err, EL_E_FORMAT, "header: __metadata__ is not an object");
    return el_json_each(m->text, m->nbytes, "header: __metadata__", check_metadata_value, NULL, err);
}

static enum el_status read_dtype(const struct el_json *v, struct el_st_tensor *t, struct el_err *err)
{
    const char *const dtype = el_json_str(v);
    if (!dtype)
        return el_fail(err, EL_E_FORMAT, "no dtype, or it is not a string");
    static const char *const known[] = {"F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "C64"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(dtype, known[i]) == 0)
            return el_fail(err, EL_E_UNSUPPORTED, "dtype %s is not supported, only %s", dtype, el_st_dtype_list());
    }
    t->enc = el_st_enc_of_dtype(dtype);
    if (!t->enc.e)
        return el_fail(err, EL_E_FORMAT, "unknown dtype '%s', known are %s", dtype, el_st_dtype_list());
    return EL_OK;
}

static enum el_status read_shape(const struct el_json *v, struct el_st_tensor *t, uint64_t *nbytes, struct el_err *err)
{
    if (!el_json_is(v, EL_JSON_ARRAY))
        return el_fail(err, EL_E_FORMAT, "no shape, or it is not an array");
    const size_t n_dims = el_json_count(v);
    if (n_dims > EL_MAX_DIMS)
        return el_fail(err, EL_E_UNSUPPORTED, "%zu dimensions, at most %d", n_dims, EL_MAX_DIMS);
    uint64_t all = t->enc.e->block_nbytes, around_zeros = all;
    for (const struct el_json *d = el_json_first(v); d; d = el_json_next(d)) {
        int64_t n;
        if (!el_json_int(d, &n) || n < 0)
            return el_fail(err, EL_E_FORMAT, "dimension %u is not an integer from 0 to 2^53", t->n_dims);
        /* Dimensions around a zero must fit too: a product that is 0 hides nothing. */
        if (!el_mul_u64(around_zeros, n ? (uint64_t)n : 1, &around_zeros))
            return el_fail(err, EL_E_FORMAT, "the number of bytes of the shape overflows 64 bits");
        all *= (uint64_t)n;
        t->dims[t->n_dims++] = (uint64_t)n;
    }
    if (n_dims == 0)
        t->dims[t->n_dims++] = 1;
    *nbytes = all;
    return EL_OK;
}

static enum el_status read_place(const struct el_json *v, uint64_t data_nbytes, struct el_st_tensor *t, struct el_err *err)
{
    int64_t begin, end;
    const struct el_json *const first = el_json_is(v, EL_JSON_ARRAY) ? el_json_first(v) : NULL;
    if (!first || el_json_count(v) != 2)
        return el_fail(err, EL_E_FORMAT, "no data_offsets, or they are not an array of two");
    if (!el_json_int(first, &begin) || !el_json_int(el_json_next(first), &end) || begin < 0 || end < 0)
        return el_fail(err, EL_E_FORMAT, "data_offsets are not integers from 0 to 2^53");
    if (begin > end)
        return el_fail(err, EL_E_FORMAT, "data_offsets [%lld, %lld] end before they begin", (long long)begin, (long long)end);
    if ((uint64_t)end > data_nbytes)
        return el_fail(err, EL_E_FORMAT, "truncated: data_offsets [%lld, %lld], the file has %llu bytes of data",
                       (long long)begin, (long long)end, (unsigned long long)data_nbytes);
    t->offset = (uint64_t)begin;
    t->nbytes = (uint64_t)(end - begin);
    return EL_OK;
}

static enum el_status read_fields(const struct el_json *object, uint64_t data_nbytes, struct el_st_tensor *t, struct el_err *err)
{
    const struct el_json *dtype = NULL, *shape = NULL, *place = NULL;
    for (const struct el_json *m = el_json_first(object); m; m = el_json_next(m)) {
        const char *const key = el_json_key(m);
        if (strcmp(key, "dtype") == 0)
            dtype = m;
        else if (strcmp(key, "shape") == 0)
            shape = m;
        else if (strcmp(key, "data_offsets") == 0)
            place = m;
        else
            return el_fail(err, EL_E_FORMAT, "unknown field '%s', known are dtype, shape, data_offsets", key);
    }
    uint64_t nbytes = 0;
    EL_TRY(read_dtype(dtype, t, err));
    EL_TRY(read_shape(shape, t, &nbytes, err));
    EL_TRY(read_place(place, data_nbytes, t, err));
    if (t->nbytes != nbytes)
        return el_fail(err, EL_E_FORMAT, "data_offsets hold %llu bytes, dtype and shape need %llu", (unsigned long long)t->nbytes,
                       (unsigned long long)nbytes);
    return EL_OK;
}

static enum el_status read_tensor(const struct el_json_member *m, uint64_t data_nbytes, struct el_st_tensor *t,
                                  struct el_err *err)
{
    const size_t n_name = strlen(m->key);
    if (n_name == 0)
        return el_fail(err, EL_E_FORMAT, "empty name");
    if (n_name > EL_MAX_TENSOR_NAME)
        return el_fail(err, EL_E_FORMAT, "name of %zu bytes, at most %d", n_name, EL_MAX_TENSOR_NAME);
    if (m->text[0] != '{')
        return el_fail(err, EL_E_FORMAT, "its value is not an object");
    if (m->nbytes > EL_MAX_SAFETENSORS_ENTRY)
        return el_fail(err, EL_E_FORMAT, "described by %zu bytes of JSON, at most %d", m->nbytes, (int)EL_MAX_SAFETENSORS_ENTRY);
    struct el_json_doc *doc;
    EL_TRY(el_json_parse(m->text, m->nbytes, "header", &doc, err));
    const enum el_status status = read_fields(el_json_root(doc), data_nbytes, t, err);
    el_json_free(doc);
    EL_TRY(status);
    t->name = el_strdup(m->key);
    return t->name ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory");
}

static int by_place(const void *a, const void *b)
{
    const struct el_st_tensor *const x = a, *const y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->nbytes != y->nbytes) /* empty tensors before the one that starts at the same byte */
        return x->nbytes < y->nbytes ? -1 : 1;
    return strcmp(x->name, y->name); /* a total order: qsort's result must not depend on its algorithm */
}

/* Every byte of the data belongs to exactly one tensor: no file is two things at once. */
static enum el_status check_cover(const struct el_st_header *h, uint64_t data_nbytes, struct el_err *err)
{
    uint64_t end = 0;
    for (size_t i = 0; i < h->n_tensors; i++) {
        const struct el_st_tensor *const t = &h->tensors[i];
        if (t->offset > end)
            return el_fail(err, EL_E_FORMAT,
                           "tensor '%s': begins at byte %llu of the data, %llu bytes before it belong to no tensor", t->name,
                           (unsigned long long)t->offset, (unsigned long long)(t->offset - end));
        if (t->offset < end)
            return el_fail(err, EL_E_FORMAT, "tensor '%s': begins at byte %llu of the data, within tensor '%s'", t->name,
                           (unsigned long long)t->offset, h->tensors[i - 1].name);
        end = t->offset + t->nbytes;
    }
    if (end != data_nbytes)
        return el_fail(err, EL_E_FORMAT, "%llu bytes after the last tensor belong to none",
                       (unsigned long long)(data_nbytes - end));
    return EL_OK;
}

struct entries {
    struct el_st_header *h;
    size_t cap;
    uint64_t data_nbytes;
};

static enum el_status read_entry(void *user, const struct el_json_member *m, struct el_err *err)
{
    struct entries *const e = user;
    struct el_st_header *const h = e->h;
    if (strcmp(m->key, "__metadata__") == 0)
        return check_metadata(m, err);
    if (h->n_tensors == EL_MAX_SAFETENSORS_TENSORS)
        return el_fail(err, EL_E_FORMAT, "header: more than %d tensors", (int)EL_MAX_SAFETENSORS_TENSORS);
    if (h->n_tensors == e->cap) {
        e->cap = e->cap ? e->cap * 2 : 64;
        struct el_st_tensor *const grown = el_realloc_array(h->tensors, e->cap, sizeof *grown);
        if (!grown)
            return el_fail(err, EL_E_MEMORY, "out of memory for %zu tensors", e->cap);
        h->tensors = grown;
    }
    struct el_st_tensor *const t = &h->tensors[h->n_tensors];
    *t = (struct el_st_tensor){.name = NULL};
    const enum el_status status = read_tensor(m, e->data_nbytes, t, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "tensor '%s'", m->key);
    h->n_tensors++;
    return EL_OK;
}

enum el_status el_st_parse(const char *json, size_t nbytes, uint64_t data_offset, uint64_t data_nbytes, struct el_st_header *h,
                           struct el_err *err)
{
    memset(h, 0, sizeof *h);
    if (nbytes == 0 || json[0] != '{')
        return el_fail(err, EL_E_FORMAT, "header does not begin with '{'");
    struct entries e = {.h = h, .data_nbytes = data_nbytes};
    enum el_status status;
    EL_TRY_OUT(el_json_each(json, nbytes, "header", read_entry, &e, err));
    if (h->n_tensors)
        qsort(h->tensors, h->n_tensors, sizeof *h->tensors, by_place);
    EL_TRY_OUT(check_cover(h, data_nbytes, err));
    for (size_t i = 0; i < h->n_tensors; i++)
        h->tensors[i].offset += data_offset;
out:
    if (status != EL_OK)
        el_st_header_release(h);
    return status;
}

static enum el_status read_header(const struct el_file *f, struct el_st_header *h, struct el_err *err)
{
    uint8_t start[8];
    if (f->nbytes < sizeof start)
        return el_fail(err, EL_E_FORMAT,
                       "'%s': truncated: %llu bytes, a safetensors file begins with the 8 bytes of its header's length", f->path,
                       (unsigned long long)f->nbytes);
    EL_TRY(el_file_read(f, 0, start, sizeof start, err));
    struct el_cursor c = el_cursor_init(start, sizeof start);
    const uint64_t n = el_cursor_u64(&c);
    if (n < 2 || n > EL_MAX_SAFETENSORS_HEADER)
        return el_fail(err, EL_E_FORMAT, "'%s': header of %llu bytes, must be 2 to %d", f->path, (unsigned long long)n,
                       (int)EL_MAX_SAFETENSORS_HEADER);
    if (n > f->nbytes - sizeof start)
        return el_fail(err, EL_E_FORMAT, "'%s': truncated: header of %llu bytes in a file of %llu", f->path,
                       (unsigned long long)n, (unsigned long long)f->nbytes);
    char *const json = el_alloc(n);
    if (!json)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for a header of %llu bytes", f->path, (unsigned long long)n);
    enum el_status status = el_file_read(f, sizeof start, json, n, err);
    if (status == EL_OK) {
        status = el_st_parse(json, n, sizeof start + n, f->nbytes - sizeof start - n, h, err);
        if (status != EL_OK)
            status = el_fail_prefix(err, status, "'%s'", f->path);
    }
    el_free(json);
    return status;
}

enum el_status el_st_open(const char *path, struct el_file *f, struct el_st_header *h, struct el_err *err)
{
    memset(h, 0, sizeof *h);
    EL_TRY(el_file_open(f, path, err));
    const enum el_status status = read_header(f, h, err);
    if (status != EL_OK)
        el_file_close(f);
    return status;
}
