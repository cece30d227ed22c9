/* Operators, attributes, elements and slices, with Python's rules and those of jinja2's sandbox. */
#include <math.h>
#include <string.h>

#include "text/jinja_impl.h"

bool el_jinja_use_undef(struct el_jrun *r, const struct el_jval *v)
{
    if (v->flags & EL_J_HINT)
        return el_jinja_fail(r, "%.*s", (int)v->n, v->u.s);
    if (v->flags & EL_J_UNSAFE)
        return el_jinja_fail(r, "access to attribute '%.*s' is unsafe", (int)v->n, v->u.s);
    if (v->flags & EL_J_ATTR)
        return el_jinja_fail(r, "an object has no attribute '%.*s'", (int)v->n, v->u.s);
    return el_jinja_fail(r, "'%.*s' is undefined", (int)v->n, v->u.s);
}

/* ---- arithmetic --------------------------------------------------------------------------------------------------- */

static bool overflow(struct el_jrun *r)
{
    return el_jinja_fail(r, "an integer beyond 64 bits");
}

static bool power(struct el_jrun *r, int64_t a, int64_t b, struct el_jval *out)
{
    int64_t result = 1;
    if (b < 0) {
        if (a == 0)
            return el_jinja_fail(r, "zero to a negative power");
        *out = el_jv_float(pow((double)a, (double)b));
        return true;
    }
    for (;;) {
        if ((b & 1) && __builtin_mul_overflow(result, a, &result))
            return overflow(r);
        b >>= 1;
        if (b == 0)
            break;
        if (__builtin_mul_overflow(a, a, &a))
            return overflow(r);
    }
    *out = el_jv_int(result);
    return true;
}

static bool int_op(struct el_jrun *r, uint16_t op, int64_t a, int64_t b, struct el_jval *out)
{
    int64_t v = 0;
    bool bad = false;
    switch (op) {
    case '+': bad = __builtin_add_overflow(a, b, &v); break;
    case '-': bad = __builtin_sub_overflow(a, b, &v); break;
    case '*': bad = __builtin_mul_overflow(a, b, &v); break;
    case EL_JOP2('*', '*'): return power(r, a, b, out);
    default: /* / // % */
        if (b == 0)
            return el_jinja_fail(r, "division by zero");
        if (op == '/') {
            *out = el_jv_float((double)a / (double)b);
            return true;
        }
        if (a == INT64_MIN && b == -1) {
            bad = op != '%';
            break;
        }
        /* Python rounds down; the remainder has the sign of the divisor. */
        v = op == '%' ? a % b : a / b;
        if (a % b != 0 && (a % b < 0) != (b < 0))
            v += op == '%' ? b : -1;
    }
    if (bad)
        return overflow(r);
    *out = el_jv_int(v);
    return true;
}

static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m != 0 && (m < 0) != (b < 0))
        m += b;
    return m == 0 ? copysign(0.0, b) : m;
}

static bool float_op(struct el_jrun *r, uint16_t op, double a, double b, struct el_jval *out)
{
    double v = 0;
    if (b == 0 && (op == '/' || op == '%' || op == EL_JOP2('/', '/')))
        return el_jinja_fail(r, "division by zero");
    switch (op) {
    case '+': v = a + b; break;
    case '-': v = a - b; break;
    case '*': v = a * b; break;
    case '/': v = a / b; break;
    case '%': v = float_mod(a, b); break;
    case EL_JOP2('*', '*'):
        if ((a == 0 && b < 0) || (a < 0 && floor(b) != b && isfinite(a) && isfinite(b)))
            return el_jinja_fail(r, "a power that is no real number");
        v = pow(a, b);
        if (isinf(v) && isfinite(a) && isfinite(b))
            return el_jinja_fail(r, "a float that is too large");
        break;
    default: { /* // as CPython computes it: from the exact remainder */
        const double m = fmod(a, b);
        double q = (a - m) / b;
        if (m != 0 && (b < 0) != (m < 0))
            q -= 1.0;
        if (q != 0) {
            v = floor(q);
            if (q - v > 0.5)
                v += 1.0;
        } else {
            v = copysign(0.0, a / b);
        }
    }
    }
    *out = el_jv_float(v);
    return true;
}

