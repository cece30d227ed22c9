/* Sources as the rest of the library sees them: accessors, overrides, and rows read in any row order. */
#include "tensor/source.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/locale_c.h"
#include "base/mem.h"
#include "base/sha256.h"

/* ---- row orders ---- */

/* Rows of one matrix to which the order applies, 0 when the order is void and everything stays where it is. */
static uint64_t order_period(const struct el_row_order *order)
{
    const uint64_t rows = (uint64_t)order->n_heads * order->head_rows;
    switch (order->kind) {
    case EL_ROWS_CANONICAL: return 0;
    case EL_ROWS_ROPE_PAIRS: return order->head_rows % 2 == 0 ? rows : 0;
    case EL_ROWS_QKV_BY_HEAD: return rows <= UINT64_MAX / 3 ? rows * 3 : 0;
    }
    return 0;
}

uint64_t el_row_order_map(const struct el_row_order *order, uint64_t r)
{
    const uint64_t period = order_period(order), d = order->head_rows;
    if (period == 0)
        return r;
    const uint64_t base = r - r % period, in = r % period;
    if (order->kind == EL_ROWS_ROPE_PAIRS) {
        const uint64_t head = in / d, k = in % d;
        return base + head * d + (k < d / 2 ? 2 * k : 2 * (k - d / 2) + 1);
    }
    const uint64_t part = in / (order->n_heads * d), head = in / d % order->n_heads;
    return base + head * 3 * d + part * d + in % d;
}

uint64_t el_row_order_unmap(const struct el_row_order *order, uint64_t f)
{
    const uint64_t period = order_period(order), d = order->head_rows;
    if (period == 0)
        return f;
    const uint64_t base = f - f % period, in = f % period;
    if (order->kind == EL_ROWS_ROPE_PAIRS) {
        const uint64_t head = in / d, k = in % d;
        return base + head * d + k / 2 + (k % 2) * (d / 2);
    }
    const uint64_t head = in / (3 * d), part = in / d % 3;
    return base + part * order->n_heads * d + head * d + in % d;
}

bool el_row_order_equal(const struct el_row_order *a, const struct el_row_order *b)
{
    if (order_period(a) == 0 || order_period(b) == 0)
        return order_period(a) == order_period(b);
    return a->kind == b->kind && a->n_heads == b->n_heads && a->head_rows == b->head_rows;
}

/* ---- tensors ---- */

enum el_status el_tensor_complete(struct el_tensor *t, struct el_err *err)
{
    if (t->n_dims < 1 || t->n_dims > EL_MAX_DIMS)
        return el_fail(err, EL_E_FORMAT, "%u dimensions, must be 1 to %d", t->n_dims, EL_MAX_DIMS);
    el_enc_name(&t->enc, t->enc_name);
    t->n_in = t->dims[t->n_dims - 1];
    t->n_rows = 1;
    uint64_t n_elems = t->n_in;
    for (uint32_t i = 0; i + 1 < t->n_dims; i++) {
        if (!el_mul_u64(t->n_rows, t->dims[i], &t->n_rows) || !el_mul_u64(n_elems, t->dims[i], &n_elems))
            return el_fail(err, EL_E_FORMAT, "number of elements overflows 64 bits at dimension %u, which is %llu", i,
                           (unsigned long long)t->dims[i]);
    }
    const uint32_t block = t->enc.e->block_n;
    if (block > 1 && t->n_in % block != 0)
        return el_fail(err, EL_E_FORMAT, "rows of %llu elements, must be a multiple of %u for %s", (unsigned long long)t->n_in,
                       block, t->enc_name);
    uint64_t nbytes = 0;
    bool fits = t->enc.e->parts(&t->enc, t->n_rows, t->n_in, t->parts, &t->n_parts);
    for (uint32_t p = 0; fits && p < t->n_parts; p++)
        fits = el_add_u64(nbytes, t->parts[p].nbytes, &nbytes);
    if (!fits || nbytes > INT64_MAX)
        return el_fail(err, EL_E_FORMAT, "%llu rows of %llu elements do not fit %s", (unsigned long long)t->n_rows,
                       (unsigned long long)t->n_in, t->enc_name);
    return EL_OK;
}

uint64_t el_tensor_nbytes(const struct el_tensor *t)
{
    uint64_t nbytes = 0; /* cannot overflow: el_tensor_complete has added them up */
    for (uint32_t p = 0; p < t->n_parts; p++)
        nbytes += t->parts[p].nbytes;
    return nbytes;
}

