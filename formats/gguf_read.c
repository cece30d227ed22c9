/*
 * Reading the header of a GGUF file.
 *
 * The header is walked in windows read with pread, so that memory holds what the metadata is made of and little else, and no
 * tensor is touched but what the last window happens to reach. Every count and length is compared with the bytes left before
 * anything is allocated for it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "base/utf8.h"
#include "formats/gguf.h"

enum {
    WINDOW_NBYTES = 256 << 10,
    MIN_KV_NBYTES = 8 + 1 + 4 + 1,            /* key of one byte, value of one */
    MIN_ENTRY_NBYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name of one byte, one dimension */
};

struct reader {
    const struct el_gguf_input *in;
    struct el_err *err;
    struct el_cursor c; /* over the window */
    uint64_t base;      /* file offset of the window's start */
    uint8_t *window;
    size_t cap;
    char key[EL_MAX_KEY + 1]; /* of the entry being read */
    /* What is being read, for messages. */
    const char *record; /* "metadata", "tensor" or "header" */
    const char *field;
    uint64_t i, n;
    bool has_key;
};

/* ---- errors ---- */

/* Names file and record: "'x.gguf': metadata 3 of 20 ('general.name'): ...". */
static enum el_status bad(struct reader *r, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);

static enum el_status bad(struct reader *r, enum el_status code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (r->n == 0)
        return el_fail(r->err, code, "'%s': %s", r->in->path, text);
    if (!r->has_key)
        return el_fail(r->err, code, "'%s': %s %llu of %llu: %s", r->in->path, r->record, (unsigned long long)r->i + 1,
                       (unsigned long long)r->n, text);
    return el_fail(r->err, code, "'%s': %s '%.100s': %s", r->in->path, r->record, r->key, text);
}

static enum el_status no_memory(struct reader *r)
{
    return bad(r, EL_E_MEMORY, "out of memory");
}

/* ---- bytes ---- */

static uint64_t here(const struct reader *r)
{
    return r->base + el_cursor_offset(&r->c);
}

static uint64_t left(const struct reader *r)
{
    return r->in->nbytes - here(r);
}

static enum el_status truncated(struct reader *r)
{
    return bad(r, EL_E_FORMAT, "truncated at byte %llu, in the %s that begins at byte %llu", (unsigned long long)r->in->nbytes,
               r->field, (unsigned long long)here(r));
}

/* Moves to any offset within the file. */
static void seek(struct reader *r, uint64_t offset)
{
    if (!r->in->file) {
        r->c.p = r->c.start + offset;
        return;
    }
    if (offset >= r->base && offset <= r->base + (uint64_t)(r->c.end - r->c.start)) {
        r->c.p = r->c.start + (offset - r->base);
        return;
    }
    r->base = offset;
    r->c = el_cursor_init(r->window, 0);
}

/* Makes the next n bytes of the field lie in the window. */
static enum el_status need(struct reader *r, uint64_t n, const char *field)
{
    r->field = field;
    if (n > left(r))
        return truncated(r);
    if (n <= el_cursor_left(&r->c))
        return EL_OK;
    const uint64_t at = here(r);
    if (at + n > EL_MAX_GGUF_HEADER)
        return bad(r, EL_E_FORMAT, "the header is longer than %d bytes, the most that is allowed", EL_MAX_GGUF_HEADER);
    uint64_t want = n > WINDOW_NBYTES ? n : WINDOW_NBYTES;
    if (want > left(r))
        want = left(r);
    if (want > r->cap) {
        el_free(r->window);
        r->window = NULL;
        r->cap = 0;
        r->c = el_cursor_init(NULL, 0);
        r->base = at;
        r->window = el_alloc((size_t)want);
        if (!r->window)
            return no_memory(r);
        r->cap = (size_t)want;
    }
    r->c = el_cursor_init(r->window, 0);
    r->base = at;
    EL_TRY(el_file_read(r->in->file, at, r->window, want, r->err));
    r->c = el_cursor_init(r->window, (size_t)want);
    return EL_OK;
}

static enum el_status read_u32(struct reader *r, uint32_t *v, const char *field)
{
    EL_TRY(need(r, 4, field));
    *v = el_cursor_u32(&r->c);
    return EL_OK;
}

static enum el_status read_u64(struct reader *r, uint64_t *v, const char *field)
{
    EL_TRY(need(r, 8, field));
    *v = el_cursor_u64(&r->c);
    return EL_OK;
}

