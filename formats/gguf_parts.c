/*
 * Encodings that ggml does not have, in GGUF: the parts container.
 *
 * Such a tensor lies in the file as several tensors of standard types, NAME + suffix of the part, and one metadata entry
 * `edgellm.encodings`, an array of strings "NAME ENCODING DIM,DIM,..." (dimensions outermost first), says what they are together.
 * Any GGUF reader can list, copy and hash the file; ours sees one tensor.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "formats/gguf.h"

uint32_t el_gguf_part_dims(const struct el_tensor *t, uint32_t part, uint64_t dims[EL_MAX_DIMS])
{
    const struct el_part_shape *const p = &t->parts[part];
    if (p->row_nbytes == 0 && p->nbytes > 0) { /* shared by all rows: a vector; rows of nothing are no such thing */
        dims[0] = p->row_n_elems;
        return 1;
    }
    memcpy(dims, t->dims, t->n_dims * sizeof *dims);
    dims[t->n_dims - 1] = p->row_n_elems;
    return t->n_dims;
}

char *el_gguf_encoding_line(const struct el_tensor *t)
{
    struct el_buf b;
    el_buf_init(&b);
    el_buf_addf(&b, "%s %s ", t->name, t->enc_name);
    for (uint32_t i = 0; i < t->n_dims; i++)
        el_buf_addf(&b, "%s%llu", i ? "," : "", (unsigned long long)t->dims[i]);
    size_t nbytes;
    char *const line = el_buf_detach(&b, &nbytes);
    el_buf_release(&b);
    return line;
}

struct fold {
    const char *path;
    struct el_gguf_entry *entries;
    size_t n_entries;
    struct el_strmap names; /* of entries */
    int64_t *owner;         /* per entry: logical tensor that claims it, or -1 */
    uint32_t *part;         /* per entry: which part of it */
    struct el_tensor *logical;
    struct el_gguf_place *places;
    size_t n_logical;
    struct el_err *err;
};

/* "N,N,..." to its end. */
static bool parse_dims(const char *s, struct el_tensor *t)
{
    for (t->n_dims = 0; t->n_dims < EL_MAX_DIMS;) {
        uint64_t v = 0;
        if (*s < '0' || *s > '9')
            return false;
        for (; *s >= '0' && *s <= '9'; s++) {
            if (v > (UINT64_MAX >> 1) / 10 - 1)
                return false;
            v = v * 10 + (uint64_t)(*s - '0');
        }
        t->dims[t->n_dims++] = v;
        if (*s == '\0')
            return true;
        if (*s++ != ',')
            return false;
    }
    return false;
}

/* One line into *t. The name may hold spaces, so it is cut from the right. */
static enum el_status parse_line(const struct fold *f, const char *line, size_t nbytes, struct el_tensor *t)
{
    const char *const dims = memchr(line, '\0', nbytes) ? NULL : strrchr(line, ' ');
    const char *enc = dims;
    while (enc && enc > line && enc[-1] != ' ')
        enc--;
    if (!enc || enc - line < 2 || enc == dims || !parse_dims(dims + 1, t))
        return el_fail(f->err, EL_E_FORMAT, "'%s': metadata '%s': '%.100s' is not NAME ENCODING DIM,DIM,...", f->path,
                       EL_GGUF_ENCODINGS_KEY, line);
    const size_t n_name = (size_t)(enc - line) - 1, n_enc = (size_t)(dims - enc);
    char enc_name[32];
    if (n_name > EL_MAX_TENSOR_NAME)
        return el_fail(f->err, EL_E_FORMAT, "'%s': metadata '%s': name of %zu bytes, at most %d", f->path, EL_GGUF_ENCODINGS_KEY,
                       n_name, EL_MAX_TENSOR_NAME);
    (void)snprintf(enc_name, sizeof enc_name, "%.*s", n_enc < sizeof enc_name ? (int)n_enc : 0, enc);
    if (el_enc_parse(enc_name, &t->enc, NULL) != EL_OK)
        return el_fail(f->err, EL_E_UNSUPPORTED, "'%s': tensor '%.*s': encoding '%.*s' is not known to this version", f->path,
                       (int)n_name, line, n_enc < 64 ? (int)n_enc : 64, enc);
    if (t->enc.e->ggml_type >= 0)
        return el_fail(f->err, EL_E_FORMAT, "'%s': tensor '%.*s': metadata '%s' names %s, which has a type of its own in GGUF",
                       f->path, (int)n_name, line, EL_GGUF_ENCODINGS_KEY, enc_name);
    t->name = el_strndup(line, n_name);
    t->file_name = t->name;
    if (!t->name)
        return el_fail(f->err, EL_E_MEMORY, "'%s': out of memory", f->path);
    const enum el_status status = el_tensor_complete(t, f->err);
    if (status != EL_OK)
        return el_fail_prefix(f->err, status, "'%s': metadata '%s': tensor '%s'", f->path, EL_GGUF_ENCODINGS_KEY, t->name);
    return EL_OK;
}

