/* Methods of strings, dictionaries, lists, tuples and the objects that jinja2 has. What changes its object is hidden. */
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

#define METHOD(name) static bool name(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, struct el_jval *out)

static bool given(const struct el_jval *v)
{
    return v->kind != EL_J_MISSING && v->kind != EL_J_NONE;
}

/* ---- strings: cutting --------------------------------------------------------------------------------------------- */

static bool strip(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, int sides, struct el_jval *out)
{
    struct el_jval chars;
    const bool has = given(&a->v[0]);
    if ((has && !el_jarg_str(r, &a->v[0], "the argument of strip", &chars)) ||
        !el_jinja_tick(r, (uint64_t)(s->n / 64 + 1) * (has ? chars.n / 16 + 1 : 1)))
        return false;
    *out = el_jinja_strip(*s, has ? &chars : NULL, sides);
    return true;
}

METHOD(m_strip)
{
    return strip(r, s, a, EL_JINJA_LEFT | EL_JINJA_RIGHT, out);
}

METHOD(m_lstrip)
{
    return strip(r, s, a, EL_JINJA_LEFT, out);
}

METHOD(m_rstrip)
{
    return strip(r, s, a, EL_JINJA_RIGHT, out);
}

static bool remove_end(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, bool prefix, struct el_jval *out)
{
    struct el_jval x;
    if (!el_jarg_str(r, &a->v[0], "the argument of removeprefix or removesuffix", &x))
        return false;
    *out = el_jv_str(s->u.s, s->n);
    if (x.n > s->n || memcmp(prefix ? s->u.s : s->u.s + s->n - x.n, x.u.s, x.n) != 0)
        return true;
    *out = el_jv_str(prefix ? s->u.s + x.n : s->u.s, s->n - x.n);
    return true;
}

METHOD(m_removeprefix)
{
    return remove_end(r, s, a, true, out);
}

METHOD(m_removesuffix)
{
    return remove_end(r, s, a, false, out);
}

/* The part of s that str.find(x, start, end) and their like look at, and its first character's index. */
static bool window(struct el_jrun *r, const struct el_jval *s, const struct el_jval *bounds, struct el_jval *out, int64_t *first)
{
    struct el_jval three[3] = {el_jv_none(), el_jv_none(), el_jv_none()};
    for (int i = 0; i < 2; i++)
        if (given(&bounds[i]))
            three[i] = bounds[i];
    if (!el_jinja_tick(r, s->n / 64))
        return false;
    int64_t start = 0;
    const int64_t n = el_jv_n_chars(*s);
    (void)el_jv_as_int(&three[0], &start);
    *first = start < 0 ? (start + n < 0 ? 0 : start + n) : start;
    if (!el_jinja_slice(r, s, three, out))
        return false;
    if (*first > n)
        *first = -1; /* beyond the end: not even the empty string is there */
    return true;
}

static bool has_end(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, bool prefix, struct el_jval *out)
{
    struct el_jval part;
    int64_t first;
    bool found = false;
    const bool many = a->v[0].kind == EL_J_TUPLE;
    if (!window(r, s, a->v + 1, &part, &first))
        return false;
    for (uint32_t i = 0; !found && i < (many ? a->v[0].n : 1); i++) {
        struct el_jval x;
        if (!el_jarg_str(r, many ? &a->v[0].u.v[i] : &a->v[0], "the argument of startswith or endswith", &x))
            return false;
        found = first >= 0 && x.n <= part.n && memcmp(prefix ? part.u.s : part.u.s + part.n - x.n, x.u.s, x.n) == 0;
    }
    *out = el_jv_bool(found);
    return true;
}

METHOD(m_startswith)
{
    return has_end(r, s, a, true, out);
}

METHOD(m_endswith)
{
    return has_end(r, s, a, false, out);
}

/* Last occurrence, or -1. Counts what comparing costs: a long needle may agree nearly everywhere. */
static bool find_last(struct el_jrun *r, struct el_jval s, struct el_jval x, int64_t *at)
{
    *at = x.n > s.n ? -1 : (int64_t)s.n - x.n;
    if (x.n == 0)
        return true;
    for (; *at >= 0; --*at) {
        const char *const p = memrchr(s.u.s, x.u.s[0], (size_t)*at + 1);
        *at = p ? p - s.u.s : -1;
        if (!p)
            break;
        if (!el_jinja_tick(r, 1 + x.n / 64))
            return false;
        if (memcmp(p, x.u.s, x.n) == 0)
            break;
    }
    return true;
}