/* A length and its bytes, in place until the next read. */
static enum el_status read_string(struct reader *r, uint64_t max, const char **s, uint64_t *nbytes, const char *field)
{
    EL_TRY(read_u64(r, nbytes, field));
    if (*nbytes > left(r))
        return bad(r, EL_E_FORMAT, "%s of %llu bytes, but the file has only %llu left", field, (unsigned long long)*nbytes,
                   (unsigned long long)left(r));
    if (*nbytes > max)
        return bad(r, EL_E_FORMAT, "%s of %llu bytes, at most %llu", field, (unsigned long long)*nbytes, (unsigned long long)max);
    EL_TRY(need(r, *nbytes, field));
    const uint8_t *const p = el_cursor_bytes(&r->c, *nbytes);
    *s = (const char *)p;
    return EL_OK;
}

bool el_gguf_is_identifier(const char *s, uint64_t nbytes, char why[EL_GGUF_WHY_NBYTES])
{
    why[0] = '\0';
    for (uint64_t i = 0; i < nbytes && !why[0]; i++) {
        const uint8_t c = (uint8_t)s[i];
        if (c < 0x20 || c == 0x7f)
            (void)snprintf(why, EL_GGUF_WHY_NBYTES, "has control character 0x%02x at byte %llu", c, (unsigned long long)i);
    }
    if (nbytes == 0)
        (void)snprintf(why, EL_GGUF_WHY_NBYTES, "is empty");
    else if (!why[0] && !el_utf8_is_valid(s, (size_t)nbytes))
        (void)snprintf(why, EL_GGUF_WHY_NBYTES, "is no valid UTF-8");
    return !why[0];
}

static enum el_status check_identifier(struct reader *r, const char *s, uint64_t nbytes, const char *field)
{
    char why[EL_GGUF_WHY_NBYTES];
    if (nbytes == 0)
        return bad(r, EL_E_FORMAT, "empty %s", field);
    return el_gguf_is_identifier(s, nbytes, why) ? EL_OK : bad(r, EL_E_FORMAT, "%s %s", field, why);
}

/* ---- start ---- */

static enum el_status read_start(struct reader *r, struct el_gguf_header *h, uint64_t *n_tensors, uint64_t *n_kv)
{
    if (r->in->nbytes == 0)
        return bad(r, EL_E_FORMAT, "the file is empty");
    const uint64_t n_head = r->in->nbytes < 4 ? r->in->nbytes : 4;
    EL_TRY(need(r, n_head, "magic"));
    const uint8_t *const head = r->c.p;
    if (memcmp(head, "GGUF", (size_t)n_head) != 0)
        return bad(r, EL_E_FORMAT, "not a GGUF file: the first bytes are %02x %02x %02x %02x, must be 47 47 55 46 ('GGUF')",
                   head[0], n_head > 1 ? head[1] : 0, n_head > 2 ? head[2] : 0, n_head > 3 ? head[3] : 0);
    if (n_head < 4) {
        r->field = "magic";
        return truncated(r);
    }
    (void)el_cursor_bytes(&r->c, 4);
    EL_TRY(read_u32(r, &h->version, "version"));
    if (h->version != 0 && (h->version & 0xffff) == 0)
        return bad(r, EL_E_UNSUPPORTED, "big-endian GGUF (version %u byte-swapped), only little-endian files are read",
                   __builtin_bswap32(h->version));
    if (h->version < 2 || h->version > 3)
        return bad(r, EL_E_UNSUPPORTED, "GGUF version %u, supported are 2 and 3", h->version);
    EL_TRY(read_u64(r, n_tensors, "tensor count"));
    EL_TRY(read_u64(r, n_kv, "metadata count"));
    if (*n_kv > EL_MAX_META)
        return bad(r, EL_E_FORMAT, "metadata count %llu, at most %d", (unsigned long long)*n_kv, EL_MAX_META);
    if (*n_tensors > EL_MAX_GGUF_TENSORS)
        return bad(r, EL_E_FORMAT, "tensor count %llu, at most %d", (unsigned long long)*n_tensors, EL_MAX_GGUF_TENSORS);
    if (*n_kv > left(r) / MIN_KV_NBYTES)
        return bad(r, EL_E_FORMAT, "truncated: metadata count %llu, but the file has only %llu bytes left",
                   (unsigned long long)*n_kv, (unsigned long long)left(r));
    if (*n_tensors > left(r) / MIN_ENTRY_NBYTES)
        return bad(r, EL_E_FORMAT, "truncated: tensor count %llu, but the file has only %llu bytes left",
                   (unsigned long long)*n_tensors, (unsigned long long)left(r));
    return EL_OK;
}