/* Finds the parts of logical tensor number l and claims them. */
static enum el_status claim_parts(struct fold *f, size_t l)
{
    struct el_tensor *const t = &f->logical[l];
    for (uint32_t p = 0; p < t->n_parts; p++) {
        char name[EL_MAX_TENSOR_NAME + 64];
        const int n = snprintf(name, sizeof name, "%s%s", t->name, t->parts[p].suffix);
        const int64_t at = el_strmap_get(&f->names, name, (size_t)n, -1);
        if (at < 0)
            return el_fail(f->err, EL_E_FORMAT, "'%s': tensor '%s' is %s by metadata '%s', but its part '%s' is missing", f->path,
                           t->name, t->enc_name, EL_GGUF_ENCODINGS_KEY, name);
        const struct el_gguf_entry *const e = &f->entries[at];
        if (f->owner[at] >= 0)
            return el_fail(f->err, EL_E_FORMAT, "'%s': metadata '%s': tensor '%s' is named twice", f->path, EL_GGUF_ENCODINGS_KEY,
                           t->name);
        uint64_t dims[EL_MAX_DIMS] = {0};
        const uint32_t n_dims = el_gguf_part_dims(t, p, dims);
        if (e->type != (uint32_t)t->parts[p].ggml_type)
            return el_fail(f->err, EL_E_FORMAT, "'%s': tensor '%s': type %s, must be %s as a part of %s", f->path, name,
                           el_ggml_type_name((int32_t)e->type), el_ggml_type_name(t->parts[p].ggml_type), t->enc_name);
        if (e->n_dims != n_dims || memcmp(e->dims, dims, n_dims * sizeof *dims) != 0 || e->nbytes != t->parts[p].nbytes)
            return el_fail(f->err, EL_E_FORMAT,
                           "'%s': tensor '%s': %llu bytes in %u dimensions, must be %llu in %u as a part of %s", f->path, name,
                           (unsigned long long)e->nbytes, e->n_dims, (unsigned long long)t->parts[p].nbytes, n_dims, t->enc_name);
        f->owner[at] = (int64_t)l;
        f->part[at] = p;
    }
    return EL_OK;
}

static enum el_status read_lines(struct fold *f, const struct el_meta *meta, size_t at)
{
    const size_t n = el_meta_n_elems(meta, at);
    if (el_meta_type(meta, at) != EL_META_ARR || el_meta_elem_type(meta, at) != EL_META_STR)
        return el_fail(f->err, EL_E_FORMAT, "'%s': metadata '%s': must be an array of strings", f->path, EL_GGUF_ENCODINGS_KEY);
    if (n > f->n_entries)
        return el_fail(f->err, EL_E_FORMAT, "'%s': metadata '%s': %zu tensors, but the file has only %zu", f->path,
                       EL_GGUF_ENCODINGS_KEY, n, f->n_entries);
    f->logical = el_calloc_array(n, sizeof *f->logical);
    if (!f->logical)
        return el_fail(f->err, EL_E_MEMORY, "'%s': out of memory", f->path);
    for (size_t i = 0; i < n; i++) {
        size_t nbytes;
        const char *const line = el_meta_str(meta, at, i, &nbytes);
        f->n_logical++;
        EL_TRY(parse_line(f, line, nbytes, &f->logical[i]));
        EL_TRY(claim_parts(f, i));
    }
    return EL_OK;
}

/* A tensor that stands for itself. */
static enum el_status plain_tensor(struct fold *f, struct el_gguf_entry *e, struct el_tensor *t, struct el_gguf_place *place)
{
    const struct el_encoding *const enc = el_encoding_by_ggml((int32_t)e->type);
    if (!enc)
        return el_fail(f->err, EL_E_UNSUPPORTED,
                       "'%s': tensor '%s': type %u (%s), which this version reads only as a part of its own encodings", f->path,
                       e->name, e->type, el_ggml_type_name((int32_t)e->type));
    t->enc = (struct el_enc){.e = enc};
    t->n_dims = e->n_dims;
    memcpy(t->dims, e->dims, sizeof t->dims);
    t->file = e->file;
    t->offset = e->offset;
    place->file[0] = e->file;
    place->offset[0] = e->offset;
    const enum el_status status = el_tensor_complete(t, f->err);
    if (status != EL_OK)
        return el_fail_prefix(f->err, status, "'%s': tensor '%s'", f->path, e->name);
    t->name = t->file_name = e->name;
    e->name = NULL;
    return EL_OK;
}

