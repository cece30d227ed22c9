/* Metadata: an array of entries in file order, and a hash index over their keys. */
#include "tensor/meta.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/strmap.h"

/* Values are kept as they lie in files; reading them by memcpy is right on little-endian machines only. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "metadata values are stored little-endian");

struct entry {
    char *key;
    union {
        uint8_t scalar[8];
        void *data; /* elements of an array, or the bytes of strings, each with a NUL behind it */
    } v;
    uint64_t *starts; /* array of strings: n + 1 offsets into data */
    uint64_t n;       /* elements; of a lone string: bytes */
    uint8_t type, elem;
};

struct el_meta {
    struct entry *entries;
    size_t n, cap;
    struct el_strmap index; /* key -> entry */
};

static const struct {
    const char *name;
    size_t nbytes;
} types[] = {
    [EL_META_U8] = {"uint8", 1},    [EL_META_I8] = {"int8", 1},   [EL_META_U16] = {"uint16", 2},  [EL_META_I16] = {"int16", 2},
    [EL_META_U32] = {"uint32", 4},  [EL_META_I32] = {"int32", 4}, [EL_META_F32] = {"float32", 4}, [EL_META_BOOL] = {"bool", 1},
    [EL_META_STR] = {"string", 0},  [EL_META_ARR] = {"array", 0}, [EL_META_U64] = {"uint64", 8},  [EL_META_I64] = {"int64", 8},
    [EL_META_F64] = {"float64", 8},
};

static bool is_type(enum el_meta_type type)
{
    return (unsigned)type < sizeof types / sizeof types[0];
}

const char *el_meta_type_name(enum el_meta_type type)
{
    return is_type(type) ? types[type].name : "unknown type";
}

size_t el_meta_type_nbytes(enum el_meta_type type)
{
    return is_type(type) ? types[type].nbytes : 0;
}

/* ---- life ---- */

static bool on_heap(const struct entry *e)
{
    return e->type == EL_META_STR || e->type == EL_META_ARR;
}

static void value_release(struct entry *e)
{
    if (on_heap(e))
        el_free(e->v.data);
    el_free(e->starts);
    e->starts = NULL;
}

struct el_meta *el_meta_new(void)
{
    struct el_meta *const m = el_calloc_array(1, sizeof *m);
    if (m)
        el_strmap_init(&m->index);
    return m;
}

void el_meta_free(struct el_meta *meta)
{
    if (!meta)
        return;
    for (size_t i = 0; i < meta->n; i++) {
        value_release(&meta->entries[i]);
        el_free(meta->entries[i].key);
    }
    el_free(meta->entries);
    el_strmap_release(&meta->index);
    el_free(meta);
}