static bool find(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, bool last, bool must, struct el_jval *out)
{
    struct el_jval x, part;
    int64_t first, at = -1;
    if (!el_jarg_str(r, &a->v[0], "the argument of find", &x) || !window(r, s, a->v + 1, &part, &first))
        return false;
    if (first >= 0 && !last)
        at = el_jinja_find(part, x, 0);
    else if (first >= 0 && !find_last(r, part, x, &at))
        return false;
    if (at < 0 && must)
        return el_jinja_fail(r, "index: substring not found");
    *out = el_jv_int(at < 0 ? -1 : first + el_jv_n_chars(el_jv_str(part.u.s, (size_t)at)));
    return true;
}

METHOD(m_find)
{
    return find(r, s, a, false, false, out);
}

METHOD(m_rfind)
{
    return find(r, s, a, true, false, out);
}

METHOD(m_index)
{
    return find(r, s, a, false, true, out);
}

METHOD(m_rindex)
{
    return find(r, s, a, true, true, out);
}

METHOD(m_count)
{
    struct el_jval x, part;
    int64_t first, n = 0;
    if (!el_jarg_str(r, &a->v[0], "the argument of count", &x) || !window(r, s, a->v + 1, &part, &first))
        return false;
    if (x.n == 0)
        n = first < 0 ? 0 : el_jv_n_chars(part) + 1;
    else
        for (int64_t at = 0; (at = el_jinja_find(part, x, (size_t)at)) >= 0; at += x.n)
            n++;
    *out = el_jv_int(n);
    return el_jinja_tick(r, (uint64_t)n / 8);
}

METHOD(m_replace)
{
    struct el_jval from, to;
    int64_t count;
    return el_jarg_str(r, &a->v[0], "the first argument of replace", &from) &&
           el_jarg_str(r, &a->v[1], "the second argument of replace", &to) &&
           el_jarg_int(r, &a->v[2], -1, "the count of replace", &count) && el_jinja_replace(r, *s, from, to, count, out);
}

/* ---- strings: parts ----------------------------------------------------------------------------------------------- */

/* A list that grows. */
struct parts {
    struct el_jval *v;
    uint32_t n, cap;
};

static bool add_part(struct el_jrun *r, struct parts *p, const char *s, size_t n)
{
    if (p->n == p->cap) {
        const uint32_t cap = p->cap ? p->cap * 2 : 8;
        struct el_jval *const more = el_jinja_get(r, cap, sizeof *more);
        if (!more)
            return false;
        if (p->n)
            memcpy(more, p->v, p->n * sizeof *more);
        p->v = more;
        p->cap = cap;
    }
    p->v[p->n++] = el_jv_str(s, n);
    return el_jinja_tick(r, 1);
}

static void reverse(struct parts *p)
{
    for (uint32_t i = 0; i < p->n / 2; i++) {
        const struct el_jval v = p->v[i];
        p->v[i] = p->v[p->n - 1 - i];
        p->v[p->n - 1 - i] = v;
    }
}

static uint32_t last_char(struct el_jval s, uint32_t *cp)
{
    uint32_t at = s.n - 1;
    while (((unsigned char)s.u.s[at] & 0xc0) == 0x80)
        at--;
    (void)el_utf8_decode(s.u.s + at, s.n - at, cp);
    return at;
}