static void free_string(const char *s)
{
    void *p;
    memcpy(&p, &s, sizeof p); /* owned here, const for everyone else */
    el_free(p);
}

void el_tensors_free(struct el_tensor *tensors, size_t n)
{
    for (size_t i = 0; tensors && i < n; i++) {
        if (tensors[i].file_name != tensors[i].name)
            free_string(tensors[i].file_name);
        free_string(tensors[i].name);
    }
    el_free(tensors);
}

/* ---- accessors ---- */

void el_source_close(struct el_source *source)
{
    if (!source)
        return;
    if (source->ops && source->ops->close)
        source->ops->close(source);
    el_tensors_free(source->tensors, source->n_tensors);
    el_meta_free(source->meta);
    el_free(source->path);
    el_free(source);
}

const char *el_source_path(const struct el_source *source)
{
    return source->path;
}

const char *el_source_format(const struct el_source *source)
{
    return source->format;
}

const struct el_meta *el_source_meta(const struct el_source *source)
{
    return source->meta;
}

size_t el_source_n_tensors(const struct el_source *source)
{
    return source->n_tensors;
}

struct el_tensor_info el_source_tensor(const struct el_source *source, size_t i)
{
    const struct el_tensor *const t = &source->tensors[i];
    struct el_source *s;
    memcpy(&s, &source, sizeof s); /* the operation takes a mutable source for its other uses; naming a file changes nothing */
    struct el_tensor_info info = {
        .name = t->name,
        .file_name = t->file_name ? t->file_name : t->name,
        .encoding = t->enc_name,
        .n_dims = t->n_dims,
        .n_elems = t->n_rows * t->n_in,
        .nbytes = el_tensor_nbytes(t),
        .offset = t->offset,
        .file = source->ops->file(s, t->file),
    };
    memcpy(info.dims, t->dims, sizeof info.dims);
    return info;
}

