/* Filters of single values: strings, numbers, JSON. The filters of sequences are in jinja_seq.c. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale_c.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

/* The value of a filter as text. */
static bool soft(struct el_jrun *r, const struct el_jval *self, struct el_jval *out)
{
    return el_jv_to_str(r, self, out);
}

static bool f_trim(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s, chars;
    const bool has = a->v[0].kind != EL_J_MISSING && a->v[0].kind != EL_J_NONE;
    if (!soft(r, self, &s) || (has && !el_jarg_str(r, &a->v[0], "the argument of trim", &chars)) ||
        !el_jinja_tick(r, (uint64_t)(s.n / 64 + 1) * (has ? chars.n / 16 + 1 : 1)))
        return false;
    *out = el_jinja_strip(s, has ? &chars : NULL, EL_JINJA_LEFT | EL_JINJA_RIGHT);
    out->flags = self->kind == EL_J_STR ? self->flags : 0;
    return true;
}

static bool cased(struct el_jrun *r, const struct el_jval *self, enum el_jcase how, struct el_jval *out)
{
    struct el_jval s;
    if (!soft(r, self, &s) || !el_jinja_case(r, s, how, out))
        return false;
    out->flags = self->kind == EL_J_STR ? self->flags : 0;
    return true;
}

static bool f_upper(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    return cased(r, self, EL_JINJA_UPPER, out);
}

static bool f_lower(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    return cased(r, self, EL_JINJA_LOWER, out);
}

static bool f_capitalize(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    return cased(r, self, EL_JINJA_CAPITALIZE, out);
}

static bool begins_word(uint32_t cp)
{
    return el_jinja_is_space(cp) || cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<';
}

