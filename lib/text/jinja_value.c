/* Values of the Jinja interpreter: the arena they lie in, truth, equality, order, look-up. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/locale_c.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

struct el_jchunk {
    struct el_jchunk *next;
};

enum { FIRST_CHUNK = 16 << 10, LARGE_CHUNK = 1 << 20, HEAD = 16 };
_Static_assert(sizeof(struct el_jval) == 16, "lists of values are as small as that");
_Static_assert(sizeof(struct el_jchunk) <= HEAD, "what follows the head is aligned");

void el_jarena_release(struct el_jarena *a)
{
    while (a->chunks) {
        struct el_jchunk *const next = a->chunks->next;
        el_free(a->chunks);
        a->chunks = next;
    }
    a->top = a->end = NULL;
    a->nbytes = 0;
}

void *el_jarena_get(struct el_jarena *a, uint64_t nbytes, size_t align)
{
    const size_t pad = (size_t)(-(uintptr_t)a->top & (align - 1));
    if (a->top && (uint64_t)(a->end - a->top) >= pad && (uint64_t)(a->end - a->top) - pad >= nbytes) {
        char *const p = a->top + pad;
        a->top = p + nbytes;
        return p;
    }
    /* Chunks grow with what is there, so that there are few of them. */
    uint64_t want = a->nbytes < FIRST_CHUNK ? FIRST_CHUNK : a->nbytes < LARGE_CHUNK ? a->nbytes : LARGE_CHUNK;
    if (want < nbytes)
        want = nbytes;
    if (nbytes > a->max_nbytes || a->nbytes + want > a->max_nbytes)
        return NULL;
    struct el_jchunk *const chunk = el_alloc((size_t)want + HEAD);
    if (!chunk)
        return NULL;
    chunk->next = a->chunks;
    a->chunks = chunk;
    a->nbytes += want;
    a->top = (char *)chunk + HEAD + nbytes;
    a->end = (char *)chunk + HEAD + want;
    return (char *)chunk + HEAD;
}

/* ---- errors and limits -------------------------------------------------------------------------------------------- */

static void EL_PRINTF(3, 0) fail_text(struct el_jrun *r, enum el_status code, const char *fmt, va_list args)
{
    char text[400];
    if (r->status != EL_OK) /* the first error is the one */
        return;
    (void)el_vsnprintf_c(text, sizeof text, fmt, args);
    r->status = el_fail(r->err, code, "%s: line %u: %s", r->t->what, r->line, text);
}

bool el_jinja_fail(struct el_jrun *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail_text(r, EL_E_FORMAT, fmt, args);
    va_end(args);
    return false;
}

bool el_jinja_fail_as(struct el_jrun *r, enum el_status code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail_text(r, code, fmt, args);
    va_end(args);
    return false;
}

bool el_jinja_no_memory(struct el_jrun *r)
{
    if (r->arena.nbytes + r->texts.nbytes > EL_JINJA_MAX_MEMORY / 2)
        return el_jinja_fail(r, "values of more than %d bytes", (int)EL_JINJA_MAX_MEMORY);
    return el_jinja_fail_as(r, EL_E_MEMORY, "out of memory, or a value of more than %d bytes", (int)EL_JINJA_MAX_MEMORY);
}

bool el_jinja_tick(struct el_jrun *r, uint64_t n)
{
    const uint64_t before = r->steps;
    if (!el_add_u64(r->steps, n, &r->steps) || r->steps > EL_JINJA_MAX_STEPS)
        return el_jinja_fail(r, "more than %d steps", (int)EL_JINJA_MAX_STEPS);
    if (before >> 12 != r->steps >> 12 && el_interrupted())
        return el_jinja_fail_as(r, EL_E_INTERRUPTED, "interrupted");
    return true;
}

bool el_jinja_enter(struct el_jrun *r)
{
    if (r->depth >= EL_JINJA_MAX_DEPTH)
        return el_jinja_fail(r, "evaluations nested deeper than %d", (int)EL_JINJA_MAX_DEPTH);
    if (!el_jinja_tick(r, 1))
        return false;
    r->depth++;
    return true;
}

void *el_jinja_get(struct el_jrun *r, uint64_t n, size_t size)
{
    uint64_t nbytes;
    void *p = NULL;
    r->arena.max_nbytes = EL_JINJA_MAX_MEMORY - r->texts.nbytes;
    if (el_mul_u64(n, size, &nbytes))
        p = el_jarena_get(&r->arena, nbytes, 8);
    if (!p)
        (void)el_jinja_no_memory(r);
    return p;
}

/* ---- making ------------------------------------------------------------------------------------------------------- */