size_t el_source_find(const struct el_source *s, const char *name)
{
    for (size_t i = 0; i < s->n_tensors; i++) {
        if (strcmp(s->tensors[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* ---- overrides ---- */

/* Keeps the integer type that the key has, when the value fits it: a reader that wants u32 must find u32. */
static enum el_status override_int(struct el_meta *m, const char *key, int64_t v, struct el_err *err)
{
    const size_t at = el_meta_find(m, key);
    const enum el_meta_type old = at == SIZE_MAX ? EL_META_ARR : el_meta_type(m, at);
    static const struct {
        enum el_meta_type type;
        int64_t min, max;
    } ranges[] = {
        {EL_META_U8, 0, UINT8_MAX},          {EL_META_I8, INT8_MIN, INT8_MAX},    {EL_META_U16, 0, UINT16_MAX},
        {EL_META_I16, INT16_MIN, INT16_MAX}, {EL_META_U32, 0, UINT32_MAX},        {EL_META_I32, INT32_MIN, INT32_MAX},
        {EL_META_U64, 0, INT64_MAX},         {EL_META_I64, INT64_MIN, INT64_MAX},
    };
    enum el_meta_type type = v < INT32_MIN || v > UINT32_MAX ? EL_META_I64 : v < 0 ? EL_META_I32 : EL_META_U32;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (ranges[i].type == old && v >= ranges[i].min && v <= ranges[i].max)
            type = old;
    }
    return el_meta_set_scalar(m, key, type, &v, err); /* little-endian: the low bytes are the value in any width */
}

static enum el_status override_float(struct el_meta *m, const char *key, double v, struct el_err *err)
{
    const size_t at = el_meta_find(m, key);
    if (at != SIZE_MAX && el_meta_type(m, at) == EL_META_F64)
        return el_meta_set_scalar(m, key, EL_META_F64, &v, err);
    return el_meta_set_f32(m, key, (float)v, err);
}

/* Does the key say how the rows of a tensor lie in the file? Only GGUF reads that at the time of use. */
static bool shapes_rows(const char *key)
{
    static const char *const ends[] = {".attention.head_count", ".attention.head_count_kv", ".attention.key_length",
                                       ".rope.dimension_count"};
    const size_t n = strlen(key);
    bool shapes = strcmp(key, "general.architecture") == 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && !shapes; i++) {
        const size_t n_end = strlen(ends[i]);
        shapes = n > n_end && strcmp(key + n - n_end, ends[i]) == 0;
    }
    return shapes;
}

enum el_status el_source_override(struct el_source *source, const char *key_type_value, struct el_err *err)
{
    const char *const eq = strchr(key_type_value, '=');
    const char *const colon = eq ? strchr(eq, ':') : NULL;
    if (!colon || eq == key_type_value)
        return el_fail(err, EL_E_USAGE, "override '%s': must be KEY=TYPE:VALUE with TYPE int, float, bool or str",
                       key_type_value);
    const char *const type = eq + 1, *const value = colon + 1;
    const size_t n_type = (size_t)(colon - type);
    char *const key = el_strndup(key_type_value, (size_t)(eq - key_type_value));
    if (!key)
        return el_fail(err, EL_E_MEMORY, "override '%s': out of memory", key_type_value);
    enum el_status status;
    char *end = NULL;
    errno = 0;
    if (!source->ops->meta_changed && shapes_rows(key)) {
        status = el_fail(err, EL_E_USAGE,
                         "override '%s': '%s' has been read by the architecture and head counts of its own configuration, which "
                         "cannot be overridden",
                         key, source->path);
    } else if (n_type == 3 && memcmp(type, "int", 3) == 0) {
        const long long v = strtoll(value, &end, 10);
        status = end == value || *end || errno ? el_fail(err, EL_E_USAGE, "override '%s': '%s' is no 64-bit integer", key, value)
                                               : override_int(source->meta, key, v, err);
    } else if (n_type == 5 && memcmp(type, "float", 5) == 0) {
        const double v = el_strtod_c(value, &end);
        status = end == value || *end || !isfinite(v)
                     ? el_fail(err, EL_E_USAGE, "override '%s': '%s' is no finite number", key, value)
                     : override_float(source->meta, key, v, err);
    } else if (n_type == 4 && memcmp(type, "bool", 4) == 0) {
        const bool yes = strcmp(value, "true") == 0;
        status = !yes && strcmp(value, "false") != 0
                     ? el_fail(err, EL_E_USAGE, "override '%s': '%s' must be true or false", key, value)
                     : el_meta_set_bool(source->meta, key, yes, err);
    } else if (n_type == 3 && memcmp(type, "str", 3) == 0) {
        status = el_meta_set_str(source->meta, key, value, strlen(value), err);
    } else {
        status = el_fail(err, EL_E_USAGE, "override '%s': type '%.*s', must be int, float, bool or str", key, (int)n_type, type);
    }
    source->tokenizer_changed |= status == EL_OK && strncmp(key, "tokenizer.", 10) == 0;
    if (status == EL_OK && source->ops->meta_changed)
        source->ops->meta_changed(source);
    el_free(key);
    return status;
}

/* ---- reading rows ---- */

/* A head's rows are fetched in one read up to this size; else row by row. */
enum { SPAN_NBYTES = 4 << 20, STRIP_NBYTES = 1 << 20 };

struct gather {
    struct el_source *s;
    const struct el_tensor *t;
    const struct el_row_order *want;
    uint32_t part;
    uint64_t row_nbytes;
    uint8_t *span; /* SPAN_NBYTES, made on first use */
};

/* File row of the source that belongs at row r of the wanted order. */
static uint64_t source_row(const struct gather *g, uint64_t r)
{
    return el_row_order_map(&g->t->order, el_row_order_unmap(g->want, r));
}

/*
 * Rows [row0, row0 + n) in the wanted order, n >= 1, into out. Neighbours in the output are neighbours in the file, or belong to
 * the same head: so take runs as they are, and for the rest read the span that a head's rows cover once and pick the rows from
 * it.
 */
static enum el_status gather_rows(struct gather *g, uint64_t row0, uint64_t n, uint8_t *out, struct el_err *err)
{
    const uint64_t nb = g->row_nbytes, span_rows = SPAN_NBYTES / nb;
    for (uint64_t i = 0; i < n;) {
        const uint64_t first = source_row(g, row0 + i);
        uint64_t run = 1, count = 1, lo = first, hi = first;
        while (i + run < n && source_row(g, row0 + i + run) == first + run)
            run++;
        for (; run == 1 && i + count < n; count++) {
            const uint64_t f = source_row(g, row0 + i + count);
            const uint64_t new_lo = f < lo ? f : lo, new_hi = f > hi ? f : hi;
            if (new_hi - new_lo >= span_rows || new_hi - new_lo > 4 * (uint64_t)g->t->order.head_rows)
                break;
            lo = new_lo;
            hi = new_hi;
        }
        if (run > 1 || count == 1) {
            EL_TRY(g->s->ops->read(g->s, g->t, g->part, first * nb, out + i * nb, run * nb, err));
            i += run;
            continue;
        }
        if (!g->span && !(g->span = el_alloc(SPAN_NBYTES)))
            return el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", g->t->name);
        EL_TRY(g->s->ops->read(g->s, g->t, g->part, lo * nb, g->span, (hi - lo + 1) * nb, err));
        for (uint64_t j = 0; j < count; j++)
            memcpy(out + (i + j) * nb, g->span + (source_row(g, row0 + i + j) - lo) * nb, nb);
        i += count;
    }
    return EL_OK;
}

/* The elements of a vector in the wanted order: read once, then picked. */
static enum el_status gather_elems(struct gather *g, uint64_t row0, uint64_t n, uint8_t *out, struct el_err *err)
{
    const struct el_tensor *const t = g->t;
    if (t->n_parts != 1 || t->enc.e->block_n != 1 || t->n_in == 0 || g->row_nbytes % t->n_in != 0)
        return el_fail(err, EL_E_UNSUPPORTED, "tensor '%s': elements of %s cannot be reordered", t->name, t->enc_name);
    const uint64_t nb = g->row_nbytes / t->n_in;
    uint8_t *const row = el_alloc((size_t)g->row_nbytes);
    if (!row)
        return el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
    enum el_status status = EL_OK;
    for (uint64_t r = 0; r < n && status == EL_OK; r++) {
        status = g->s->ops->read(g->s, t, 0, (row0 + r) * g->row_nbytes, row, g->row_nbytes, err);
        for (uint64_t i = 0; i < t->n_in && status == EL_OK; i++)
            memcpy(out + r * g->row_nbytes + i * nb, row + source_row(g, i) * nb, nb);
    }
    el_free(row);
    return status;
}

/* Does the order divide the rows (or elements) evenly? Else a mapped row could lie outside the tensor. */
static bool order_divides(const struct el_row_order *order, uint64_t n)
{
    const uint64_t period = order_period(order);
    return period == 0 || n % period == 0;
}

enum el_status el_source_read_parts(struct el_source *s, const struct el_tensor *t, const struct el_row_order *want,
                                    uint64_t row0, uint64_t n_rows, uint8_t *const parts_out[EL_MAX_PARTS], struct el_err *err)
{
    if (row0 > t->n_rows || n_rows > t->n_rows - row0)
        return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': rows %llu to %llu of %llu", s->path, t->name,
                       (unsigned long long)row0, (unsigned long long)(row0 + n_rows), (unsigned long long)t->n_rows);
    const bool by_elems = t->order_elems || t->n_rows == 1; /* one row has no order; a wanted order is one of its elements */
    const uint64_t n_ordered = by_elems ? t->n_in : t->n_rows;
    const bool as_it_lies = !want || el_row_order_equal(want, &t->order);
    if (!as_it_lies && (!order_divides(want, n_ordered) || !order_divides(&t->order, n_ordered)))
        return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': %llu %s are no whole number of heads", s->path, t->name,
                       (unsigned long long)n_ordered, by_elems ? "elements" : "rows");
    for (uint32_t p = 0; p < t->n_parts; p++) {
        const struct el_part_shape *const part = &t->parts[p];
        if (!parts_out[p])
            continue;
        if (part->row_nbytes == 0) {
            if (part->nbytes > 0)
                EL_TRY(s->ops->read(s, t, p, 0, parts_out[p], part->nbytes, err));
            continue;
        }
        if (n_rows == 0)
            continue;
        struct gather g = {.s = s, .t = t, .want = want, .part = p, .row_nbytes = part->row_nbytes};
        enum el_status status;
        if (as_it_lies) {
            status = s->ops->read(s, t, p, row0 * part->row_nbytes, parts_out[p], n_rows * part->row_nbytes, err);
        } else if (!by_elems) {
            status = gather_rows(&g, row0, n_rows, parts_out[p], err);
        } else {
            status = gather_elems(&g, row0, n_rows, parts_out[p], err);
        }
        el_free(g.span);
        EL_TRY(status);
    }
    return EL_OK;
}

/* Rows in the order `want` (NULL: the file's), decoded. */
static enum el_status read_rows(struct el_source *source, size_t tensor, const struct el_row_order *want, uint64_t row0,
                                uint64_t n_rows, float *out, struct el_err *err)
{
    if (tensor >= source->n_tensors)
        return el_fail(err, EL_E_USAGE, "'%s': tensor %zu of %zu", source->path, tensor, source->n_tensors);
    const struct el_tensor *const t = &source->tensors[tensor];
    if (row0 > t->n_rows || n_rows > t->n_rows - row0)
        return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': rows %llu to %llu of %llu", source->path, t->name,
                       (unsigned long long)row0, (unsigned long long)(row0 + n_rows), (unsigned long long)t->n_rows);
    if (n_rows == 0 || t->n_in == 0)
        return EL_OK;
    uint64_t all_rows_nbytes = 1;
    for (uint32_t p = 0; p < t->n_parts; p++)
        all_rows_nbytes += t->parts[p].row_nbytes;
    uint64_t strip = STRIP_NBYTES / all_rows_nbytes;
    strip = strip == 0 ? 1 : strip > n_rows ? n_rows : strip;

    enum el_status status = EL_OK;
    uint8_t *buf[EL_MAX_PARTS] = {NULL};
    struct el_matrix m = {.enc = t->enc, .n_in = t->n_in};
    for (uint32_t p = 0; p < t->n_parts; p++) {
        const struct el_part_shape *const part = &t->parts[p];
        const uint64_t nbytes = part->row_nbytes ? part->row_nbytes * strip : part->nbytes;
        if (nbytes > SIZE_MAX || !(buf[p] = el_alloc((size_t)nbytes))) {
            status = el_fail(err, EL_E_MEMORY, "'%s': tensor '%s': out of memory", source->path, t->name);
            goto out;
        }
        m.data[p] = buf[p];
        m.row_nbytes[p] = part->row_nbytes;
    }
    for (uint64_t r = 0; r < n_rows; r += strip) {
        const uint64_t n = n_rows - r < strip ? n_rows - r : strip;
        EL_TRY_OUT(el_source_read_parts(source, t, want, row0 + r, n, buf, err));
        m.n_rows = n;
        el_matrix_decode(&m, 0, n, out + r * t->n_in);
    }
out:
    for (uint32_t p = 0; p < EL_MAX_PARTS; p++)
        el_free(buf[p]);
    return status;
}

