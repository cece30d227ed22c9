/* Texts being made, and values shown as Python's str() and repr() show them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale_c.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

void el_jtext_init(struct el_jtext *t, uint64_t max)
{
    *t = (struct el_jtext){.s = NULL, .max = max};
}

/* Room for n more bytes: in place where nothing lies behind the text, else in a new place of twice the size. */
static bool reserve(struct el_jrun *r, struct el_jtext *t, uint64_t n)
{
    struct el_jarena *const a = &r->texts;
    if (n > t->max - t->n)
        return el_jinja_fail(r, "a text of more than %llu bytes", (unsigned long long)t->max);
    if (t->cap - t->n >= n)
        return true;
    if (t->s && t->s + t->cap == a->top && (uint64_t)(a->end - a->top) >= n - (t->cap - t->n)) {
        const uint64_t more = n - (t->cap - t->n);
        a->top += more;
        t->cap += more;
        return true;
    }
    const uint64_t cap = t->n + n < 32 ? 32 : (t->n + n) * 2;
    a->max_nbytes = EL_JINJA_MAX_MEMORY - r->arena.nbytes;
    char *const s = el_jarena_get(a, cap, 1);
    if (!s)
        return el_jinja_no_memory(r);
    if (t->n)
        memcpy(s, t->s, t->n);
    if (!el_jinja_tick(r, t->n / 64))
        return false;
    t->s = s;
    t->cap = cap;
    return true;
}

bool el_jtext_add(struct el_jrun *r, struct el_jtext *t, const char *s, size_t n)
{
    if (!reserve(r, t, n) || !el_jinja_tick(r, n / 64))
        return false;
    if (n)
        memcpy(t->s + t->n, s, n);
    t->n += n;
    return true;
}

bool el_jtext_add_lit(struct el_jrun *r, struct el_jtext *t, const char *s)
{
    return el_jtext_add(r, t, s, strlen(s));
}

bool el_jtext_add_cp(struct el_jrun *r, struct el_jtext *t, uint32_t cp)
{
    char bytes[4];
    return el_jtext_add(r, t, bytes, el_utf8_encode(cp, bytes));
}

bool el_jtext_fill(struct el_jrun *r, struct el_jtext *t, const char *s, size_t n, uint64_t times)
{
    uint64_t total;
    if (__builtin_mul_overflow((uint64_t)n, times, &total))
        total = UINT64_MAX;
    if (total == 0)
        return true;
    if (!reserve(r, t, total) || !el_jinja_tick(r, total / 64))
        return false;
    if (n == 1) {
        memset(t->s + t->n, s[0], total);
    } else {
        for (uint64_t i = 0; i < total; i += n)
            memcpy(t->s + t->n + i, s, n);
    }
    t->n += total;
    return true;
}

struct el_jval el_jtext_str(struct el_jrun *r, struct el_jtext *t)
{
    if (t->s && t->s + t->cap == r->texts.top) /* gives back what was not used */
        r->texts.top = t->s + t->n;
    return el_jv_str(t->s ? t->s : "", t->n);
}