static bool as_double(const struct el_jval *v, double *d)
{
    int64_t i;
    if (v->kind == EL_J_FLOAT) {
        *d = v->u.d;
        return true;
    }
    *d = el_jv_as_int(v, &i) ? (double)i : 0;
    return v->kind == EL_J_INT || v->kind == EL_J_BOOL;
}

static bool concat(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, struct el_jval *out)
{
    const uint64_t n = (uint64_t)a->n + b->n;
    struct el_jval *const v = el_jinja_get(r, n, sizeof *v);
    if (!v || !el_jinja_tick(r, n) || n > UINT32_MAX)
        return false;
    if (a->n)
        memcpy(v, a->u.v, a->n * sizeof *v);
    if (b->n)
        memcpy(v + a->n, b->u.v, b->n * sizeof *v);
    *out = (struct el_jval){.kind = a->kind, .n = (uint32_t)n, .u.v = v};
    return true;
}

static bool repeat(struct el_jrun *r, const struct el_jval *a, int64_t times, struct el_jval *out)
{
    uint64_t n;
    if (times < 0)
        times = 0;
    if (a->kind == EL_J_STR) {
        struct el_jtext t;
        el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
        if (a->n && !el_jtext_fill(r, &t, a->u.s, a->n, (uint64_t)times))
            return false;
        *out = el_jtext_str(r, &t);
        out->flags = a->flags;
        return true;
    }
    if (__builtin_mul_overflow((uint64_t)a->n, (uint64_t)times, &n) || n > EL_JINJA_MAX_STEPS)
        return el_jinja_fail(r, "a sequence of more than %d elements", (int)EL_JINJA_MAX_STEPS);
    struct el_jval *const v = el_jinja_tick(r, n) ? el_jinja_get(r, n, sizeof *v) : NULL;
    if (!v)
        return false;
    for (uint64_t i = 0; i < n; i += a->n)
        memcpy(v + i, a->u.v, a->n * sizeof *v);
    *out = (struct el_jval){.kind = a->kind, .n = (uint32_t)n, .u.v = v};
    return true;
}

static bool is_sequence(const struct el_jval *v)
{
    return v->kind == EL_J_STR || v->kind == EL_J_LIST || v->kind == EL_J_TUPLE;
}

/* Markup + text: what is not Markup is escaped for HTML first. */
static bool add_strings(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, struct el_jval *out)
{
    struct el_jval x = *a, y = *b;
    const bool safe = ((a->flags | b->flags) & EL_J_SAFE) != 0;
    if (safe && (!el_jinja_escape(r, a, &x) || !el_jinja_escape(r, b, &y)))
        return false;
    if (!el_jv_join(r, x, y, out))
        return false;
    out->flags = safe ? EL_J_SAFE : 0;
    return true;
}

static const char *op_text(uint16_t op, char out[3])
{
    out[0] = (char)(op > 0xff ? op >> 8 : op);
    out[1] = op > 0xff ? (char)op : '\0';
    out[2] = '\0';
    return out;
}

bool el_jinja_binary(struct el_jrun *r, uint16_t op, const struct el_jval *a, const struct el_jval *b, struct el_jval *out)
{
    int64_t i, j;
    double x, y;
    char name[3];
    if (el_jv_as_int(a, &i) && el_jv_as_int(b, &j))
        return int_op(r, op, i, j, out);
    if (as_double(a, &x) && as_double(b, &y))
        return float_op(r, op, x, y, out);
    if (op == '+' && a->kind == EL_J_STR && b->kind == EL_J_STR)
        return add_strings(r, a, b, out);
    if (op == '+' && a->kind == b->kind && is_sequence(a))
        return concat(r, a, b, out);
    if (op == '*' && is_sequence(a) && el_jv_as_int(b, &j))
        return repeat(r, a, j, out);
    if (op == '*' && is_sequence(b) && el_jv_as_int(a, &i))
        return repeat(r, b, i, out);
    if (op == '%' && a->kind == EL_J_STR)
        return el_jinja_percent(r, *a, b, out);
    if (a->kind == EL_J_UNDEF || b->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, a->kind == EL_J_UNDEF ? a : b);
    return el_jinja_fail(r, "no %s between %s and %s", op_text(op, name), el_jv_type(a), el_jv_type(b));
}