struct el_jval el_jv_lit(const char *s)
{
    return el_jv_str(s, strlen(s));
}

struct el_jval el_jv_undef(struct el_jval name, uint8_t flags)
{
    name.kind = EL_J_UNDEF;
    name.flags = flags;
    return name;
}

bool el_jv_pair(struct el_jrun *r, struct el_jval a, struct el_jval b, struct el_jval *out)
{
    struct el_jval *const v = el_jinja_get(r, 2, sizeof *v);
    if (!v)
        return false;
    v[0] = a;
    v[1] = b;
    *out = el_jv_tuple(v, 2);
    return true;
}

bool el_jv_is(const struct el_jval *v, const char *text)
{
    return v->kind == EL_J_STR && v->n == strlen(text) && memcmp(v->u.s, text, v->n) == 0;
}

bool el_jv_as_int(const struct el_jval *v, int64_t *i)
{
    if (v->kind != EL_J_INT && v->kind != EL_J_BOOL)
        return false;
    *i = v->kind == EL_J_INT ? v->u.i : v->u.b;
    return true;
}

const char *el_jv_type(const struct el_jval *v)
{
    static const char *const names[] = {
        [EL_J_MISSING] = "nothing", [EL_J_UNDEF] = "Undefined", [EL_J_NONE] = "NoneType",    [EL_J_BOOL] = "bool",
        [EL_J_INT] = "int",         [EL_J_BIG] = "int",         [EL_J_FLOAT] = "float",      [EL_J_STR] = "str",
        [EL_J_LIST] = "list",       [EL_J_TUPLE] = "tuple",     [EL_J_DICT] = "dict",        [EL_J_VIEW] = "dict view",
        [EL_J_RANGE] = "range",     [EL_J_ITER] = "generator",  [EL_J_NS] = "Namespace",     [EL_J_MACRO] = "Macro",
        [EL_J_FN] = "function",     [EL_J_METHOD] = "method",   [EL_J_LOOP] = "LoopContext", [EL_J_CYCLER] = "Cycler",
        [EL_J_JOINER] = "Joiner",
    };
    return names[v->kind];
}

/* ---- strings as characters ---------------------------------------------------------------------------------------- */

uint32_t el_jv_n_chars(struct el_jval s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.u.s[i] & 0xc0) != 0x80;
    return n;
}

uint32_t el_jv_char_at(struct el_jval s, uint32_t i)
{
    uint32_t at = 0;
    for (;; at++) {
        if (at >= s.n)
            return s.n;
        if (((unsigned char)s.u.s[at] & 0xc0) != 0x80 && i-- == 0)
            return at;
    }
}

/* ---- truth, equality, order --------------------------------------------------------------------------------------- */

bool el_jv_truth(struct el_jrun *r, const struct el_jval *v, bool *out)
{
    (void)r;
    switch (v->kind) {
    case EL_J_MISSING:
    case EL_J_UNDEF:
    case EL_J_NONE: *out = false; break;
    case EL_J_BOOL: *out = v->u.b; break;
    case EL_J_INT: *out = v->u.i != 0; break;
    case EL_J_FLOAT: *out = v->u.d != 0; break;
    case EL_J_STR:
    case EL_J_LIST:
    case EL_J_TUPLE:
    case EL_J_DICT:
    case EL_J_VIEW: *out = v->n != 0; break;
    case EL_J_RANGE: *out = v->u.range->n != 0; break;
    default: *out = true;
    }
    return true;
}

