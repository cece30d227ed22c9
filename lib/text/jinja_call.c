/* Calls: arguments to parameters, global functions, everything callable. */
#include <string.h>

#include "text/jinja_impl.h"

enum { MAX_PARAMS = 8 };

/* The index of a parameter by name, or -1. */
static int param_index(const char *params, struct el_jval name)
{
    int i = 0;
    for (const char *p = params; *p; i++) {
        const size_t n = strcspn(p, ",");
        if (n == name.n && memcmp(p, name.u.s, n) == 0)
            return i;
        p += n + (p[n] == ',');
    }
    return -1;
}

static unsigned count_params(const char *params)
{
    unsigned n = *params != '\0';
    for (; *params; params++)
        n += *params == ',';
    return n;
}

bool el_jinja_call_def(struct el_jrun *r, const struct el_jdef *def, const struct el_jval *self, const struct el_jargs *a,
                       struct el_jval *out)
{
    struct el_jval v[MAX_PARAMS];
    if (!def->params)
        return def->fn(r, self, a, out);
    const unsigned n = count_params(def->params);
    if (a->n > n)
        return el_jinja_fail(r, "%s: %u arguments, at most %u", def->name, a->n, n);
    for (unsigned i = 0; i < n; i++)
        v[i] = i < a->n ? a->v[i] : el_jv(EL_J_MISSING);
    for (uint32_t k = 0; k < a->n_kw; k++) {
        const int i = param_index(def->params, a->kw[k].name);
        if (i < 0 || v[i].kind != EL_J_MISSING)
            return el_jinja_fail(r, "%s: argument '%.*s' is not known, or stands twice", def->name, (int)a->kw[k].name.n,
                                 a->kw[k].name.u.s);
        v[i] = a->kw[k].v;
    }
    for (unsigned i = 0; i < def->need; i++)
        if (v[i].kind == EL_J_MISSING)
            return el_jinja_fail(r, "%s: argument %u is missing", def->name, i + 1);
    const struct el_jargs bound = {.v = v, .n = n};
    return def->fn(r, self, &bound, out);
}

bool el_jarg_int(struct el_jrun *r, const struct el_jval *v, int64_t missing, const char *what, int64_t *out)
{
    *out = missing;
    if (v->kind == EL_J_MISSING || el_jv_as_int(v, out))
        return true;
    if (v->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, v);
    return el_jinja_fail(r, "%s is a %s, not an integer", what, el_jv_type(v));
}

bool el_jarg_truth(struct el_jrun *r, const struct el_jval *v, bool missing, bool *out)
{
    *out = missing;
    return v->kind == EL_J_MISSING || el_jv_truth(r, v, out);
}

bool el_jarg_str(struct el_jrun *r, const struct el_jval *v, const char *what, struct el_jval *out)
{
    *out = *v;
    if (v->kind == EL_J_STR)
        return true;
    if (v->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, v);
    return el_jinja_fail(r, "%s is a %s, not a string", what, el_jv_type(v));
}

/* ---- global functions --------------------------------------------------------------------------------------------- */

static bool fn_range(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    int64_t v[3] = {0, 0, 1};
    (void)self;
    if (a->n_kw || a->n < 1 || a->n > 3)
        return el_jinja_fail(r, "range takes 1 to 3 integers");
    for (uint32_t i = 0; i < a->n; i++)
        if (!el_jarg_int(r, &a->v[i], 0, "an argument of range", &v[a->n == 1 ? 1 : i]))
            return false;
    if (v[2] == 0)
        return el_jinja_fail(r, "range with step zero");
    uint64_t n = 0;
    if (v[2] > 0 ? v[0] < v[1] : v[0] > v[1]) {
        const uint64_t span = v[2] > 0 ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
        n = (span - 1) / (v[2] > 0 ? (uint64_t)v[2] : -(uint64_t)v[2]) + 1;
    }
    if (n > EL_JINJA_MAX_RANGE)
        return el_jinja_fail(r, "a range of more than %d elements", (int)EL_JINJA_MAX_RANGE);
    struct el_jrange *const g = el_jinja_get(r, 1, sizeof *g);
    if (!g)
        return false;
    *g = (struct el_jrange){.start = v[0], .step = v[2], .n = (uint32_t)n, .stop = v[1]};
    *out = (struct el_jval){.kind = EL_J_RANGE, .u.range = g};
    return true;
}

/* Pairs of dict(...) and namespace(...): one mapping or sequence of pairs, then keywords. Room for `extra` more. */
static bool collect(struct el_jrun *r, const struct el_jargs *a, struct el_jpair **kv, uint32_t *n)
{
    struct el_jval items = el_jv_list(NULL, 0);
    *n = 0;
    if (a->n > 1)
        return el_jinja_fail(r, "dict takes at most one argument without a name");
    const bool is_dict = a->n == 1 && a->v[0].kind == EL_J_DICT;
    if (a->n == 1 && !is_dict && !el_jinja_to_list(r, &a->v[0], &items))
        return false;
    const uint64_t room = (uint64_t)(is_dict ? a->v[0].n : items.n) + a->n_kw;
    *kv = el_jinja_get(r, room, sizeof **kv);
    if (!*kv)
        return false;
    if (is_dict && a->v[0].n) {
        memcpy(*kv, a->v[0].u.kv, a->v[0].n * sizeof **kv);
        *n = a->v[0].n;
    }
    for (uint32_t i = 0; i < items.n; i++) {
        struct el_jval pair;
        if (!el_jinja_to_list(r, &items.u.v[i], &pair))
            return false;
        if (pair.n != 2)
            return el_jinja_fail(r, "dict: an element has %u parts, not 2", pair.n);
        if (!el_jv_put(r, *kv, n, pair.u.v[0], pair.u.v[1]))
            return false;
    }
    for (uint32_t i = 0; i < a->n_kw; i++)
        if (!el_jv_put(r, *kv, n, a->kw[i].name, a->kw[i].v))
            return false;
    return true;
}