bool el_jinja_negate(struct el_jrun *r, const struct el_jval *a, bool minus, struct el_jval *out)
{
    int64_t i;
    if (a->kind == EL_J_FLOAT) {
        *out = el_jv_float(minus ? -a->u.d : a->u.d);
        return true;
    }
    if (a->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, a);
    if (!el_jv_as_int(a, &i))
        return el_jinja_fail(r, "no sign before a %s", el_jv_type(a));
    if (minus && i == INT64_MIN)
        return overflow(r);
    *out = el_jv_int(minus ? -i : i);
    return true;
}

bool el_jinja_relation(struct el_jrun *r, uint16_t op, const struct el_jval *a, const struct el_jval *b, bool *out)
{
    int c;
    switch (op) {
    case EL_JOP_IN:
    case EL_JOP_NOT_IN:
        if (!el_jv_contains(r, b, a, out))
            return false;
        *out = *out == (op == EL_JOP_IN);
        return true;
    case EL_JOP2('=', '='):
    case EL_JOP2('!', '='):
        if (!el_jv_equal(r, a, b, out))
            return false;
        *out = *out == (op == EL_JOP2('=', '='));
        return true;
    default: break;
    }
    if (!el_jv_compare(r, a, b, &c))
        return false;
    const bool less = c == -1, same = c == 0, more = c == 1;
    *out = op == '<' ? less : op == '>' ? more : op == EL_JOP2('<', '=') ? less || same : more || same;
    return true;
}

/* ---- attributes and elements -------------------------------------------------------------------------------------- */

static bool bind_method(struct el_jrun *r, const struct el_jval *obj, const struct el_jdef *def, struct el_jval *out)
{
    struct el_jmethod *const m = el_jinja_get(r, 1, sizeof *m);
    if (!m)
        return false;
    *m = (struct el_jmethod){def, *obj};
    *out = (struct el_jval){.kind = EL_J_METHOD, .u.method = m};
    return true;
}

/* What getattr() of Python finds. *out is MISSING when it finds nothing. */
static bool own_attr(struct el_jrun *r, const struct el_jval *obj, struct el_jval name, struct el_jval *out)
{
    *out = el_jv(EL_J_MISSING);
    if (el_jinja_is_hidden(obj, name)) {
        *out = el_jv_undef(name, EL_J_UNSAFE);
        return true;
    }
    if (obj->kind == EL_J_NS) {
        const struct el_jval *const v = el_jv_find_str(obj->u.ns->kv, obj->u.ns->n, name.u.s, name.n);
        if (v)
            *out = *v;
        return true;
    }
    if (obj->kind == EL_J_LOOP)
        return el_jinja_loop_attr(r, obj->u.loop, name, out);
    if (obj->kind == EL_J_MACRO && el_jv_is(&name, "name")) {
        *out = obj->u.macro->name;
        return true;
    }
    if (obj->kind == EL_J_CYCLER && el_jv_is(&name, "current")) {
        *out = obj->u.cycler->items.u.v[obj->u.cycler->at];
        return true;
    }
    if ((obj->flags & EL_J_GROUP) && (el_jv_is(&name, "grouper") || el_jv_is(&name, "list"))) {
        *out = obj->u.v[el_jv_is(&name, "list")];
        return true;
    }
    const struct el_jdef *const def = el_jinja_method(obj, name);
    return !def || bind_method(r, obj, def, out);
}