/* ---- metadata ---- */

static enum el_status check_bools(struct reader *r, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (p[i] > 1)
            return bad(r, EL_E_FORMAT, "bool of value %u, must be 0 or 1", p[i]);
    }
    return EL_OK;
}

/* Lengths first, then the bytes into one block of the right size. */
static enum el_status read_strings(struct reader *r, struct el_meta *meta, uint64_t n)
{
    const uint64_t first = here(r);
    uint64_t total = 0; /* cannot overflow: bounded by the file's size */
    for (uint64_t j = 0; j < n; j++) {
        uint64_t nbytes;
        EL_TRY(read_u64(r, &nbytes, "string length"));
        if (nbytes > left(r))
            return bad(r, EL_E_FORMAT, "string %llu of %llu bytes, but the file has only %llu left", (unsigned long long)j,
                       (unsigned long long)nbytes, (unsigned long long)left(r));
        if (nbytes > EL_MAX_STRING)
            return bad(r, EL_E_FORMAT, "string %llu of %llu bytes, at most %d", (unsigned long long)j, (unsigned long long)nbytes,
                       EL_MAX_STRING);
        if (here(r) + nbytes > EL_MAX_GGUF_HEADER)
            return bad(r, EL_E_FORMAT, "the header is longer than %d bytes, the most that is allowed", EL_MAX_GGUF_HEADER);
        seek(r, here(r) + nbytes);
        total += nbytes + 1;
    }
    char *const block = el_alloc((size_t)total);
    uint64_t *const starts = el_alloc_array((size_t)n + 1, sizeof *starts);
    enum el_status status = block && starts ? EL_OK : no_memory(r);
    seek(r, first);
    uint64_t at = 0;
    for (uint64_t j = 0; j < n && status == EL_OK; j++) {
        const char *s = NULL;
        uint64_t nbytes = 0;
        status = read_string(r, EL_MAX_STRING, &s, &nbytes, "string");
        if (status == EL_OK && nbytes >= total - at) /* another process is writing to the file */
            status = bad(r, EL_E_FORMAT, "string %llu changed while it was read", (unsigned long long)j);
        if (status != EL_OK)
            break;
        starts[j] = at;
        memcpy(block + at, s, (size_t)nbytes);
        block[at + nbytes] = '\0';
        at += nbytes + 1;
    }
    if (status != EL_OK) {
        el_free(block);
        el_free(starts);
        return status;
    }
    starts[n] = at;
    return el_meta_take_str_array(meta, r->key, block, starts, (size_t)n, r->err);
}

static enum el_status read_array(struct reader *r, struct el_meta *meta)
{
    uint32_t type;
    uint64_t n;
    EL_TRY(read_u32(r, &type, "array type"));
    EL_TRY(read_u64(r, &n, "array length"));
    if (type == EL_META_ARR)
        return bad(r, EL_E_FORMAT, "an array of arrays, which is not allowed");
    if (type > EL_META_F64)
        return bad(r, EL_E_FORMAT, "array of type %u, at most %d", type, EL_META_F64);
    if (n > EL_MAX_ARRAY)
        return bad(r, EL_E_FORMAT, "array of %llu elements, at most %d", (unsigned long long)n, EL_MAX_ARRAY);
    const size_t size = el_meta_type_nbytes((enum el_meta_type)type);
    if (n > left(r) / (size ? size : 8))
        return bad(r, EL_E_FORMAT, "truncated: array of %llu %s elements, but the file has only %llu bytes left",
                   (unsigned long long)n, el_meta_type_name((enum el_meta_type)type), (unsigned long long)left(r));
    if (type == EL_META_STR)
        return read_strings(r, meta, n);
    EL_TRY(need(r, n * size, "array"));
    const uint8_t *const p = el_cursor_bytes(&r->c, n * size);
    if (type == EL_META_BOOL)
        EL_TRY(check_bools(r, p, n));
    return el_meta_set_array(meta, r->key, (enum el_meta_type)type, p, (size_t)n, r->err);
}

