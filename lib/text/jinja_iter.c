/* Walking over values: what `for`, list(), join and the lazy filters share. */
#include "text/jinja_impl.h"

#include <string.h>

#include "base/utf8.h"

struct el_jiter *el_jinja_new_iter(struct el_jrun *r, el_jstep *step)
{
    struct el_jiter *const it = el_jinja_get(r, 1, sizeof *it);
    if (it) {
        memset(it, 0, sizeof *it);
        it->step = step;
    }
    return it;
}

struct el_jval el_jinja_generator(struct el_jrun *r, struct el_jiter *it)
{
    (void)r;
    return (struct el_jval){.kind = EL_J_ITER, .u.iter = it};
}

static bool step_list(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    (void)r;
    *end = it->at >= it->over.n;
    if (!*end)
        *out = it->over.u.v[it->at++];
    return true;
}

static bool step_chars(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    (void)r;
    uint32_t cp;
    *end = it->at >= it->over.n;
    if (!*end) {
        const char *const s = it->over.u.s + it->at;
        const size_t n = el_utf8_decode(s, it->over.n - it->at, &cp);
        *out = el_jv_str(s, n);
        it->at += n;
    }
    return true;
}

static bool step_pairs(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    *end = it->at >= it->over.n;
    if (*end)
        return true;
    const struct el_jpair *const p = &it->over.u.kv[it->at++];
    if (it->over.kind == EL_J_VIEW && it->over.sub == EL_J_ITEMS)
        return el_jv_pair(r, p->k, p->v, out);
    *out = it->over.kind == EL_J_VIEW && it->over.sub == EL_J_VALUES ? p->v : p->k;
    return true;
}

static bool step_range(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    (void)r;
    const struct el_jrange *const g = it->over.u.range;
    *end = it->at >= g->n;
    if (!*end)
        *out = el_jv_int((int64_t)((uint64_t)g->start + it->at++ * (uint64_t)g->step));
    return true;
}

static bool step_nothing(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    (void)r;
    (void)it;
    (void)out;
    *end = true;
    return true;
}

bool el_jinja_is_iterable(const struct el_jval *v)
{
    switch (v->kind) {
    case EL_J_UNDEF:
    case EL_J_STR:
    case EL_J_LIST:
    case EL_J_TUPLE:
    case EL_J_DICT:
    case EL_J_VIEW:
    case EL_J_RANGE:
    case EL_J_ITER: return true;
    default: return false;
    }
}

bool el_jinja_iter(struct el_jrun *r, const struct el_jval *v, struct el_jiter **out)
{
    el_jstep *step;
    switch (v->kind) {
    case EL_J_UNDEF: step = step_nothing; break;
    case EL_J_STR: step = step_chars; break;
    case EL_J_LIST:
    case EL_J_TUPLE: step = step_list; break;
    case EL_J_DICT:
    case EL_J_VIEW: step = step_pairs; break;
    case EL_J_RANGE: step = step_range; break;
    case EL_J_ITER: *out = v->u.iter; return true;
    default: return el_jinja_fail(r, "a %s cannot be walked over", el_jv_type(v));
    }
    *out = el_jinja_new_iter(r, step);
    if (*out)
        (*out)->over = *v;
    return *out != NULL;
}

bool el_jinja_next(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    if (!el_jinja_enter(r)) /* generators over generators call this again */
        return false;
    const bool ok = it->step(r, it, out, end);
    el_jinja_leave(r);
    return ok;
}

bool el_jinja_rest(struct el_jrun *r, struct el_jiter *it, struct el_jval *out)
{
    uint64_t cap = 8, n = 0;
    struct el_jval *v = el_jinja_get(r, cap, sizeof *v);
    for (bool end = false; v;) {
        struct el_jval item;
        if (!el_jinja_next(r, it, &item, &end))
            return false;
        if (end)
            break;
        if (n == cap) {
            struct el_jval *const more = el_jinja_get(r, cap * 2, sizeof *v);
            if (!more)
                return false;
            memcpy(more, v, n * sizeof *v);
            v = more;
            cap *= 2;
        }
        v[n++] = item;
    }
    *out = el_jv_list(v, (uint32_t)n);
    return v != NULL;
}

bool el_jinja_to_list(struct el_jrun *r, const struct el_jval *v, struct el_jval *out)
{
    struct el_jiter *it;
    if (v->kind == EL_J_LIST || v->kind == EL_J_TUPLE) {
        *out = el_jv_list(v->u.v, v->n);
        return true;
    }
    return el_jinja_iter(r, v, &it) && el_jinja_rest(r, it, out);
}