/* obj[key] of Python; MISSING where it raises TypeError or LookupError. */
static bool own_item(struct el_jrun *r, const struct el_jval *obj, const struct el_jval *key, struct el_jval *out)
{
    int64_t i;
    const struct el_jval *found;
    *out = el_jv(EL_J_MISSING);
    if (obj->kind == EL_J_DICT) {
        if (!el_jv_hashable(key))
            return true;
        if (!el_jv_find(r, obj, key, &found))
            return false;
        if (found)
            *out = *found;
        return true;
    }
    if (!el_jv_as_int(key, &i))
        return true;
    const bool is_range = obj->kind == EL_J_RANGE;
    if (!is_sequence(obj) && !is_range)
        return true;
    if (obj->kind == EL_J_STR && !el_jinja_tick(r, obj->n / 64))
        return false;
    const int64_t n = is_range ? obj->u.range->n : obj->kind == EL_J_STR ? el_jv_n_chars(*obj) : obj->n;
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return true;
    if (obj->kind == EL_J_STR) {
        const uint32_t at = el_jv_char_at(*obj, (uint32_t)i), end = el_jv_char_at(*obj, (uint32_t)i + 1);
        *out = el_jv_str(obj->u.s + at, end - at);
    } else if (is_range) {
        *out = el_jv_int((int64_t)((uint64_t)obj->u.range->start + (uint64_t)i * (uint64_t)obj->u.range->step));
    } else {
        *out = obj->u.v[i];
    }
    return true;
}

bool el_jinja_attr(struct el_jrun *r, const struct el_jval *obj, struct el_jval name, struct el_jval *out)
{
    if (obj->kind == EL_J_UNDEF && !el_jv_is(&name, "__class__")) /* which jinja2's Undefined has, and hides */
        return el_jinja_use_undef(r, obj);
    if (!own_attr(r, obj, name, out))
        return false;
    if (out->kind == EL_J_MISSING && !own_item(r, obj, &name, out))
        return false;
    if (out->kind == EL_J_MISSING)
        *out = el_jv_undef(name, EL_J_ATTR);
    return true;
}

bool el_jinja_item(struct el_jrun *r, const struct el_jval *obj, const struct el_jval *key, struct el_jval *out)
{
    if (obj->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, obj);
    if (!own_item(r, obj, key, out))
        return false;
    if (out->kind == EL_J_MISSING && key->kind == EL_J_STR && !own_attr(r, obj, *key, out))
        return false;
    if (out->kind == EL_J_MISSING)
        *out = key->kind == EL_J_STR ? el_jv_undef(*key, EL_J_ATTR)
                                     : el_jv_undef(el_jv_lit("an object lacks the element"), EL_J_HINT);
    return true;
}

/* ---- slices ------------------------------------------------------------------------------------------------------- */

/* What a slice takes of a sequence. */
struct cut {
    int64_t first, stop, step, count;
};

/* PySlice_AdjustIndices: from [start, stop) by step to a first element and a count. */
static bool adjust(struct el_jrun *r, const struct el_jval bounds[3], int64_t n, struct cut *c)
{
    int64_t b[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++) {
        if (bounds[i].kind == EL_J_UNDEF)
            return el_jinja_use_undef(r, &bounds[i]);
        if (bounds[i].kind != EL_J_NONE && !el_jv_as_int(&bounds[i], &b[i]))
            return el_jinja_fail(r, "a slice with a %s", el_jv_type(&bounds[i]));
    }
    if (b[2] == 0)
        return el_jinja_fail(r, "a slice with step zero");
    const bool back = b[2] < 0;
    if (b[2] < -INT64_MAX)
        b[2] = -INT64_MAX;
    const int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        if (bounds[i].kind == EL_J_NONE) {
            b[i] = (i == 0) != back ? low : high;
            continue;
        }
        if (b[i] < 0)
            b[i] += n;
        b[i] = b[i] < low ? low : b[i] > high ? high : b[i];
    }
    *c = (struct cut){.first = b[0], .stop = b[1], .step = b[2]};
    if (back ? b[1] < b[0] : b[0] < b[1])
        c->count = back ? (b[0] - b[1] - 1) / -b[2] + 1 : (b[1] - b[0] - 1) / b[2] + 1;
    return true;
}