static enum el_status read_value(struct reader *r, struct el_meta *meta)
{
    uint32_t type;
    EL_TRY(read_u32(r, &type, "value type"));
    if (type > EL_META_F64)
        return bad(r, EL_E_FORMAT, "value of type %u, at most %d", type, EL_META_F64);
    if (type == EL_META_ARR)
        return read_array(r, meta);
    if (type == EL_META_STR) {
        const char *s;
        uint64_t nbytes;
        EL_TRY(read_string(r, EL_MAX_STRING, &s, &nbytes, "string"));
        return el_meta_set_str(meta, r->key, s, (size_t)nbytes, r->err);
    }
    const size_t size = el_meta_type_nbytes((enum el_meta_type)type);
    EL_TRY(need(r, size, "value"));
    const uint8_t *const p = el_cursor_bytes(&r->c, size);
    if (type == EL_META_BOOL)
        EL_TRY(check_bools(r, p, 1));
    return el_meta_set_scalar(meta, r->key, (enum el_meta_type)type, p, r->err);
}

static enum el_status read_meta(struct reader *r, struct el_meta *meta, uint64_t n)
{
    r->record = "metadata";
    r->n = n;
    for (r->i = 0; r->i < n; r->i++) {
        const char *s;
        uint64_t nbytes;
        r->has_key = false;
        if ((r->i & 1023) == 0 && el_interrupted())
            return bad(r, EL_E_INTERRUPTED, "interrupted");
        EL_TRY(read_string(r, EL_MAX_KEY, &s, &nbytes, "key"));
        EL_TRY(check_identifier(r, s, nbytes, "key"));
        memcpy(r->key, s, (size_t)nbytes);
        r->key[nbytes] = '\0';
        r->has_key = true;
        if (el_meta_find(meta, r->key) != SIZE_MAX)
            return bad(r, EL_E_FORMAT, "duplicate key");
        EL_TRY(read_value(r, meta));
    }
    r->n = 0;
    r->has_key = false;
    return EL_OK;
}

enum el_status el_gguf_alignment(const struct el_meta *meta, uint32_t *alignment, struct el_err *err)
{
    *alignment = EL_GGUF_ALIGNMENT;
    const size_t at = el_meta_find(meta, "general.alignment");
    if (at == SIZE_MAX)
        return EL_OK;
    if (el_meta_type(meta, at) != EL_META_U32)
        return el_fail(err, EL_E_FORMAT, "metadata 'general.alignment': of type %s, must be uint32",
                       el_meta_type_name(el_meta_type(meta, at)));
    const int64_t v = el_meta_int(meta, at, 0);
    if (v < 1 || v > EL_MAX_ALIGNMENT || (v & (v - 1)) != 0)
        return el_fail(err, EL_E_FORMAT, "metadata 'general.alignment': %lld, must be a power of two from 1 to %d", (long long)v,
                       EL_MAX_ALIGNMENT);
    *alignment = (uint32_t)v;
    return EL_OK;
}

/* ---- tensors ---- */

/* Plain types that occur as parts of our own encodings, beside the encodings that ggml has too. */
bool el_gguf_type_shape(uint32_t type, uint32_t *block_n, uint32_t *block_nbytes)
{
    static const struct {
        uint32_t type, nbytes;
    } plain[] = {{24, 1}, {25, 2}, {26, 4}, {27, 8}, {28, 8}}; /* I8 I16 I32 I64 F64 */
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (plain[i].type == type) {
            *block_n = 1;
            *block_nbytes = plain[i].nbytes;
            return true;
        }
    }
    const struct el_encoding *const e = type <= INT32_MAX ? el_encoding_by_ggml((int32_t)type) : NULL;
    if (!e)
        return false;
    *block_n = e->block_n;
    *block_nbytes = e->block_nbytes;
    return true;
}

static enum el_status read_dims(struct reader *r, struct el_gguf_entry *e)
{
    EL_TRY(read_u32(r, &e->n_dims, "number of dimensions"));
    if (e->n_dims < 1 || e->n_dims > EL_MAX_DIMS)
        return bad(r, EL_E_FORMAT, "%u dimensions, must be 1 to %d", e->n_dims, EL_MAX_DIMS);
    uint64_t n_elems = 1;
    bool fits = true, empty = false;
    for (uint32_t d = e->n_dims; d-- > 0;) { /* innermost first in the file */
        EL_TRY(read_u64(r, &e->dims[d], "dimension"));
        if (e->dims[d] > INT64_MAX)
            return bad(r, EL_E_FORMAT, "dimension %u is %llu, at most 2^63 - 1", d, (unsigned long long)e->dims[d]);
        empty = empty || e->dims[d] == 0;
        fits = fits && el_mul_u64(n_elems, e->dims[d] ? e->dims[d] : 1, &n_elems);
    }
    /* Dimensions around a zero must fit too: a product that is 0 hides nothing. */
    if (!fits || n_elems > INT64_MAX)
        return bad(r, EL_E_FORMAT, "the number of elements of [%llu, %llu, %llu, %llu] overflows", (unsigned long long)e->dims[0],
                   (unsigned long long)e->dims[1], (unsigned long long)e->dims[2], (unsigned long long)e->dims[3]);
    e->nbytes = empty ? 0 : n_elems; /* elements until the type is known */
    return EL_OK;
}