/* At white space, whose runs count as one and which at the ends counts nothing. */
static bool split_space(struct el_jrun *r, struct el_jval s, int64_t limit, bool right, struct parts *p)
{
    const int side = right ? EL_JINJA_RIGHT : EL_JINJA_LEFT;
    for (s = el_jinja_strip(s, NULL, side); s.n; s = el_jinja_strip(s, NULL, side)) {
        uint32_t cp = 0, end = right ? s.n : 0;
        if (limit >= 0 && limit-- == 0) {
            s = el_jinja_strip(s, NULL, EL_JINJA_LEFT + EL_JINJA_RIGHT - side);
            return add_part(r, p, s.u.s, s.n);
        }
        if (right) {
            while (end > 0) {
                const uint32_t at = last_char(el_jv_str(s.u.s, end), &cp);
                if (el_jinja_is_space(cp))
                    break;
                end = at;
            }
            if (!add_part(r, p, s.u.s + end, s.n - end))
                return false;
            s.n = end;
        } else {
            while (end < s.n) {
                const uint32_t n = (uint32_t)el_utf8_decode(s.u.s + end, s.n - end, &cp);
                if (el_jinja_is_space(cp))
                    break;
                end += n;
            }
            if (!add_part(r, p, s.u.s, end))
                return false;
            s = el_jv_str(s.u.s + end, s.n - end);
        }
    }
    return true;
}

static bool split_at(struct el_jrun *r, struct el_jval s, struct el_jval sep, int64_t limit, bool right, struct parts *p)
{
    for (; limit != 0; limit--) {
        int64_t at = -1;
        if (!right)
            at = el_jinja_find(s, sep, 0);
        else if (!find_last(r, s, sep, &at))
            return false;
        if (at < 0)
            break;
        if (right) {
            if (!add_part(r, p, s.u.s + at + sep.n, s.n - (size_t)at - sep.n))
                return false;
            s.n = (uint32_t)at;
        } else {
            if (!add_part(r, p, s.u.s, (size_t)at))
                return false;
            s = el_jv_str(s.u.s + at + sep.n, s.n - (size_t)at - sep.n);
        }
    }
    return add_part(r, p, s.u.s, s.n);
}

static bool split(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, bool right, struct el_jval *out)
{
    struct parts p = {NULL, 0, 0};
    struct el_jval sep;
    int64_t limit;
    if (!el_jarg_int(r, &a->v[1], -1, "the limit of split", &limit) || !el_jinja_tick(r, s->n / 16))
        return false;
    if (limit < 0)
        limit = -1;
    if (given(&a->v[0])) {
        if (!el_jarg_str(r, &a->v[0], "the separator of split", &sep))
            return false;
        if (sep.n == 0)
            return el_jinja_fail(r, "split at an empty separator");
        if (!split_at(r, *s, sep, limit, right, &p))
            return false;
    } else if (!split_space(r, *s, limit, right, &p)) {
        return false;
    }
    if (right)
        reverse(&p);
    *out = el_jv_list(p.v, p.n);
    return true;
}

METHOD(m_split)
{
    return split(r, s, a, false, out);
}

METHOD(m_rsplit)
{
    return split(r, s, a, true, out);
}

METHOD(m_splitlines)
{
    bool keep;
    return el_jarg_truth(r, &a->v[0], false, &keep) && el_jinja_splitlines(r, *s, keep, out);
}

static bool partition(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, bool right, struct el_jval *out)
{
    struct el_jval sep;
    struct el_jval *const v = el_jinja_get(r, 3, sizeof *v);
    if (!v || !el_jarg_str(r, &a->v[0], "the separator of partition", &sep) || !el_jinja_tick(r, s->n / 64))
        return false;
    if (sep.n == 0)
        return el_jinja_fail(r, "partition at an empty separator");
    int64_t at = -1;
    if (!right)
        at = el_jinja_find(*s, sep, 0);
    else if (!find_last(r, *s, sep, &at))
        return false;
    for (int i = 0; i < 3; i++)
        v[i] = el_jv_str("", 0);
    if (at < 0) {
        v[right ? 2 : 0] = el_jv_str(s->u.s, s->n);
    } else {
        v[0] = el_jv_str(s->u.s, (size_t)at);
        v[1] = sep;
        v[2] = el_jv_str(s->u.s + at + sep.n, s->n - (size_t)at - sep.n);
    }
    *out = el_jv_tuple(v, 3);
    return true;
}

METHOD(m_partition)
{
    return partition(r, s, a, false, out);
}

METHOD(m_rpartition)
{
    return partition(r, s, a, true, out);
}