static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};

enum el_status el_source_read_rows(struct el_source *source, size_t tensor, uint64_t row0, uint64_t n_rows, float *out,
                                   struct el_err *err)
{
    return read_rows(source, tensor, NULL, row0, n_rows, out, err);
}

enum el_status el_source_read_canonical(struct el_source *source, size_t tensor, uint64_t row0, uint64_t n_rows, float *out,
                                        struct el_err *err)
{
    return read_rows(source, tensor, &canonical, row0, n_rows, out, err);
}

enum el_status el_source_hash_tensor(struct el_source *source, size_t tensor, char hex[65], struct el_err *err)
{
    if (tensor >= source->n_tensors)
        return el_fail(err, EL_E_USAGE, "'%s': tensor %zu of %zu", source->path, tensor, source->n_tensors);
    const struct el_tensor *const t = &source->tensors[tensor];
    struct el_sha256 *const hash = el_sha256_open();
    enum el_status status = hash ? EL_OK : EL_E_MEMORY;
    for (uint32_t p = 0; p < t->n_parts && status == EL_OK; p++) {
        const struct el_part_shape *const part = &t->parts[p];
        const uint64_t rows = part->row_nbytes ? STRIP_NBYTES / part->row_nbytes + 1 : 1;
        const uint64_t n_rows = part->row_nbytes ? t->n_rows : 1;
        uint8_t *const strip = el_alloc((size_t)(part->row_nbytes ? rows * part->row_nbytes : part->nbytes));
        uint8_t *parts[EL_MAX_PARTS] = {NULL};
        parts[p] = strip;
        status = strip ? EL_OK : EL_E_MEMORY;
        for (uint64_t r = 0; r < n_rows && status == EL_OK; r += rows) {
            const uint64_t n = n_rows - r < rows ? n_rows - r : rows;
            status = el_source_read_parts(source, t, &canonical, r, n, parts, err);
            if (status == EL_OK)
                el_sha256_add(hash, strip, (size_t)(part->row_nbytes ? n * part->row_nbytes : part->nbytes));
        }
        el_free(strip);
        if (status == EL_E_MEMORY)
            break;
    }
    if (hash)
        el_sha256_close(hash, hex);
    if (status == EL_E_MEMORY)
        return el_fail(err, EL_E_MEMORY, "'%s': tensor '%s': out of memory", source->path, t->name);
    return status;
}