/* Exact comparison of an integer and a float: -1, 0, 1; 2 with a NaN. */
static int compare_int_float(int64_t i, double d)
{
    if (isnan(d))
        return 2;
    if (d >= 9223372036854775808.0)
        return -1;
    if (d < -9223372036854775808.0)
        return 1;
    const int64_t whole = (int64_t)d;
    if (i != whole)
        return i < whole ? -1 : 1;
    const double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

/* Length first, then digits: both have the form of JSON integers beyond 64 bits. */
static int compare_big(const struct el_jval *a, const struct el_jval *b)
{
    const bool na = a->u.s[0] == '-', nb = b->u.s[0] == '-';
    if (na != nb)
        return na ? -1 : 1;
    const int c = a->n != b->n ? (a->n < b->n ? -1 : 1) : memcmp(a->u.s, b->u.s, a->n);
    return c == 0 ? 0 : (c < 0) != na ? -1 : 1;
}

static int compare_numbers(const struct el_jval *a, const struct el_jval *b)
{
    int64_t i = 0, j = 0;
    if (a->kind == EL_J_BIG && b->kind == EL_J_BIG)
        return compare_big(a, b);
    if (a->kind == EL_J_BIG || b->kind == EL_J_BIG) {
        const struct el_jval *const big = a->kind == EL_J_BIG ? a : b, *const other = big == a ? b : a;
        const double d = el_strtod_c(big->u.s, NULL); /* its digits are followed by a NUL */
        int c;
        if (other->kind == EL_J_FLOAT)
            c = isnan(other->u.d) ? 2 : d < other->u.d ? -1 : d > other->u.d;
        else
            c = big->u.s[0] == '-' ? -1 : 1;
        return c == 2 || big == a ? c : -c;
    }
    if (el_jv_as_int(a, &i) && el_jv_as_int(b, &j))
        return i < j ? -1 : i > j;
    if (a->kind == EL_J_FLOAT && b->kind == EL_J_FLOAT)
        return isnan(a->u.d) || isnan(b->u.d) ? 2 : a->u.d < b->u.d ? -1 : a->u.d > b->u.d;
    if (el_jv_as_int(a, &i))
        return compare_int_float(i, b->u.d);
    (void)el_jv_as_int(b, &j);
    const int c = compare_int_float(j, a->u.d);
    return c == 2 ? 2 : -c;
}

static int compare_strings(const struct el_jval *a, const struct el_jval *b)
{
    const int c = memcmp(a->u.s, b->u.s, a->n < b->n ? a->n : b->n);
    return c ? (c < 0 ? -1 : 1) : a->n < b->n ? -1 : a->n > b->n;
}

static bool equal_dicts(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        const struct el_jval *other;
        if (!el_jv_find(r, b, &a->u.kv[i].k, &other))
            return false;
        *out = other != NULL;
        if (other && !el_jv_equal(r, &a->u.kv[i].v, other, out))
            return false;
    }
    return true;
}

static bool equal_inside(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, bool *out)
{
    switch (a->kind) {
    case EL_J_UNDEF:
    case EL_J_NONE: *out = true; break;
    case EL_J_STR: *out = a->n == b->n && memcmp(a->u.s, b->u.s, a->n) == 0; break;
    case EL_J_LIST:
    case EL_J_TUPLE:
        *out = a->n == b->n;
        for (uint32_t i = 0; *out && i < a->n; i++)
            if (!el_jv_equal(r, &a->u.v[i], &b->u.v[i], out))
                return false;
        break;
    case EL_J_DICT: return equal_dicts(r, a, b, out);
    case EL_J_RANGE: {
        const struct el_jrange *const x = a->u.range, *const y = b->u.range;
        *out = x->n == y->n && (x->n == 0 || (x->start == y->start && (x->n == 1 || x->step == y->step)));
        break;
    }
    case EL_J_FN: *out = a->sub == b->sub; break;
    case EL_J_VIEW: *out = a->sub == b->sub && a->u.kv == b->u.kv; break;
    default: *out = a->u.iter == b->u.iter; break; /* objects: the same one? */
    }
    return true;
}

bool el_jv_equal(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, bool *out)
{
    *out = false;
    if (el_jv_is_number(a) && el_jv_is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return true;
    }
    if (a->kind != b->kind)
        return true;
    if (!el_jinja_enter(r) || (a->kind == EL_J_STR && !el_jinja_tick(r, a->n / 64)))
        return false;
    const bool ok = equal_inside(r, a, b, out);
    el_jinja_leave(r);
    return ok;
}

bool el_jv_compare(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, int *out)
{
    if (!el_jinja_tick(r, 1))
        return false;
    if (el_jv_is_number(a) && el_jv_is_number(b)) {
        *out = compare_numbers(a, b);
        return true;
    }
    if (a->kind == EL_J_STR && b->kind == EL_J_STR) {
        *out = compare_strings(a, b);
        return el_jinja_tick(r, a->n / 64);
    }
    if (a->kind != b->kind || (a->kind != EL_J_LIST && a->kind != EL_J_TUPLE)) {
        if (a->kind == EL_J_UNDEF || b->kind == EL_J_UNDEF)
            return el_jinja_use_undef(r, a->kind == EL_J_UNDEF ? a : b);
        return el_jinja_fail(r, "%s and %s have no order", el_jv_type(a), el_jv_type(b));
    }
    const uint32_t n = a->n < b->n ? a->n : b->n;
    for (uint32_t i = 0; i < n; i++) {
        bool same;
        if (!el_jv_equal(r, &a->u.v[i], &b->u.v[i], &same))
            return false;
        if (same)
            continue;
        if (!el_jinja_enter(r))
            return false;
        const bool ok = el_jv_compare(r, &a->u.v[i], &b->u.v[i], out);
        el_jinja_leave(r);
        return ok;
    }
    *out = a->n < b->n ? -1 : a->n > b->n;
    return true;
}