struct el_meta *el_meta_copy(const struct el_meta *meta)
{
    struct el_meta *const copy = el_meta_new();
    if (!copy)
        return NULL;
    for (size_t i = 0; i < meta->n; i++) {
        if (el_meta_set_from(copy, meta->entries[i].key, meta, i, NULL) != EL_OK) {
            el_meta_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* ---- writing ---- */

static enum el_status no_memory(const char *key, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "metadata '%s': out of memory", key);
}

/* Puts a finished value under a key; owns what value points to, in any case. */
static enum el_status put(struct el_meta *m, const char *key, struct entry value, struct el_err *err)
{
    const size_t at = el_meta_find(m, key);
    if (at != SIZE_MAX) {
        struct entry *const e = &m->entries[at];
        value_release(e);
        value.key = e->key;
        *e = value;
        return EL_OK;
    }
    if (m->n == m->cap) {
        const size_t cap = m->cap ? m->cap * 2 : 32;
        struct entry *const grown = el_realloc_array(m->entries, cap, sizeof *grown);
        if (!grown)
            goto fail;
        m->entries = grown;
        m->cap = cap;
    }
    value.key = el_strdup(key);
    if (!value.key)
        goto fail;
    if (!el_strmap_add(&m->index, value.key, strlen(key), (int64_t)m->n, NULL)) {
        el_free(value.key);
        goto fail;
    }
    m->entries[m->n++] = value;
    return EL_OK;
fail:
    value_release(&value);
    return no_memory(key, err);
}

enum el_status el_meta_set_scalar(struct el_meta *m, const char *key, enum el_meta_type type, const void *v, struct el_err *err)
{
    const size_t nbytes = el_meta_type_nbytes(type);
    assert(nbytes > 0);
    struct entry e = {.type = (uint8_t)type, .elem = (uint8_t)type, .n = 1};
    memcpy(e.v.scalar, v, nbytes);
    return put(m, key, e, err);
}

enum el_status el_meta_set_u32(struct el_meta *m, const char *key, uint32_t v, struct el_err *err)
{
    return el_meta_set_scalar(m, key, EL_META_U32, &v, err);
}

enum el_status el_meta_set_f32(struct el_meta *m, const char *key, float v, struct el_err *err)
{
    return el_meta_set_scalar(m, key, EL_META_F32, &v, err);
}

enum el_status el_meta_set_bool(struct el_meta *m, const char *key, bool v, struct el_err *err)
{
    const uint8_t byte = v;
    return el_meta_set_scalar(m, key, EL_META_BOOL, &byte, err);
}

enum el_status el_meta_set_str(struct el_meta *m, const char *key, const char *s, size_t nbytes, struct el_err *err)
{
    struct entry e = {.type = EL_META_STR, .elem = EL_META_STR, .n = nbytes};
    e.v.data = el_strndup(s, nbytes);
    if (!e.v.data)
        return no_memory(key, err);
    return put(m, key, e, err);
}

enum el_status el_meta_set_array(struct el_meta *m, const char *key, enum el_meta_type type, const void *data, size_t n,
                                 struct el_err *err)
{
    const size_t size = el_meta_type_nbytes(type);
    assert(size > 0);
    struct entry e = {.type = EL_META_ARR, .elem = (uint8_t)type, .n = n};
    e.v.data = el_alloc_array(n, size);
    if (!e.v.data)
        return no_memory(key, err);
    if (n > 0)
        memcpy(e.v.data, data, n * size);
    return put(m, key, e, err);
}

enum el_status el_meta_take_str_array(struct el_meta *m, const char *key, char *block, uint64_t *starts, size_t n,
                                      struct el_err *err)
{
    struct entry e = {.type = EL_META_ARR, .elem = EL_META_STR, .n = n, .starts = starts};
    e.v.data = block;
    return put(m, key, e, err);
}

enum el_status el_meta_set_str_array(struct el_meta *m, const char *key, const char *const *s, const size_t *nbytes, size_t n,
                                     struct el_err *err)
{
    uint64_t total = 0;
    bool fits = n < SIZE_MAX;
    for (size_t i = 0; i < n && fits; i++)
        fits = el_add_u64(total, nbytes ? nbytes[i] : strlen(s[i]), &total) && el_add_u64(total, 1, &total);
    char *const block = fits && total <= SIZE_MAX ? el_alloc((size_t)total) : NULL;
    uint64_t *const starts = fits ? el_alloc_array(n + 1, sizeof *starts) : NULL;
    if (!block || !starts) {
        el_free(block);
        el_free(starts);
        return no_memory(key, err);
    }
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t len = nbytes ? nbytes[i] : strlen(s[i]);
        starts[i] = at;
        if (len > 0)
            memcpy(block + at, s[i], len);
        block[at + len] = '\0';
        at += len + 1;
    }
    starts[n] = at;
    return el_meta_take_str_array(m, key, block, starts, n, err);
}

enum el_status el_meta_set_from(struct el_meta *m, const char *key, const struct el_meta *from, size_t i, struct el_err *err)
{
    const struct entry *const e = &from->entries[i];
    if (e->type == EL_META_STR)
        return el_meta_set_str(m, key, e->v.data, (size_t)e->n, err);
    if (e->type != EL_META_ARR)
        return el_meta_set_scalar(m, key, (enum el_meta_type)e->type, e->v.scalar, err);
    if (e->elem != EL_META_STR)
        return el_meta_set_array(m, key, (enum el_meta_type)e->elem, e->v.data, (size_t)e->n, err);
    const size_t nbytes = (size_t)e->starts[e->n];
    char *const block = el_alloc(nbytes);
    uint64_t *const starts = el_alloc_array((size_t)e->n + 1, sizeof *starts);
    if (!block || !starts) {
        el_free(block);
        el_free(starts);
        return no_memory(key, err);
    }
    if (nbytes > 0)
        memcpy(block, e->v.data, nbytes);
    memcpy(starts, e->starts, ((size_t)e->n + 1) * sizeof *starts);
    return el_meta_take_str_array(m, key, block, starts, (size_t)e->n, err);
}

void el_meta_remove(struct el_meta *m, const char *key)
{
    const size_t at = el_meta_find(m, key);
    if (at == SIZE_MAX)
        return;
    value_release(&m->entries[at]);
    el_free(m->entries[at].key);
    memmove(&m->entries[at], &m->entries[at + 1], (m->n - at - 1) * sizeof *m->entries);
    m->n--;
    /* The index has no removal: entries behind have moved anyway. An index cut short by lack of memory is searched linearly. */
    el_strmap_release(&m->index);
    el_strmap_init(&m->index);
    for (size_t i = 0; i < m->n; i++) {
        if (!el_strmap_add(&m->index, m->entries[i].key, strlen(m->entries[i].key), (int64_t)i, NULL))
            return;
    }
}

/* ---- reading ---- */

size_t el_meta_count(const struct el_meta *meta)
{
    return meta->n;
}

const char *el_meta_key(const struct el_meta *meta, size_t i)
{
    return i < meta->n ? meta->entries[i].key : NULL;
}

enum el_meta_type el_meta_type(const struct el_meta *meta, size_t i)
{
    return (enum el_meta_type)meta->entries[i].type;
}

enum el_meta_type el_meta_elem_type(const struct el_meta *meta, size_t i)
{
    return (enum el_meta_type)meta->entries[i].elem;
}

size_t el_meta_n_elems(const struct el_meta *meta, size_t i)
{
    return meta->entries[i].type == EL_META_ARR ? (size_t)meta->entries[i].n : 1;
}

size_t el_meta_find(const struct el_meta *meta, const char *key)
{
    const size_t nbytes = strlen(key);
    const int64_t at = el_strmap_get(&meta->index, key, nbytes, -1);
    if (at >= 0)
        return (size_t)at;
    if (meta->index.count == meta->n)
        return SIZE_MAX;
    for (size_t i = 0; i < meta->n; i++) {
        if (strcmp(meta->entries[i].key, key) == 0)
            return i;
    }
    return SIZE_MAX;
}

const void *el_meta_raw(const struct el_meta *m, size_t i)
{
    const struct entry *const e = &m->entries[i];
    if (e->elem == EL_META_STR)
        return NULL;
    return e->type == EL_META_ARR ? e->v.data : e->v.scalar;
}

/* A number as the widest of its kind. */
struct number {
    enum { SIGNED, UNSIGNED, FLOATING } kind;
    int64_t i;
    uint64_t u;
    double f;
};

#define LOAD(T, var, p)                                                                                                          \
    T var;                                                                                                                       \
    memcpy(&var, p, sizeof var)

static struct number load(const struct entry *e, size_t j)
{
    const size_t size = el_meta_type_nbytes((enum el_meta_type)e->elem);
    assert(size > 0); /* the caller asks el_meta_elem_type first */
    const uint8_t *const p = (e->type == EL_META_ARR ? (const uint8_t *)e->v.data : e->v.scalar) + j * size;
    switch ((enum el_meta_type)e->elem) {
    case EL_META_I8: {
        LOAD(int8_t, x, p);
        return (struct number){.kind = SIGNED, .i = x};
    }
    case EL_META_I16: {
        LOAD(int16_t, x, p);
        return (struct number){.kind = SIGNED, .i = x};
    }
    case EL_META_I32: {
        LOAD(int32_t, x, p);
        return (struct number){.kind = SIGNED, .i = x};
    }
    case EL_META_I64: {
        LOAD(int64_t, x, p);
        return (struct number){.kind = SIGNED, .i = x};
    }
    case EL_META_U16: {
        LOAD(uint16_t, x, p);
        return (struct number){.kind = UNSIGNED, .u = x};
    }
    case EL_META_U32: {
        LOAD(uint32_t, x, p);
        return (struct number){.kind = UNSIGNED, .u = x};
    }
    case EL_META_U64: {
        LOAD(uint64_t, x, p);
        return (struct number){.kind = UNSIGNED, .u = x};
    }
    case EL_META_F32: {
        LOAD(float, x, p);
        return (struct number){.kind = FLOATING, .f = (double)x};
    }
    case EL_META_F64: {
        LOAD(double, x, p);
        return (struct number){.kind = FLOATING, .f = x};
    }
    case EL_META_U8:
    case EL_META_BOOL: return (struct number){.kind = UNSIGNED, .u = *p};
    case EL_META_STR:
    case EL_META_ARR: break;
    }
    return (struct number){.kind = UNSIGNED, .u = 0};
}

/* Saturates instead of wrapping, and makes 0 of NaN: what a file says must never be undefined behaviour. */
int64_t el_meta_int(const struct el_meta *meta, size_t i, size_t j)
{
    const struct number x = load(&meta->entries[i], j);
    if (x.kind == SIGNED)
        return x.i;
    if (x.kind == UNSIGNED)
        return x.u > INT64_MAX ? INT64_MAX : (int64_t)x.u;
    if (isnan(x.f))
        return 0;
    if (x.f >= 9223372036854775808.0)
        return INT64_MAX;
    return x.f <= -9223372036854775808.0 ? INT64_MIN : (int64_t)x.f;
}

double el_meta_float(const struct el_meta *meta, size_t i, size_t j)
{
    const struct number x = load(&meta->entries[i], j);
    return x.kind == FLOATING ? x.f : x.kind == SIGNED ? (double)x.i : (double)x.u;
}

const char *el_meta_str(const struct el_meta *meta, size_t i, size_t j, size_t *nbytes)
{
    const struct entry *const e = &meta->entries[i];
    assert(e->elem == EL_META_STR);
    const char *const data = e->v.data;
    if (e->type == EL_META_STR) {
        if (nbytes)
            *nbytes = (size_t)e->n;
        return data;
    }
    if (nbytes)
        *nbytes = (size_t)(e->starts[j + 1] - e->starts[j] - 1);
    return data + e->starts[j];
}

bool el_meta_value_equal(const struct el_meta *a, size_t i, const struct el_meta *b, size_t j)
{
    const struct entry *const x = &a->entries[i], *const y = &b->entries[j];
    if (x->type != y->type || x->elem != y->elem || x->n != y->n)
        return false;
    const size_t size = el_meta_type_nbytes((enum el_meta_type)x->elem);
    if (!on_heap(x))
        return memcmp(x->v.scalar, y->v.scalar, size) == 0;
    if (x->starts && memcmp(x->starts, y->starts, ((size_t)x->n + 1) * sizeof *x->starts) != 0)
        return false;
    const size_t nbytes = x->starts ? (size_t)x->starts[x->n] : x->type == EL_META_STR ? (size_t)x->n : (size_t)x->n * size;
    return nbytes == 0 || memcmp(x->v.data, y->v.data, nbytes) == 0;
}

bool el_meta_equal(const struct el_meta *a, const struct el_meta *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = strcmp(a->entries[i].key, b->entries[i].key) == 0 && el_meta_value_equal(a, i, b, i);
    return equal;
}

/* ---- typed look-up ---- */

static enum el_status wrong_type(const struct entry *e, const char *allowed, struct el_err *err)
{
    if (e->type == EL_META_ARR)
        return el_fail(err, EL_E_FORMAT, "metadata '%s': an array of %s, must be %s", e->key,
                       el_meta_type_name((enum el_meta_type)e->elem), allowed);
    return el_fail(err, EL_E_FORMAT, "metadata '%s': of type %s, must be %s", e->key,
                   el_meta_type_name((enum el_meta_type)e->type), allowed);
}

static enum el_status get_u32(const struct el_meta *m, size_t at, uint32_t min, uint32_t max, uint32_t *out, struct el_err *err)
{
    const struct entry *const e = &m->entries[at];
    if (on_heap(e) || e->type == EL_META_BOOL || e->type == EL_META_F32 || e->type == EL_META_F64)
        return wrong_type(e, "an integer", err);
    const struct number x = load(e, 0);
    if (x.kind == SIGNED && x.i < 0)
        return el_fail(err, EL_E_FORMAT, "metadata '%s': %lld, must be %lu to %lu", e->key, (long long)x.i, (unsigned long)min,
                       (unsigned long)max);
    const uint64_t u = x.kind == SIGNED ? (uint64_t)x.i : x.u;
    if (u < min || u > max)
        return el_fail(err, EL_E_FORMAT, "metadata '%s': %llu, must be %lu to %lu", e->key, (unsigned long long)u,
                       (unsigned long)min, (unsigned long)max);
    *out = (uint32_t)u;
    return EL_OK;
}

enum el_status el_meta_get_u32(const struct el_meta *m, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                               struct el_err *err)
{
    *out = 0;
    const size_t at = el_meta_find(m, key);
    if (at == SIZE_MAX)
        return el_fail(err, EL_E_FORMAT, "metadata '%s': missing, must be an integer", key);
    return get_u32(m, at, min, max, out, err);
}

enum el_status el_meta_get_u32_or(const struct el_meta *m, const char *key, uint32_t min, uint32_t max, uint32_t missing,
                                  uint32_t *out, struct el_err *err)
{
    *out = missing;
    const size_t at = el_meta_find(m, key);
    return at == SIZE_MAX ? EL_OK : get_u32(m, at, min, max, out, err);
}

enum el_status el_meta_get_f32_or(const struct el_meta *m, const char *key, float missing, float *out, struct el_err *err)
{
    *out = missing;
    const size_t at = el_meta_find(m, key);
    if (at == SIZE_MAX)
        return EL_OK;
    const struct entry *const e = &m->entries[at];
    if (on_heap(e) || e->type == EL_META_BOOL)
        return wrong_type(e, "a number", err);
    *out = (float)el_meta_float(m, at, 0);
    return EL_OK;
}

enum el_status el_meta_get_bool_or(const struct el_meta *m, const char *key, bool missing, bool *out, struct el_err *err)
{
    *out = missing;
    const size_t at = el_meta_find(m, key);
    if (at == SIZE_MAX)
        return EL_OK;
    const struct entry *const e = &m->entries[at];
    if (e->type != EL_META_BOOL)
        return wrong_type(e, "bool", err);
    *out = e->v.scalar[0] != 0;
    return EL_OK;
}

enum el_status el_meta_get_str_or(const struct el_meta *m, const char *key, const char **out, struct el_err *err)
{
    *out = NULL;
    const size_t at = el_meta_find(m, key);
    if (at == SIZE_MAX)
        return EL_OK;
    const struct entry *const e = &m->entries[at];
    if (e->type != EL_META_STR)
        return wrong_type(e, "a string", err);
    *out = e->v.data;
    return EL_OK;
}