METHOD(m_join)
{
    struct el_jval item;
    struct el_jiter *it;
    struct el_jtext t;
    if (!el_jinja_iter(r, &a->v[0], &it))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (bool first = true;; first = false) {
        bool end;
        if (!el_jinja_next(r, it, &item, &end))
            return false;
        if (end)
            break;
        if (item.kind != EL_J_STR)
            return el_jinja_fail(r, "join of a %s", el_jv_type(&item));
        if ((!first && !el_jtext_add(r, &t, s->u.s, s->n)) || !el_jtext_add(r, &t, item.u.s, item.n))
            return false;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

/* ---- strings: case and padding ------------------------------------------------------------------------------------ */

METHOD(m_upper)
{
    (void)a;
    return el_jinja_case(r, *s, EL_JINJA_UPPER, out);
}

METHOD(m_lower)
{
    (void)a;
    return el_jinja_case(r, *s, EL_JINJA_LOWER, out);
}

METHOD(m_capitalize)
{
    (void)a;
    return el_jinja_case(r, *s, EL_JINJA_CAPITALIZE, out);
}

METHOD(m_title)
{
    (void)a;
    return el_jinja_case(r, *s, EL_JINJA_TITLE, out);
}

METHOD(m_swapcase)
{
    (void)a;
    return el_jinja_case(r, *s, EL_JINJA_SWAP, out);
}

static bool pad(struct el_jrun *r, const struct el_jval *s, const struct el_jargs *a, int side, struct el_jval *out)
{
    struct el_jval fill = el_jv_lit(" ");
    int64_t width;
    uint32_t cp = ' ';
    if (!el_jarg_int(r, &a->v[0], 0, "a width", &width) ||
        (a->v[1].kind != EL_J_MISSING && !el_jarg_str(r, &a->v[1], "a fill character", &fill)))
        return false;
    if (el_jv_n_chars(fill) != 1)
        return el_jinja_fail(r, "a fill character that is not one character");
    (void)el_utf8_decode(fill.u.s, fill.n, &cp);
    return el_jinja_center(r, *s, width, cp, side, out);
}

METHOD(m_center)
{
    return pad(r, s, a, EL_JINJA_LEFT | EL_JINJA_RIGHT, out);
}

METHOD(m_ljust)
{
    return pad(r, s, a, EL_JINJA_RIGHT, out);
}

METHOD(m_rjust)
{
    return pad(r, s, a, EL_JINJA_LEFT, out);
}

METHOD(m_zfill)
{
    int64_t width;
    struct el_jval digits = *s, rest;
    const bool sign = s->n && (s->u.s[0] == '-' || s->u.s[0] == '+');
    if (!el_jarg_int(r, &a->v[0], 0, "a width", &width))
        return false;
    if (!sign)
        return el_jinja_center(r, *s, width, '0', EL_JINJA_LEFT, out);
    digits = el_jv_str(s->u.s + 1, s->n - 1);
    return el_jinja_center(r, digits, width - 1, '0', EL_JINJA_LEFT, &rest) && el_jv_join(r, el_jv_str(s->u.s, 1), rest, out);
}

METHOD(m_expandtabs)
{
    struct el_jtext t;
    int64_t size, column = 0;
    if (!el_jarg_int(r, &a->v[0], 8, "the size of tabs", &size))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (uint32_t i = 0; i < s->n; i++) {
        const char c = s->u.s[i];
        if (c == '\t') {
            const int64_t n = size > 0 ? size - column % size : 0;
            if (!el_jtext_fill(r, &t, " ", 1, (uint64_t)n))
                return false;
            column += n;
            continue;
        }
        if (!el_jtext_add(r, &t, &c, 1))
            return false;
        column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xc0) != 0x80);
    }
    *out = el_jtext_str(r, &t);
    return true;
}

METHOD(m_format)
{
    return el_jinja_format(r, *s, a, out);
}

/* ---- strings: classes --------------------------------------------------------------------------------------------- */

static bool all_of(struct el_jrun *r, const struct el_jval *s, enum el_jclass class, bool empty, struct el_jval *out)
{
    bool all = s->n ? true : empty;
    for (uint32_t i = 0; all && i < s->n;) {
        uint32_t cp = 0;
        i += (uint32_t)el_utf8_decode(s->u.s + i, s->n - i, &cp);
        all = el_jinja_is_class(cp, class);
    }
    *out = el_jv_bool(all);
    return el_jinja_tick(r, s->n / 16);
}