/* ---- dictionaries ------------------------------------------------------------------------------------------------- */

bool el_jv_hashable(const struct el_jval *v)
{
    if (v->kind == EL_J_TUPLE) {
        for (uint32_t i = 0; i < v->n; i++)
            if (v->u.v[i].kind == EL_J_TUPLE ? v->u.v[i].n != 0 : !el_jv_hashable(&v->u.v[i]))
                return false; /* tuples within tuples as keys: nobody needs them */
        return true;
    }
    return v->kind != EL_J_LIST && v->kind != EL_J_DICT && v->kind != EL_J_VIEW && v->kind != EL_J_MISSING;
}

const struct el_jval *el_jv_find_str(const struct el_jpair *kv, uint32_t n, const char *s, size_t nbytes)
{
    for (uint32_t i = 0; i < n; i++)
        if (kv[i].k.kind == EL_J_STR && kv[i].k.n == nbytes && memcmp(kv[i].k.u.s, s, nbytes) == 0)
            return &kv[i].v;
    return NULL;
}

static bool find_in(struct el_jrun *r, const struct el_jpair *kv, uint32_t n, const struct el_jval *key,
                    const struct el_jval **out)
{
    *out = NULL;
    if (!el_jv_hashable(key))
        return el_jinja_fail(r, "a %s cannot be a key", el_jv_type(key));
    if (!el_jinja_tick(r, n / 8))
        return false;
    if (key->kind == EL_J_STR) {
        *out = el_jv_find_str(kv, n, key->u.s, key->n);
        return true;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool same;
        if (!el_jv_equal(r, &kv[i].k, key, &same))
            return false;
        if (same) {
            *out = &kv[i].v;
            return true;
        }
    }
    return true;
}

bool el_jv_find(struct el_jrun *r, const struct el_jval *dict, const struct el_jval *key, const struct el_jval **out)
{
    return find_in(r, dict->u.kv, dict->n, key, out);
}

bool el_jv_put(struct el_jrun *r, struct el_jpair *kv, uint32_t *n, struct el_jval k, struct el_jval v)
{
    const struct el_jval *at;
    if (!find_in(r, kv, *n, &k, &at))
        return false;
    for (uint32_t i = 0; at && i < *n; i++) {
        if (&kv[i].v == at) {
            kv[i].v = v;
            return true;
        }
    }
    kv[*n] = (struct el_jpair){k, v};
    ++*n;
    return true;
}

/* ---- containers --------------------------------------------------------------------------------------------------- */

static bool contains_walk(struct el_jrun *r, const struct el_jval *box, const struct el_jval *v, bool *out)
{
    struct el_jiter *it;
    *out = false;
    if (!el_jinja_iter(r, box, &it))
        return false;
    for (;;) {
        struct el_jval item;
        bool end;
        if (!el_jinja_next(r, it, &item, &end))
            return false;
        if (end)
            return true;
        if (!el_jv_equal(r, &item, v, out))
            return false;
        if (*out)
            return true;
    }
}

bool el_jv_contains(struct el_jrun *r, const struct el_jval *box, const struct el_jval *v, bool *out)
{
    const struct el_jval *found;
    switch (box->kind) {
    case EL_J_STR:
        if (v->kind == EL_J_UNDEF)
            return el_jinja_use_undef(r, v);
        if (v->kind != EL_J_STR)
            return el_jinja_fail(r, "in: a %s cannot be in a string", el_jv_type(v));
        if (!el_jinja_tick(r, box->n / 64))
            return false;
        *out = el_jinja_find(*box, *v, 0) >= 0;
        return true;
    case EL_J_DICT:
        if (!el_jv_find(r, box, v, &found))
            return false;
        *out = found != NULL;
        return true;
    default:
        if (!el_jinja_is_iterable(box))
            return el_jinja_fail(r, "in: a %s contains nothing", el_jv_type(box));
        return contains_walk(r, box, v, out);
    }
}

bool el_jv_length(struct el_jrun *r, const struct el_jval *v, uint32_t *out)
{
    switch (v->kind) {
    case EL_J_UNDEF: *out = 0; break;
    case EL_J_STR:
        if (!el_jinja_tick(r, v->n / 64))
            return false;
        *out = el_jv_n_chars(*v);
        break;
    case EL_J_LIST:
    case EL_J_TUPLE:
    case EL_J_DICT:
    case EL_J_VIEW: *out = v->n; break;
    case EL_J_RANGE: *out = v->u.range->n; break;
    default: return el_jinja_fail(r, "a %s has no length", el_jv_type(v));
    }
    return true;
}