/* Tensors in the order of their first parts. */
static enum el_status build(struct fold *f, struct el_tensor **tensors, struct el_gguf_place **places, size_t *n_tensors)
{
    size_t cap = f->n_logical;
    for (size_t i = 0; i < f->n_entries; i++)
        cap += f->owner[i] < 0;
    *tensors = el_calloc_array(cap, sizeof **tensors);
    *places = el_calloc_array(cap, sizeof **places);
    int64_t *const built = el_alloc_array(f->n_logical, sizeof *built); /* index of a logical tensor in *tensors, or -1 */
    enum el_status status = *tensors && *places && built ? EL_OK : el_fail(f->err, EL_E_MEMORY, "'%s': out of memory", f->path);
    for (size_t l = 0; status == EL_OK && l < f->n_logical; l++)
        built[l] = -1;
    size_t n = 0;
    for (size_t i = 0; status == EL_OK && i < f->n_entries; i++) {
        struct el_gguf_entry *const e = &f->entries[i];
        if (f->owner[i] < 0) {
            status = plain_tensor(f, e, &(*tensors)[n], &(*places)[n]);
            n += status == EL_OK;
            continue;
        }
        const size_t l = (size_t)f->owner[i];
        if (built[l] < 0) {
            built[l] = (int64_t)n;
            (*tensors)[n++] = f->logical[l];
            f->logical[l].name = f->logical[l].file_name = NULL; /* moved */
        }
        struct el_tensor *const t = &(*tensors)[built[l]];
        struct el_gguf_place *const place = &(*places)[built[l]];
        place->file[f->part[i]] = e->file;
        place->offset[f->part[i]] = e->offset;
        t->file = place->file[0];
        t->offset = place->offset[0];
    }
    *n_tensors = n;
    el_free(built);
    return status;
}

/* A logical name must not be a plain tensor's, too. */
static enum el_status check_names(const struct fold *f)
{
    for (size_t l = 0; l < f->n_logical; l++) {
        const char *const name = f->logical[l].name;
        const int64_t at = el_strmap_get(&f->names, name, strlen(name), -1);
        if (at >= 0 && f->owner[at] != (int64_t)l)
            return el_fail(f->err, EL_E_FORMAT, "'%s': tensor '%s' is there as itself and in metadata '%s'", f->path, name,
                           EL_GGUF_ENCODINGS_KEY);
    }
    return EL_OK;
}

enum el_status el_gguf_fold(const char *path, struct el_meta *meta, struct el_gguf_entry *entries, size_t n_entries,
                            struct el_tensor **tensors, struct el_gguf_place **places, size_t *n_tensors, struct el_err *err)
{
    struct fold f = {.path = path, .entries = entries, .n_entries = n_entries, .err = err};
    *tensors = NULL;
    *places = NULL;
    *n_tensors = 0;
    el_strmap_init(&f.names);
    enum el_status status = EL_OK;
    f.owner = el_alloc_array(n_entries, sizeof *f.owner);
    f.part = el_alloc_array(n_entries, sizeof *f.part);
    if (!f.owner || !f.part) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
        goto out;
    }
    for (size_t i = 0; i < n_entries; i++) {
        f.owner[i] = -1;
        if (!el_strmap_add(&f.names, entries[i].name, strlen(entries[i].name), (int64_t)i, NULL)) {
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
            goto out;
        }
    }
    const size_t at = el_meta_find(meta, EL_GGUF_ENCODINGS_KEY);
    if (at != SIZE_MAX) {
        EL_TRY_OUT(read_lines(&f, meta, at));
        EL_TRY_OUT(check_names(&f));
        el_meta_remove(meta, EL_GGUF_ENCODINGS_KEY);
    }
    status = build(&f, tensors, places, n_tensors);
out:
    el_tensors_free(f.logical, f.n_logical);
    el_strmap_release(&f.names);
    el_free(f.owner);
    el_free(f.part);
    if (status != EL_OK) {
        el_tensors_free(*tensors, *n_tensors);
        el_free(*places);
        *tensors = NULL;
        *places = NULL;
        *n_tensors = 0;
    }
    return status;
}