static bool slice_string(struct el_jrun *r, struct el_jval s, const struct cut *c, struct el_jval *out)
{
    struct el_jtext t;
    const int64_t first = c->first, step = c->step, count = c->count;
    const bool ascii = el_jv_n_chars(s) == s.n;
    if (step == 1 || count == 0) {
        const uint32_t at = count ? el_jv_char_at(s, (uint32_t)first) : 0;
        const uint32_t end = count ? at + el_jv_char_at(el_jv_str(s.u.s + at, s.n - at), (uint32_t)count) : 0;
        *out = el_jv_str(s.u.s + at, end - at);
        return true;
    }
    /* Offsets of the characters, so that any step is linear. */
    uint32_t *off = NULL;
    if (!ascii) {
        const uint32_t n = el_jv_n_chars(s);
        if (!(off = el_jinja_get(r, (uint64_t)n + 1, sizeof *off)))
            return false;
        uint32_t at = 0;
        for (uint32_t i = 0; i < s.n; i++)
            if (((unsigned char)s.u.s[i] & 0xc0) != 0x80)
                off[at++] = i;
        off[n] = s.n;
    }
    el_jtext_init(&t, EL_JINJA_MAX_MEMORY);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = first + i * step;
        if (!(off ? el_jtext_add(r, &t, s.u.s + off[at], off[at + 1] - off[at]) : el_jtext_add(r, &t, s.u.s + at, 1)))
            return false;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

static bool slice_range(struct el_jrun *r, const struct el_jrange *from, const struct cut *c, struct el_jval *out)
{
    struct el_jrange *const g = el_jinja_get(r, 1, sizeof *g);
    int64_t a, b;
    if (!g)
        return false;
    *g = (struct el_jrange){.n = (uint32_t)c->count};
    *out = (struct el_jval){.kind = EL_J_RANGE, .u.range = g};
    if (__builtin_mul_overflow(c->first, from->step, &a) || __builtin_add_overflow(a, from->start, &g->start) ||
        __builtin_mul_overflow(c->stop, from->step, &b) || __builtin_add_overflow(b, from->start, &g->stop) ||
        __builtin_mul_overflow(c->step, from->step, &g->step))
        return overflow(r);
    return true;
}

bool el_jinja_slice(struct el_jrun *r, const struct el_jval *obj, const struct el_jval bounds[3], struct el_jval *out)
{
    struct cut c = {.count = 0};
    if (obj->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, obj);
    if (!is_sequence(obj) && obj->kind != EL_J_RANGE)
        return el_jinja_fail(r, "a %s has no slices", el_jv_type(obj));
    if (obj->kind == EL_J_STR && !el_jinja_tick(r, obj->n / 64))
        return false;
    const int64_t n = obj->kind == EL_J_RANGE ? obj->u.range->n : obj->kind == EL_J_STR ? el_jv_n_chars(*obj) : obj->n;
    if (!adjust(r, bounds, n, &c))
        return false;
    if (obj->kind == EL_J_RANGE)
        return slice_range(r, obj->u.range, &c, out);
    if (obj->kind == EL_J_STR) {
        if (c.step != 1 && !el_jinja_tick(r, (uint64_t)(c.count + n) / 8)) /* character by character */
            return false;
        if (!slice_string(r, *obj, &c, out))
            return false;
        out->flags = obj->flags;
        return true;
    }
    if (c.step == 1 || c.count == 0) {
        *out = (struct el_jval){.kind = obj->kind, .n = (uint32_t)c.count, .u.v = c.count ? obj->u.v + c.first : obj->u.v};
        return true;
    }
    struct el_jval *const v = el_jinja_tick(r, (uint64_t)c.count) ? el_jinja_get(r, (uint64_t)c.count, sizeof *v) : NULL;
    for (int64_t i = 0; v && i < c.count; i++)
        v[i] = obj->u.v[c.first + i * c.step];
    *out = (struct el_jval){.kind = obj->kind, .n = (uint32_t)c.count, .u.v = v};
    return v != NULL;
}