bool el_jv_join(struct el_jrun *r, struct el_jval a, struct el_jval b, struct el_jval *out)
{
    struct el_jtext t;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    if (a.n && a.u.s + a.n == r->texts.top) {
        /* Whoever holds a still sees its bytes: they do not move, and b comes behind them. a's bytes may be const elsewhere;
         * here they lie in texts. */
        t.s = r->texts.top - a.n;
        t.n = t.cap = a.n;
    } else if (!el_jtext_add(r, &t, a.u.s, a.n)) {
        return false;
    }
    if (!el_jtext_add(r, &t, b.u.s, b.n))
        return false;
    *out = el_jtext_str(r, &t);
    return true;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static size_t print(char *out, size_t nbytes, const char *fmt, ...) EL_PRINTF(3, 4);

static size_t print(char *out, size_t nbytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = el_vsnprintf_c(out, nbytes, fmt, args);
    va_end(args);
    return n < 0 ? 0 : (size_t)n;
}

size_t el_jinja_float_text(double d, char out[40])
{
    char text[40];
    if (isnan(d) || isinf(d))
        return print(out, 40, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
    /* The fewest digits that read back as the same number. */
    for (int digits = 1; digits <= 17; digits++) {
        (void)print(text, sizeof text, "%.*e", digits - 1, d);
        if (el_strtod_c(text, NULL) == d)
            break;
    }
    char *const e = strchr(text, 'e');
    const int exponent = atoi(e + 1);
    char digits[24];
    int n = 0;
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    const char *const sign = text[0] == '-' ? "-" : "";
    if (exponent < -4 || exponent >= 16)
        return n == 1 ? print(out, 40, "%s%ce%+03d", sign, digits[0], exponent)
                      : print(out, 40, "%s%c.%.*se%+03d", sign, digits[0], n - 1, digits + 1, exponent);
    if (exponent < 0)
        return print(out, 40, "%s0.%.*s%.*s", sign, -exponent - 1, "0000", n, digits);
    if (n <= exponent + 1)
        return print(out, 40, "%s%.*s%.*s.0", sign, n, digits, exponent + 1 - n, "0000000000000000");
    return print(out, 40, "%s%.*s.%.*s", sign, exponent + 1, digits, n - exponent - 1, digits + exponent + 1);
}

/* ---- repr --------------------------------------------------------------------------------------------------------- */

static bool add_str_repr(struct el_jrun *r, struct el_jtext *t, const char *s, uint32_t n)
{
    const bool single = memchr(s, '\'', n) != NULL, twice = memchr(s, '"', n) != NULL;
    const char quote = single && !twice ? '"' : '\'';
    char text[16];
    uint32_t plain = 0;
    if (!el_jtext_add(r, t, &quote, 1))
        return false;
    for (uint32_t i = 0; i < n;) {
        uint32_t cp = 0;
        const uint32_t len = (uint32_t)el_utf8_decode(s + i, n - i, &cp);
        size_t n_text = 0;
        if (cp == (uint32_t)quote || cp == '\\')
            n_text = print(text, sizeof text, "\\%c", (int)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            n_text = print(text, sizeof text, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        else if (!el_jinja_is_printable(cp))
            n_text = print(text, sizeof text, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
        if (n_text && (!el_jtext_add(r, t, s + plain, i - plain) || !el_jtext_add(r, t, text, n_text)))
            return false;
        i += len;
        if (n_text)
            plain = i;
    }
    return el_jtext_add(r, t, s + plain, n - plain) && el_jtext_add(r, t, &quote, 1);
}

static bool add_items(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if ((i && !el_jtext_add(r, t, ", ", 2)) || !el_jtext_add_repr(r, t, &v[i]))
            return false;
    return true;
}

static bool add_pairs(struct el_jrun *r, struct el_jtext *t, const struct el_jpair *kv, uint32_t n)
{
    if (!el_jtext_add(r, t, "{", 1))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if ((i && !el_jtext_add(r, t, ", ", 2)) || !el_jtext_add_repr(r, t, &kv[i].k) || !el_jtext_add(r, t, ": ", 2) ||
            !el_jtext_add_repr(r, t, &kv[i].v))
            return false;
    return el_jtext_add(r, t, "}", 1);
}

static bool add_view(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v)
{
    static const char *const names[] = {"dict_keys([", "dict_values([", "dict_items(["};
    if (!el_jtext_add_lit(r, t, names[v->sub]))
        return false;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct el_jpair *const p = &v->u.kv[i];
        if (i && !el_jtext_add(r, t, ", ", 2))
            return false;
        if (v->sub != EL_J_ITEMS) {
            if (!el_jtext_add_repr(r, t, v->sub == EL_J_KEYS ? &p->k : &p->v))
                return false;
            continue;
        }
        if (!el_jtext_add(r, t, "(", 1) || !el_jtext_add_repr(r, t, &p->k) || !el_jtext_add(r, t, ", ", 2) ||
            !el_jtext_add_repr(r, t, &p->v) || !el_jtext_add(r, t, ")", 1))
            return false;
    }
    return el_jtext_add(r, t, "])", 2);
}

static bool add_scalar(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v)
{
    char text[160];
    switch (v->kind) {
    case EL_J_NONE: return el_jtext_add_lit(r, t, "None");
    case EL_J_BOOL: return el_jtext_add_lit(r, t, v->u.b ? "True" : "False");
    case EL_J_INT: return el_jtext_add(r, t, text, print(text, sizeof text, "%lld", (long long)v->u.i));
    case EL_J_BIG: return el_jtext_add(r, t, v->u.s, v->n);
    case EL_J_FLOAT: return el_jtext_add(r, t, text, el_jinja_float_text(v->u.d, text));
    case EL_J_RANGE: {
        const struct el_jrange *const g = v->u.range;
        const size_t n = g->step == 1 ? print(text, sizeof text, "range(%lld, %lld)", (long long)g->start, (long long)g->stop)
                                      : print(text, sizeof text, "range(%lld, %lld, %lld)", (long long)g->start,
                                              (long long)g->stop, (long long)g->step);
        return el_jtext_add(r, t, text, n);
    }
    case EL_J_MACRO:
        if (!el_jtext_add_lit(r, t, "<Macro "))
            return false;
        return add_str_repr(r, t, v->u.macro->name.u.s, v->u.macro->name.n) && el_jtext_add(r, t, ">", 1);
    default: return el_jtext_add(r, t, text, print(text, sizeof text, "<%s object>", el_jv_type(v)));
    }
}

static bool add_compound(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v)
{
    switch (v->kind) {
    case EL_J_LIST: return el_jtext_add(r, t, "[", 1) && add_items(r, t, v->u.v, v->n) && el_jtext_add(r, t, "]", 1);
    case EL_J_TUPLE:
        return el_jtext_add(r, t, "(", 1) && add_items(r, t, v->u.v, v->n) && el_jtext_add_lit(r, t, v->n == 1 ? ",)" : ")");
    case EL_J_DICT: return add_pairs(r, t, v->u.kv, v->n);
    case EL_J_VIEW: return add_view(r, t, v);
    default:
        return el_jtext_add_lit(r, t, "<Namespace ") && add_pairs(r, t, v->u.ns->kv, v->u.ns->n) && el_jtext_add(r, t, ">", 1);
    }
}

bool el_jtext_add_repr(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v)
{
    bool ok;
    if (!el_jinja_enter(r))
        return false;
    switch (v->kind) {
    case EL_J_MISSING:
    case EL_J_UNDEF: ok = el_jtext_add_lit(r, t, "Undefined"); break;
    case EL_J_STR:
        ok = (!(v->flags & EL_J_SAFE) || el_jtext_add_lit(r, t, "Markup(")) && add_str_repr(r, t, v->u.s, v->n) &&
             (!(v->flags & EL_J_SAFE) || el_jtext_add_lit(r, t, ")"));
        break;
    case EL_J_LIST:
    case EL_J_TUPLE:
    case EL_J_DICT:
    case EL_J_VIEW:
    case EL_J_NS: ok = add_compound(r, t, v); break;
    default: ok = add_scalar(r, t, v);
    }
    el_jinja_leave(r);
    return ok;
}

bool el_jtext_add_str(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v)
{
    if (v->kind == EL_J_STR)
        return el_jtext_add(r, t, v->u.s, v->n);
    return v->kind == EL_J_UNDEF || el_jtext_add_repr(r, t, v);
}

bool el_jv_to_str(struct el_jrun *r, const struct el_jval *v, struct el_jval *out)
{
    struct el_jtext t;
    if (v->kind == EL_J_STR) {
        *out = el_jv_str(v->u.s, v->n);
        return true;
    }
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    if (!el_jtext_add_str(r, &t, v))
        return false;
    *out = el_jtext_str(r, &t);
    return true;
}