/* jinja2's own idea of a title: words begin behind white space, '-' and opening brackets only. */
static bool f_title(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s, part;
    struct el_jtext t;
    (void)a;
    if (!soft(r, self, &s))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (uint32_t i = 0; i < s.n;) {
        uint32_t cp = 0, end = i;
        const uint32_t first = (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        const bool gap = begins_word(cp);
        for (uint32_t len = first; end < s.n; end += len) {
            len = (uint32_t)el_utf8_decode(s.u.s + end, s.n - end, &cp);
            if (begins_word(cp) != gap)
                break;
        }
        if (!el_jinja_case(r, el_jv_str(s.u.s + i, first), EL_JINJA_UPPER, &part) || !el_jtext_add(r, &t, part.u.s, part.n) ||
            !el_jinja_case(r, el_jv_str(s.u.s + i + first, end - i - first), EL_JINJA_LOWER, &part) ||
            !el_jtext_add(r, &t, part.u.s, part.n))
            return false;
        i = end;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

static bool f_string(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    if (self->kind == EL_J_STR) {
        *out = *self;
        return true;
    }
    return soft(r, self, out);
}

static bool f_safe(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    if (!soft(r, self, out))
        return false;
    out->flags = EL_J_SAFE;
    return true;
}

static bool f_escape(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    return el_jinja_escape(r, self, out);
}

static bool f_forceescape(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s;
    (void)a;
    return soft(r, self, &s) && el_jinja_escape(r, &s, out);
}

static bool f_replace(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s, from, to;
    int64_t count = -1;
    if (a->v[2].kind != EL_J_NONE && !el_jarg_int(r, &a->v[2], -1, "the count of replace", &count))
        return false;
    return soft(r, self, &s) && soft(r, &a->v[0], &from) && soft(r, &a->v[1], &to) &&
           el_jinja_replace(r, s, from, to, count, out);
}

static bool f_center(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s;
    int64_t width;
    return soft(r, self, &s) && el_jarg_int(r, &a->v[0], 80, "the width of center", &width) &&
           el_jinja_center(r, s, width, ' ', EL_JINJA_LEFT | EL_JINJA_RIGHT, out);
}

static bool f_indent(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s, lines, indent = el_jv_lit("    ");
    struct el_jtext t;
    bool first, blank;
    int64_t width;
    if (!el_jarg_str(r, self, "the value of indent", &s) || !el_jarg_truth(r, &a->v[1], false, &first) ||
        !el_jarg_truth(r, &a->v[2], false, &blank))
        return false;
    if (a->v[0].kind == EL_J_STR) {
        indent = a->v[0];
    } else if (a->v[0].kind != EL_J_MISSING) {
        if (!el_jarg_int(r, &a->v[0], 4, "the width of indent", &width) ||
            !el_jinja_center(r, el_jv_lit(""), width, ' ', EL_JINJA_RIGHT, &indent))
            return false;
    }
    if (!el_jv_join(r, s, el_jv_lit("\n"), &s) || !el_jinja_splitlines(r, s, false, &lines))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (uint32_t i = 0; i < lines.n; i++) {
        const struct el_jval line = lines.u.v[i];
        if (i && !el_jtext_add(r, &t, "\n", 1))
            return false;
        if ((i ? blank || line.n : first) && !el_jtext_add(r, &t, indent.u.s, indent.n))
            return false;
        if (!el_jtext_add(r, &t, line.u.s, line.n))
            return false;
    }
    *out = el_jtext_str(r, &t);
    out->flags = self->flags;
    return true;
}

static bool f_truncate(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s, end = el_jv_lit("..."), none[3] = {el_jv_none(), el_jv_none(), el_jv_none()};
    int64_t length, leeway = 5;
    bool kill;
    uint32_t n;
    if (!el_jarg_int(r, &a->v[0], 255, "the length of truncate", &length) || !el_jarg_truth(r, &a->v[1], false, &kill) ||
        (a->v[2].kind != EL_J_MISSING && !el_jarg_str(r, &a->v[2], "the end of truncate", &end)) ||
        (a->v[3].kind != EL_J_NONE && !el_jarg_int(r, &a->v[3], 5, "the leeway of truncate", &leeway)))
        return false;
    if (length < el_jv_n_chars(end) || leeway < 0)
        return el_jinja_fail(r, "truncate: a length shorter than its end, or a negative leeway");
    if (!el_jv_length(r, self, &n))
        return false;
    if ((int64_t)n <= length + leeway) {
        *out = *self;
        return true;
    }
    none[1] = el_jv_int(length - el_jv_n_chars(end));
    if (!el_jarg_str(r, self, "the value of truncate", &s) || !el_jinja_slice(r, &s, none, &s))
        return false;
    if (!kill) {
        const char *const blank = memrchr(s.u.s, ' ', s.n);
        if (blank)
            s.n = (uint32_t)(blank - s.u.s);
    }
    return el_jv_join(r, s, end, out);
}

static bool f_wordcount(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s;
    int64_t n = 0;
    bool inside = false;
    (void)a;
    if (!soft(r, self, &s) || !el_jinja_tick(r, s.n / 16))
        return false;
    for (uint32_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        i += (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        const bool word = el_jinja_is_alnum(cp) || cp == '_';
        n += word && !inside;
        inside = word;
    }
    *out = el_jv_int(n);
    return true;
}

/* Text outside of tags, white space between words one blank; then the entities that escape() makes are undone. */
static bool f_striptags(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    static const char *const from[] = {"&lt;", "&gt;", "&#39;", "&#34;", "&quot;", "&amp;"};
    static const char *const to[] = {"<", ">", "'", "\"", "\"", "&"};
    struct el_jval s;
    struct el_jtext t;
    bool word = false;
    (void)a;
    if (!soft(r, self, &s))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (uint32_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        const uint32_t len = (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        if (cp == '<') {
            const bool is_comment = s.n - i >= 4 && memcmp(s.u.s + i, "<!--", 4) == 0;
            const int64_t end = el_jinja_find(s, el_jv_lit(is_comment ? "-->" : ">"), i);
            if (end >= 0) {
                i = (uint32_t)end + (is_comment ? 3 : 1);
                continue;
            }
        }
        if (el_jinja_is_space(cp)) {
            word = false;
        } else {
            if ((!word && t.n && !el_jtext_add(r, &t, " ", 1)) || !el_jtext_add(r, &t, s.u.s + i, len))
                return false;
            word = true;
        }
        i += len;
    }
    *out = el_jtext_str(r, &t);
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++)
        if (!el_jinja_replace(r, *out, el_jv_lit(from[i]), el_jv_lit(to[i]), -1, out))
            return false;
    return true;
}

static bool url_quote(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, bool query)
{
    static const char digits[] = "0123456789ABCDEF";
    struct el_jval s;
    if (!soft(r, v, &s))
        return false;
    for (uint32_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.u.s[i];
        const bool plain =
            c && ((c | 0x20) >= 'a' ? (c | 0x20) <= 'z' : (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '/');
        const char hex[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (!(query && c == ' '                                         ? el_jtext_add(r, t, "+", 1)
              : (plain && !(query && c == '/')) || c == '_' || c == '~' ? el_jtext_add(r, t, s.u.s + i, 1)
                                                                        : el_jtext_add(r, t, hex, 3)))
            return false;
    }
    return true;
}

static bool f_urlencode(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jtext t;
    struct el_jval items, pair;
    (void)a;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    if (self->kind == EL_J_STR || !el_jinja_is_iterable(self)) {
        if (!url_quote(r, &t, self, false))
            return false;
        *out = el_jtext_str(r, &t);
        return true;
    }
    struct el_jval view = *self;
    if (view.kind == EL_J_DICT) {
        view.kind = EL_J_VIEW;
        view.sub = EL_J_ITEMS;
    }
    if (!el_jinja_to_list(r, &view, &items))
        return false;
    for (uint32_t i = 0; i < items.n; i++) {
        if (!el_jinja_to_list(r, &items.u.v[i], &pair))
            return false;
        if (pair.n != 2)
            return el_jinja_fail(r, "urlencode: an element has %u parts, not 2", pair.n);
        if ((i && !el_jtext_add(r, &t, "&", 1)) || !url_quote(r, &t, &pair.u.v[0], true) || !el_jtext_add(r, &t, "=", 1) ||
            !url_quote(r, &t, &pair.u.v[1], true))
            return false;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

static bool f_format(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval s, arg = el_jv_tuple(a->v, a->n);
    if (a->n && a->n_kw)
        return el_jinja_fail(r, "format: arguments with and without names");
    if (a->n_kw) {
        struct el_jpair *const kv = el_jinja_get(r, a->n_kw, sizeof *kv);
        uint32_t n = 0;
        if (!kv)
            return false;
        for (uint32_t i = 0; i < a->n_kw; i++)
            if (!el_jv_put(r, kv, &n, a->kw[i].name, a->kw[i].v))
                return false;
        arg = (struct el_jval){.kind = EL_J_DICT, .n = n, .u.kv = kv};
    }
    return soft(r, self, &s) && el_jinja_percent(r, s, &arg, out);
}

static bool f_filesizeformat(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    static const char prefixes[] = "kMGTPEZY";
    struct el_jval v;
    struct el_jtext t;
    bool binary;
    char text[64];
    if (!el_jinja_to_float(r, self, &v) || !el_jarg_truth(r, &a->v[0], false, &binary))
        return false;
    if (v.kind != EL_J_FLOAT || isnan(v.u.d) || isinf(v.u.d))
        return el_jinja_fail(r, "filesizeformat of a %s", el_jv_type(self));
    const double base = binary ? 1024 : 1000;
    el_jtext_init(&t, 256);
    if (v.u.d == 1 || v.u.d < base) {
        const struct el_jval whole = el_jv_int((int64_t)(v.u.d < -1e18 ? -1e18 : v.u.d));
        if (!el_jtext_add_str(r, &t, &whole) || !el_jtext_add_lit(r, &t, v.u.d == 1 ? " Byte" : " Bytes"))
            return false;
    } else {
        double unit = base * base;
        int i = 0;
        for (; i < 7 && v.u.d >= unit; i++)
            unit *= base;
        const char unit_text[5] = {' ', i == 0 && binary ? 'K' : prefixes[i], binary ? 'i' : 'B', binary ? 'B' : '\0', '\0'};
        if (!el_jtext_add(r, &t, text, el_jinja_fixed_text(base * v.u.d / unit, 1, text, sizeof text)) ||
            !el_jtext_add_lit(r, &t, unit_text))
            return false;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

/* Copies a number's text without blanks around and single underscores between digits; false: no number. */
static bool number_text(struct el_jval s, char *out, size_t nbytes)
{
    size_t n = 0;
    s = el_jinja_strip(s, NULL, EL_JINJA_LEFT | EL_JINJA_RIGHT);
    for (uint32_t i = 0; i < s.n; i++) {
        const char c = s.u.s[i];
        if (c == '_') {
            const bool between =
                i > 0 && i + 1 < s.n && strchr("_+-.eE", s.u.s[i - 1]) == NULL && strchr("_+-.", s.u.s[i + 1]) == NULL;
            if (!between)
                return false;
            continue;
        }
        if (n == nbytes - 1 || c == '\0')
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

/* int(text, base): MISSING when it is no integer. */
static bool parse_int(struct el_jrun *r, struct el_jval s, int64_t base, struct el_jval *out)
{
    char text[128], *end;
    *out = el_jv(EL_J_MISSING);
    if (base != 0 && (base < 2 || base > 36))
        return true;
    if (!number_text(s, text, sizeof text))
        return true;
    const char *p = text + (text[0] == '-' || text[0] == '+');
    const char prefix = p[0] == '0' ? (char)(p[1] | 0x20) : '\0';
    const int named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (named && (base == 0 || base == named)) {
        p += 2;
        base = named;
    } else if (base == 0) {
        base = 10;
        if (p[0] == '0' && strspn(p, "0") != strlen(p))
            return true;
    }
    const char c = (char)(*p | 0x20);
    if (!((*p >= '0' && *p <= '9') || (c >= 'a' && c <= 'z')) || ((p[1] | 0x20) == 'x' && base == 16 && p[0] == '0'))
        return true;
    errno = 0;
    const unsigned long long v = strtoull(p, &end, (int)base);
    if (*end)
        return true;
    if (errno == ERANGE || v > INT64_MAX)
        return el_jinja_fail(r, "an integer beyond 64 bits");
    *out = el_jv_int(text[0] == '-' ? -(int64_t)v : (int64_t)v);
    return true;
}

/* float(text): MISSING when it is no number. */
static void parse_float(struct el_jval s, struct el_jval *out)
{
    char text[400], *end;
    *out = el_jv(EL_J_MISSING);
    if (!number_text(s, text, sizeof text))
        return;
    const char *p = text + (text[0] == '-' || text[0] == '+');
    const bool word = strcasecmp(p, "inf") == 0 || strcasecmp(p, "infinity") == 0 || strcasecmp(p, "nan") == 0;
    if (!word && (strspn(p, "0123456789.eE+-") != strlen(p)))
        return;
    const double d = el_strtod_c(text, &end);
    if (!*end)
        *out = el_jv_float(d);
}

bool el_jinja_to_float(struct el_jrun *r, const struct el_jval *v, struct el_jval *out)
{
    int64_t i;
    *out = el_jv(EL_J_MISSING);
    if (v->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, v);
    if (v->kind == EL_J_FLOAT)
        *out = *v;
    else if (v->kind == EL_J_BIG)
        *out = el_jv_float(el_strtod_c(v->u.s, NULL));
    else if (el_jv_as_int(v, &i))
        *out = el_jv_float((double)i);
    else if (v->kind == EL_J_STR)
        parse_float(*v, out);
    return true;
}

/* int(float): fails for what has no 64-bit integer. nan is no number at all: MISSING. */
static bool float_to_int(struct el_jrun *r, double d, struct el_jval *out)
{
    *out = el_jv(EL_J_MISSING);
    if (isnan(d))
        return true;
    if (!(d > -9223372036854775809.0 && d < 9223372036854775808.0))
        return el_jinja_fail(r, "an integer beyond 64 bits");
    *out = el_jv_int((int64_t)d);
    return true;
}

static bool f_int(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval f;
    int64_t i, base;
    if (!el_jarg_int(r, &a->v[1], 10, "the base of int", &base))
        return false;
    *out = *self;
    if (self->kind == EL_J_BIG)
        return true;
    if (el_jv_as_int(self, &i)) {
        *out = el_jv_int(i);
        return true;
    }
    *out = el_jv(EL_J_MISSING);
    if (self->kind == EL_J_STR && !parse_int(r, *self, base, out))
        return false;
    if (out->kind == EL_J_MISSING) {
        if (!el_jinja_to_float(r, self, &f))
            return false;
        const bool endless = f.kind == EL_J_FLOAT && isinf(f.u.d) && self->kind == EL_J_STR;
        if (f.kind == EL_J_FLOAT && !endless && !float_to_int(r, f.u.d, out))
            return false;
    }
    if (out->kind == EL_J_MISSING)
        *out = a->v[0].kind == EL_J_MISSING ? el_jv_int(0) : a->v[0];
    return true;
}

static bool f_float(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    if (!el_jinja_to_float(r, self, out))
        return false;
    if (out->kind == EL_J_MISSING)
        *out = a->v[0].kind == EL_J_MISSING ? el_jv_float(0) : a->v[0];
    return true;
}

static bool f_abs(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    int64_t i;
    (void)a;
    if (self->kind == EL_J_FLOAT) {
        *out = el_jv_float(fabs(self->u.d));
        return true;
    }
    if (self->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, self);
    if (!el_jv_as_int(self, &i) || i == INT64_MIN)
        return el_jinja_fail(r, "abs of a %s", el_jv_type(self));
    *out = el_jv_int(i < 0 ? -i : i);
    return true;
}

/* Python's round(): to the nearest, ties to even, of the exact decimal value. */
static double round_float(double d, int64_t digits)
{
    char text[400];
    if (isnan(d) || isinf(d) || digits > 323)
        return d;
    if (digits < -308)
        return copysign(0.0, d);
    if (digits >= 0) {
        (void)el_jinja_fixed_text(d, (int)digits > 60 ? 60 : (int)digits, text, sizeof text);
        return digits > 60 ? d : el_strtod_c(text, NULL);
    }
    const double scale = pow(10.0, (double)-digits);
    const double q = d / scale, whole = nearbyint(q);
    return whole * scale;
}

static bool f_round(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    int64_t digits, i = 0;
    const struct el_jval method = a->v[1].kind == EL_J_MISSING ? el_jv_lit("common") : a->v[1];
    if (!el_jarg_int(r, &a->v[0], 0, "the precision of round", &digits))
        return false;
    if (self->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, self);
    const bool is_int = el_jv_as_int(self, &i);
    if (!is_int && self->kind != EL_J_FLOAT)
        return el_jinja_fail(r, "round of a %s", el_jv_type(self));
    const double d = is_int ? (double)i : self->u.d;
    if (el_jv_is(&method, "common")) {
        if (!is_int) {
            *out = el_jv_float(round_float(d, digits));
        } else if (digits >= 0) {
            *out = el_jv_int(i);
        } else { /* to tens, hundreds: ties to even */
            int64_t unit = 1;
            for (int64_t k = digits; k < 0 && unit < INT64_MAX / 100; k++)
                unit *= 10;
            int64_t q = i / unit;
            const int64_t rest = i % unit, twice = rest < 0 ? -2 * rest : 2 * rest;
            if (twice > unit || (twice == unit && (q & 1)))
                q += i < 0 ? -1 : 1;
            *out = el_jv_int(digits < -18 ? 0 : q * unit);
        }
        return true;
    }
    const bool up = el_jv_is(&method, "ceil");
    if (!up && !el_jv_is(&method, "floor"))
        return el_jinja_fail(r, "round: the method is common, ceil or floor");
    if (isnan(d) || isinf(d) || digits > 300 || digits < -300)
        return el_jinja_fail(r, "round of a number without digits");
    /* As jinja2 writes it: func(value * 10 ** precision) / 10 ** precision, where the power is a float below zero. */
    const double scale = digits >= 0 ? pow(10.0, (double)digits) : 1.0 / pow(10.0, (double)-digits);
    const double scaled = d * scale;
    *out = el_jv_float((up ? ceil(scaled) : floor(scaled)) / scale);
    return true;
}

/* ---- other -------------------------------------------------------------------------------------------------------- */

static bool f_default(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    bool falsy_too, truth;
    if (!el_jarg_truth(r, &a->v[1], false, &falsy_too) || !el_jv_truth(r, self, &truth))
        return false;
    const bool take = self->kind == EL_J_UNDEF || (falsy_too && !truth);
    *out = !take ? *self : a->v[0].kind == EL_J_MISSING ? el_jv_lit("") : a->v[0];
    return true;
}

static bool f_attr(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval name;
    if (!el_jarg_str(r, &a->v[0], "the argument of attr", &name))
        return false;
    if (self->kind == EL_J_DICT && !el_jinja_method(self, name) && !el_jinja_is_hidden(self, name)) {
        *out = el_jv_undef(name, EL_J_ATTR); /* attributes only, no elements */
        return true;
    }
    return el_jinja_attr(r, self, name, out);
}

static bool f_tojson(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jjson_opts o = {.item_sep = el_jv_lit(", "), .key_sep = el_jv_lit(": ")};
    struct el_jtext t;
    struct el_jval seps;
    const struct el_jval *const indent = &a->v[1], *const sep = &a->v[2];
    if (!el_jarg_truth(r, &a->v[0], false, &o.ascii) || !el_jarg_truth(r, &a->v[3], false, &o.sort))
        return false;
    if (indent->kind == EL_J_STR) {
        o.indent = *indent;
        o.has_indent = true;
    } else if (indent->kind != EL_J_MISSING && indent->kind != EL_J_NONE) {
        int64_t width;
        if (!el_jarg_int(r, indent, 0, "the indent of tojson", &width) ||
            !el_jinja_center(r, el_jv_lit(""), width, ' ', EL_JINJA_RIGHT, &o.indent))
            return false;
        o.has_indent = true;
    }
    if (o.has_indent)
        o.item_sep = el_jv_lit(",");
    if (sep->kind != EL_J_MISSING && sep->kind != EL_J_NONE) {
        if (!el_jinja_to_list(r, sep, &seps))
            return false;
        if (seps.n != 2 || seps.u.v[0].kind != EL_J_STR || seps.u.v[1].kind != EL_J_STR)
            return el_jinja_fail(r, "tojson: separators are two strings");
        o.item_sep = seps.u.v[0];
        o.key_sep = seps.u.v[1];
    }
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    if (!el_jtext_add_json(r, &t, self, &o))
        return false;
    *out = el_jtext_str(r, &t);
    return true;
}

const struct el_jdef *el_jinja_filter(struct el_jval name)
{
    static const struct el_jdef table[] = {
        {"abs", f_abs, "", 0},
        {"attr", f_attr, "name", 1},
        {"capitalize", f_capitalize, "", 0},
        {"center", f_center, "width", 0},
        {"d", f_default, "default_value,boolean", 0},
        {"default", f_default, "default_value,boolean", 0},
        {"e", f_escape, "", 0},
        {"escape", f_escape, "", 0},
        {"filesizeformat", f_filesizeformat, "binary", 0},
        {"float", f_float, "default", 0},
        {"forceescape", f_forceescape, "", 0},
        {"format", f_format, NULL, 0},
        {"indent", f_indent, "width,first,blank", 0},
        {"int", f_int, "default,base", 0},
        {"lower", f_lower, "", 0},
        {"replace", f_replace, "old,new,count", 2},
        {"round", f_round, "precision,method", 0},
        {"safe", f_safe, "", 0},
        {"string", f_string, "", 0},
        {"striptags", f_striptags, "", 0},
        {"title", f_title, "", 0},
        {"tojson", f_tojson, "ensure_ascii,indent,separators,sort_keys", 0},
        {"trim", f_trim, "chars", 0},
        {"truncate", f_truncate, "length,killwords,end,leeway", 0},
        {"upper", f_upper, "", 0},
        {"urlencode", f_urlencode, "", 0},
        {"wordcount", f_wordcount, "", 0},
    };
    const struct el_jdef *const def = el_jinja_find_def(table, sizeof table / sizeof table[0], name);
    return def ? def : el_jinja_find_def(el_jinja_seq_filters, el_jinja_n_seq_filters, name);
}