static bool fn_dict(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jpair *kv;
    uint32_t n;
    (void)self;
    if (!collect(r, a, &kv, &n))
        return false;
    *out = (struct el_jval){.kind = EL_J_DICT, .n = n, .u.kv = kv};
    return true;
}

static bool fn_namespace(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)self;
    struct el_jns *const ns = el_jinja_get(r, 1, sizeof *ns);
    if (!ns || !collect(r, a, &ns->kv, &ns->n))
        return false;
    for (uint32_t i = 0; i < ns->n; i++)
        if (ns->kv[i].k.kind == EL_J_STR && ns->kv[i].k.n && ns->kv[i].k.u.s[0] == '_')
            return el_jinja_fail(r, "namespace: an attribute that begins with '_'");
    ns->cap = ns->n;
    *out = (struct el_jval){.kind = EL_J_NS, .u.ns = ns};
    return true;
}

static bool fn_raise(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s;
    (void)self;
    (void)out;
    if (!el_jv_to_str(r, &a->v[0], &s))
        return false;
    return el_jinja_fail_as(r, EL_E_USAGE, "%.*s", (int)(s.n < 300 ? s.n : 300), s.u.s);
}

static bool fn_strftime_now(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval format;
    (void)self;
    return el_jarg_str(r, &a->v[0], "the format of strftime_now", &format) && el_jinja_strftime(r, format, r->opts->now_s, out);
}

static bool fn_cycler(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)self;
    if (a->n == 0 || a->n_kw)
        return el_jinja_fail(r, "cycler without items");
    struct el_jcycler *const c = el_jinja_get(r, 1, sizeof *c);
    if (!c)
        return false;
    *c = (struct el_jcycler){.items = el_jv_list(a->v, a->n)};
    *out = (struct el_jval){.kind = EL_J_CYCLER, .u.cycler = c};
    return true;
}

static bool fn_joiner(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)self;
    struct el_jcycler *const c = el_jinja_get(r, 1, sizeof *c);
    struct el_jval *const sep = el_jinja_get(r, 1, sizeof *sep);
    if (!c || !sep)
        return false;
    *sep = a->v[0].kind == EL_J_MISSING ? el_jv_lit(", ") : a->v[0];
    *c = (struct el_jcycler){.items = el_jv_list(sep, 1)};
    *out = (struct el_jval){.kind = EL_J_JOINER, .u.cycler = c};
    return true;
}

static const struct el_jdef globals[] = {
    {"range", fn_range, NULL, 0},
    {"dict", fn_dict, NULL, 0},
    {"namespace", fn_namespace, NULL, 0},
    {"raise_exception", fn_raise, "message", 1},
    {"strftime_now", fn_strftime_now, "format", 1},
    {"cycler", fn_cycler, NULL, 0},
    {"joiner", fn_joiner, "sep", 0},
};

const struct el_jdef *el_jinja_find_def(const struct el_jdef *table, size_t n, struct el_jval name)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == name.n && memcmp(table[i].name, name.u.s, name.n) == 0)
            return &table[i];
    return NULL;
}

struct el_jval el_jinja_global(const struct el_jrun *r, struct el_jval name)
{
    const struct el_jdef *const def = el_jinja_find_def(globals, sizeof globals / sizeof globals[0], name);
    if (!def || (def->fn == fn_strftime_now && !r->opts->has_now))
        return el_jv(EL_J_MISSING);
    return (struct el_jval){.kind = EL_J_FN, .sub = (uint16_t)(def - globals)};
}

bool el_jinja_call(struct el_jrun *r, const struct el_jval *fn, const struct el_jargs *a, struct el_jval *out)
{
    switch (fn->kind) {
    case EL_J_FN: return el_jinja_call_def(r, &globals[fn->sub], fn, a, out);
    case EL_J_METHOD: return el_jinja_call_def(r, fn->u.method->def, &fn->u.method->self, a, out);
    case EL_J_MACRO: return el_jinja_call_macro(r, fn->u.macro, a, out);
    case EL_J_LOOP: return el_jinja_call_loop(r, fn->u.loop, a, out);
    case EL_J_JOINER: *out = fn->u.cycler->at++ ? fn->u.cycler->items.u.v[0] : el_jv_lit(""); return true;
    case EL_J_UNDEF: return el_jinja_use_undef(r, fn);
    default: return el_jinja_fail(r, "a %s is no function", el_jv_type(fn));
    }
}