#define CLASS_METHOD(name, class, empty)                                                                                         \
    METHOD(name)                                                                                                                 \
    {                                                                                                                            \
        (void)a;                                                                                                                 \
        return all_of(r, s, class, empty, out);                                                                                  \
    }

CLASS_METHOD(m_isalpha, EL_JINJA_ALPHA, false)
CLASS_METHOD(m_isalnum, EL_JINJA_ALNUM, false)
CLASS_METHOD(m_isascii, EL_JINJA_ASCII, true)
CLASS_METHOD(m_isdecimal, EL_JINJA_DECIMAL, false)
CLASS_METHOD(m_isdigit, EL_JINJA_DIGIT, false)
CLASS_METHOD(m_isnumeric, EL_JINJA_NUMERIC, false)
CLASS_METHOD(m_isspace, EL_JINJA_SPACE, false)
CLASS_METHOD(m_isprintable, EL_JINJA_PRINTABLE, true)

static bool by_test(struct el_jrun *r, const struct el_jval *s, const char *test, struct el_jval *out)
{
    const struct el_jargs none = {.n = 0};
    return el_jinja_call_def(r, el_jinja_test(el_jv_lit(test)), s, &none, out);
}

METHOD(m_islower)
{
    (void)a;
    return by_test(r, s, "lower", out);
}

METHOD(m_isupper)
{
    (void)a;
    return by_test(r, s, "upper", out);
}

/* ---- dictionaries, lists, others ---------------------------------------------------------------------------------- */

METHOD(m_get)
{
    const struct el_jval *found;
    if (!el_jv_find(r, s, &a->v[0], &found))
        return false;
    *out = found ? *found : a->v[1].kind == EL_J_MISSING ? el_jv_none() : a->v[1];
    return true;
}

static bool view(const struct el_jval *dict, uint16_t sub, struct el_jval *out)
{
    *out = *dict;
    out->kind = EL_J_VIEW;
    out->sub = sub;
    return true;
}

METHOD(m_keys)
{
    (void)r;
    (void)a;
    return view(s, EL_J_KEYS, out);
}

METHOD(m_values)
{
    (void)r;
    (void)a;
    return view(s, EL_J_VALUES, out);
}

METHOD(m_items)
{
    (void)r;
    (void)a;
    return view(s, EL_J_ITEMS, out);
}

METHOD(m_copy)
{
    (void)r;
    (void)a;
    *out = *s;
    return true;
}

METHOD(m_seq_index)
{
    for (uint32_t i = 0; i < s->n; i++) {
        bool same;
        if (!el_jv_equal(r, &s->u.v[i], &a->v[0], &same))
            return false;
        if (same) {
            *out = el_jv_int(i);
            return true;
        }
    }
    return el_jinja_fail(r, "index: the value is not in the list");
}

METHOD(m_seq_count)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        bool same;
        if (!el_jv_equal(r, &s->u.v[i], &a->v[0], &same))
            return false;
        n += same;
    }
    *out = el_jv_int(n);
    return true;
}

METHOD(m_is_integer)
{
    (void)r;
    (void)a;
    *out = el_jv_bool(s->u.d >= -9e18 && s->u.d <= 9e18 ? s->u.d == (double)(int64_t)s->u.d : s->u.d - s->u.d == 0);
    return true;
}

METHOD(m_cycle_next)
{
    (void)r;
    (void)a;
    struct el_jcycler *const c = s->u.cycler;
    *out = c->items.u.v[c->at];
    c->at = (c->at + 1) % c->items.n;
    return true;
}

METHOD(m_cycle_reset)
{
    (void)r;
    (void)a;
    s->u.cycler->at = 0;
    *out = el_jv_none();
    return true;
}