static enum el_status read_type(struct reader *r, struct el_gguf_entry *e)
{
    EL_TRY(read_u32(r, &e->type, "type"));
    uint32_t block_n, block_nbytes;
    if (!el_gguf_type_shape(e->type, &block_n, &block_nbytes)) {
        const char *const name = e->type <= INT32_MAX ? el_ggml_type_name((int32_t)e->type) : NULL;
        if (name)
            return bad(r, EL_E_UNSUPPORTED, "type %u (%s), which this version does not read", e->type, name);
        return bad(r, EL_E_UNSUPPORTED, "type %u, which ggml does not define", e->type);
    }
    const uint64_t row = e->dims[e->n_dims - 1];
    if (row % block_n != 0)
        return bad(r, EL_E_FORMAT, "rows of %llu elements, must be a multiple of %u for type %u (%s)", (unsigned long long)row,
                   block_n, e->type, el_ggml_type_name((int32_t)e->type));
    if (!el_mul_u64(e->nbytes / block_n, block_nbytes, &e->nbytes) || e->nbytes > INT64_MAX)
        return bad(r, EL_E_FORMAT, "the number of bytes overflows");
    return EL_OK;
}

static enum el_status read_entry(struct reader *r, const struct el_gguf_header *h, struct el_gguf_entry *e)
{
    const char *s;
    uint64_t nbytes;
    r->has_key = false;
    EL_TRY(read_string(r, EL_MAX_TENSOR_NAME, &s, &nbytes, "name"));
    EL_TRY(check_identifier(r, s, nbytes, "name"));
    memcpy(r->key, s, (size_t)nbytes);
    r->key[nbytes] = '\0';
    r->has_key = true;
    e->name = el_strdup(r->key);
    if (!e->name)
        return no_memory(r);
    EL_TRY(read_dims(r, e));
    EL_TRY(read_type(r, e));
    EL_TRY(read_u64(r, &e->offset, "offset"));
    if (e->offset % h->alignment != 0)
        return bad(r, EL_E_FORMAT, "offset %llu, must be a multiple of the alignment %u", (unsigned long long)e->offset,
                   h->alignment);
    return EL_OK;
}

static enum el_status read_entries(struct reader *r, struct el_gguf_header *h, uint64_t n)
{
    h->entries = el_calloc_array((size_t)n, sizeof *h->entries);
    if (!h->entries)
        return no_memory(r);
    struct el_strmap names;
    el_strmap_init(&names);
    enum el_status status = EL_OK;
    r->record = "tensor";
    r->n = n;
    for (r->i = 0; r->i < n && status == EL_OK; r->i++) {
        struct el_gguf_entry *const e = &h->entries[r->i];
        h->n_entries++;
        status = read_entry(r, h, e);
        bool existed = false;
        if (status == EL_OK && !el_strmap_add(&names, e->name, strlen(e->name), (int64_t)r->i, &existed))
            status = no_memory(r);
        if (status == EL_OK && existed)
            status =
                bad(r, EL_E_FORMAT, "duplicate name, tensors %llu and %llu",
                    (unsigned long long)el_strmap_get(&names, e->name, strlen(e->name), 0) + 1, (unsigned long long)r->i + 1);
    }
    r->n = 0;
    r->has_key = false;
    el_strmap_release(&names);
    return status;
}

/* ---- layout ---- */

static int by_offset(const void *a, const void *b)
{
    const struct el_gguf_entry *const x = *(const struct el_gguf_entry *const *)a, *const y =
                                                                                       *(const struct el_gguf_entry *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->nbytes != y->nbytes)
        return x->nbytes < y->nbytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Gaps and trailing bytes: harmless, but nobody's, so strict readers refuse them and others are told. */
static enum el_status stray(struct reader *r, bool strict, uint64_t from, uint64_t to, const char *where)
{
    if (strict)
        return bad(r, EL_E_FORMAT, "%llu stray bytes at byte %llu, %s", (unsigned long long)(to - from), (unsigned long long)from,
                   where);
    el_warn("'%s': %llu stray bytes at byte %llu, %s", r->in->path, (unsigned long long)(to - from), (unsigned long long)from,
            where);
    return EL_OK;
}

/* Every tensor within the file, none over another. Makes offsets count from the file's start. */
static enum el_status check_layout(struct reader *r, struct el_gguf_header *h, bool strict)
{
    const uint64_t data_nbytes = r->in->nbytes > h->data_offset ? r->in->nbytes - h->data_offset : 0;
    struct el_gguf_entry **const sorted = el_alloc_array(h->n_entries, sizeof(struct el_gguf_entry *));
    if (!sorted)
        return no_memory(r);
    size_t n = 0;
    enum el_status status = EL_OK;
    for (size_t i = 0; i < h->n_entries; i++) {
        struct el_gguf_entry *const e = &h->entries[i];
        if (e->nbytes > data_nbytes || e->offset > data_nbytes - e->nbytes) {
            if (e->nbytes == 0)
                continue; /* nothing to read there */
            status = bad(r, EL_E_FORMAT,
                         "tensor '%s': %llu bytes at offset %llu of the data, but the file has only %llu bytes of data", e->name,
                         (unsigned long long)e->nbytes, (unsigned long long)e->offset, (unsigned long long)data_nbytes);
            goto out;
        }
        if (e->nbytes > 0)
            sorted[n++] = e;
    }
    qsort(sorted, n, sizeof *sorted, by_offset);
    uint64_t end = 0; /* of the tensor before, padded */
    for (size_t i = 0; i < n; i++) {
        const struct el_gguf_entry *const e = sorted[i];
        if (i > 0 && sorted[i - 1]->offset + sorted[i - 1]->nbytes > e->offset) {
            status = bad(r, EL_E_FORMAT, "tensor '%s' at offset %llu of the data overlaps '%s', which ends at %llu", e->name,
                         (unsigned long long)e->offset, sorted[i - 1]->name,
                         (unsigned long long)(sorted[i - 1]->offset + sorted[i - 1]->nbytes));
            goto out;
        }
        if (e->offset > end)
            EL_TRY_OUT(stray(r, strict, h->data_offset + end, h->data_offset + e->offset, "in front of a tensor"));
        end = (e->offset + e->nbytes + h->alignment - 1) / h->alignment * h->alignment;
    }
    if (data_nbytes > end)
        EL_TRY_OUT(stray(r, strict, h->data_offset + end, r->in->nbytes, "after the last tensor"));
    for (size_t i = 0; i < h->n_entries; i++)
        h->entries[i].offset = h->entries[i].nbytes ? h->entries[i].offset + h->data_offset : h->data_offset;
out:
    el_free(sorted);
    return status;
}

void el_gguf_header_release(struct el_gguf_header *h)
{
    for (size_t i = 0; i < h->n_entries; i++)
        el_free(h->entries[i].name);
    el_free(h->entries);
    el_meta_free(h->meta);
    memset(h, 0, sizeof *h);
}

enum el_status el_gguf_read_header(const struct el_gguf_input *in, bool strict, struct el_gguf_header *h, struct el_err *err)
{
    memset(h, 0, sizeof *h);
    struct reader *const r = el_calloc_array(1, sizeof *r);
    h->meta = el_meta_new();
    enum el_status status;
    if (!r || !h->meta) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", in->path);
        goto out;
    }
    r->in = in;
    r->err = err;
    r->record = "header";
    r->c = in->file ? el_cursor_init(NULL, 0) : el_cursor_init(in->memory, (size_t)in->nbytes);
    uint64_t n_tensors = 0, n_kv = 0;
    EL_TRY_OUT(read_start(r, h, &n_tensors, &n_kv));
    EL_TRY_OUT(read_meta(r, h->meta, n_kv));
    status = el_gguf_alignment(h->meta, &h->alignment, err);
    if (status != EL_OK) {
        el_fail_prefix(err, status, "'%s'", in->path);
        goto out;
    }
    EL_TRY_OUT(read_entries(r, h, n_tensors));
    if (!el_align_u64(here(r), h->alignment, &h->data_offset)) {
        status = bad(r, EL_E_FORMAT, "the header's size overflows");
        goto out;
    }
    status = check_layout(r, h, strict);
out:
    if (r)
        el_free(r->window);
    el_free(r);
    if (status != EL_OK)
        el_gguf_header_release(h);
    return status;
}