static const struct el_jdef str_methods[] = {
    {"capitalize", m_capitalize, "", 0},
    {"casefold", m_lower, "", 0},
    {"center", m_center, "width,fillchar", 1},
    {"count", m_count, "sub,start,end", 1},
    {"endswith", m_endswith, "suffix,start,end", 1},
    {"expandtabs", m_expandtabs, "tabsize", 0},
    {"find", m_find, "sub,start,end", 1},
    {"format", m_format, NULL, 0},
    {"index", m_index, "sub,start,end", 1},
    {"isalnum", m_isalnum, "", 0},
    {"isalpha", m_isalpha, "", 0},
    {"isascii", m_isascii, "", 0},
    {"isdecimal", m_isdecimal, "", 0},
    {"isdigit", m_isdigit, "", 0},
    {"islower", m_islower, "", 0},
    {"isnumeric", m_isnumeric, "", 0},
    {"isprintable", m_isprintable, "", 0},
    {"isspace", m_isspace, "", 0},
    {"isupper", m_isupper, "", 0},
    {"join", m_join, "iterable", 1},
    {"ljust", m_ljust, "width,fillchar", 1},
    {"lower", m_lower, "", 0},
    {"lstrip", m_lstrip, "chars", 0},
    {"partition", m_partition, "sep", 1},
    {"removeprefix", m_removeprefix, "prefix", 1},
    {"removesuffix", m_removesuffix, "suffix", 1},
    {"replace", m_replace, "old,new,count", 2},
    {"rfind", m_rfind, "sub,start,end", 1},
    {"rindex", m_rindex, "sub,start,end", 1},
    {"rjust", m_rjust, "width,fillchar", 1},
    {"rpartition", m_rpartition, "sep", 1},
    {"rsplit", m_rsplit, "sep,maxsplit", 0},
    {"rstrip", m_rstrip, "chars", 0},
    {"split", m_split, "sep,maxsplit", 0},
    {"splitlines", m_splitlines, "keepends", 0},
    {"startswith", m_startswith, "prefix,start,end", 1},
    {"strip", m_strip, "chars", 0},
    {"swapcase", m_swapcase, "", 0},
    {"title", m_title, "", 0},
    {"upper", m_upper, "", 0},
    {"zfill", m_zfill, "width", 1},
};
static const struct el_jdef dict_methods[] = {
    {"copy", m_copy, "", 0}, {"get", m_get, "key,default", 1}, {"items", m_items, "", 0},
    {"keys", m_keys, "", 0}, {"values", m_values, "", 0},
};
static const struct el_jdef seq_methods[] = {
    {"count", m_seq_count, "value", 1}, {"index", m_seq_index, "value", 1}, {"copy", m_copy, "", 0}, /* not of tuples */
};
static const struct el_jdef float_methods[] = {{"is_integer", m_is_integer, "", 0}};
static const struct el_jdef cycler_methods[] = {{"next", m_cycle_next, "", 0}, {"reset", m_cycle_reset, "", 0}};

#define FIND(table) el_jinja_find_def(table, sizeof table / sizeof table[0], name)

const struct el_jdef *el_jinja_method(const struct el_jval *self, struct el_jval name)
{
    switch (self->kind) {
    case EL_J_STR: return FIND(str_methods);
    case EL_J_DICT: return FIND(dict_methods);
    case EL_J_LIST: return FIND(seq_methods);
    case EL_J_TUPLE: return el_jinja_find_def(seq_methods, 2, name);
    case EL_J_FLOAT: return FIND(float_methods);
    case EL_J_CYCLER: return FIND(cycler_methods);
    default: return NULL;
    }
}

bool el_jinja_is_hidden(const struct el_jval *self, struct el_jval name)
{
    static const char *const of_list[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
    const char *const *const table = self->kind == EL_J_LIST ? of_list : of_dict;
    const size_t n = self->kind == EL_J_LIST   ? sizeof of_list / sizeof of_list[0]
                     : self->kind == EL_J_DICT ? sizeof of_dict / sizeof of_dict[0]
                                               : 0;
    for (size_t i = 0; i < n; i++)
        if (el_jv_is(&name, table[i]))
            return true;
    /* Names with two underscores on both ends are the inside of Python. */
    return name.n > 4 && memcmp(name.u.s, "__", 2) == 0 && memcmp(name.u.s + name.n - 2, "__", 2) == 0;
}
