/* Text by pattern: "%d" % x, "{}".format(x), strftime. Widths and precisions are bounded. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/locale_c.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

enum { MAX_PRECISION = 350, NUMBER_TEXT = 800 };

/* What a pattern asks for: %[flags][width][.precision]x and {:[[fill]align][sign][#][0][width][,][.precision][x]}. */
struct spec {
    uint32_t fill; /* character */
    char align;    /* '<' '>' '^' '=', 0: by type */
    char sign;     /* '+' ' ' '-' */
    bool alt, comma, has_precision;
    int64_t width, precision;
    char type; /* 0: none given */
};

static size_t print(char *out, size_t nbytes, const char *fmt, ...) EL_PRINTF(3, 4);

static size_t print(char *out, size_t nbytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = el_vsnprintf_c(out, nbytes, fmt, args);
    va_end(args);
    return n < 0 ? 0 : (size_t)n < nbytes ? (size_t)n : nbytes - 1;
}

size_t el_jinja_fixed_text(double d, int digits, char *out, size_t nbytes)
{
    return print(out, nbytes, "%.*f", digits, d);
}

/* ---- numbers as a spec wants them --------------------------------------------------------------------------------- */

/* Digits of v in a base of 2, 8, 10 or 16. */
static size_t digits_of(uint64_t v, unsigned base, bool upper, char *out)
{
    char back[72];
    size_t n = 0;
    do
        back[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
    while ((v /= base) != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = back[n - 1 - i];
    out[n] = '\0';
    return n;
}

/* Commas between thousands in the digits before the point. */
static size_t with_commas(char *s, size_t n, size_t nbytes)
{
    size_t whole = 0;
    while (whole < n && s[whole] >= '0' && s[whole] <= '9')
        whole++;
    for (size_t at = whole; at > 3 && n + 1 < nbytes;) {
        at -= 3;
        memmove(s + at + 1, s + at, n - at + 1);
        s[at] = ',';
        n++;
    }
    return n;
}

static size_t float_digits(double d, const struct spec *sp, char *out, size_t nbytes)
{
    const int precision = sp->has_precision ? (int)sp->precision : 6;
    char text[40];
    if (isnan(d) || isinf(d))
        return print(out, nbytes, "%s",
                     sp->type == 'F' || sp->type == 'E' || sp->type == 'G' ? (isnan(d) ? "NAN" : "INF")
                     : isnan(d)                                            ? "nan"
                                                                           : "inf");
    switch (sp->type) {
    case 'f':
    case 'F': return print(out, nbytes, sp->alt ? "%#.*f" : "%.*f", precision, d);
    case 'e': return print(out, nbytes, sp->alt ? "%#.*e" : "%.*e", precision, d);
    case 'E': return print(out, nbytes, sp->alt ? "%#.*E" : "%.*E", precision, d);
    case 'g': return print(out, nbytes, sp->alt ? "%#.*g" : "%.*g", precision, d);
    case 'G': return print(out, nbytes, sp->alt ? "%#.*G" : "%.*G", precision, d);
    case '%': {
        const size_t n = print(out, nbytes - 1, "%.*f", precision, d * 100);
        out[n] = '%';
        out[n + 1] = '\0';
        return n + 1;
    }
    default: break;
    }
    if (!sp->has_precision)
        return print(out, nbytes, "%.*s", (int)el_jinja_float_text(d, text), text);
    /* As %g, but with a digit after the point where there is no exponent. */
    size_t n = print(out, nbytes, "%.*g", precision ? precision : 1, d);
    char *const e = strchr(out, 'e');
    const int exponent = d == 0 ? 0 : (int)floor(log10(d));
    if (!e && !strchr(out, '.') && exponent + 1 >= (precision ? precision : 1))
        n = print(out, nbytes, "%.*e", precision ? precision - 1 : 0, d);
    else if (!e && !strchr(out, '.'))
        n += print(out + n, nbytes - n, ".0");
    return n;
}

/* Puts sign, prefix and digits together with what fills the width. */
static bool add_padded(struct el_jrun *r, struct el_jtext *t, const struct spec *sp, const char *prefix, struct el_jval body,
                       char align)
{
    const uint64_t len = strlen(prefix) + el_jv_n_chars(body);
    const uint64_t pad = sp->width > 0 && (uint64_t)sp->width > len ? (uint64_t)sp->width - len : 0;
    const char how = sp->align ? sp->align : align;
    const uint64_t left = how == '>' ? pad : how == '^' ? pad / 2 : 0;
    char fill[4];
    const size_t n = el_utf8_encode(sp->fill, fill);
    return el_jtext_fill(r, t, fill, n, left) && el_jtext_add_lit(r, t, prefix) &&
           el_jtext_fill(r, t, fill, n, how == '=' ? pad : 0) && el_jtext_add(r, t, body.u.s, body.n) &&
           el_jtext_fill(r, t, fill, n, how == '<' || how == '^' ? pad - left : 0);
}

static bool add_number(struct el_jrun *r, struct el_jtext *t, const struct spec *sp, const struct el_jval *v)
{
    char text[NUMBER_TEXT], prefix[4];
    size_t n, n_prefix = 0;
    int64_t i = 0;
    const bool is_float = v->kind == EL_J_FLOAT || strchr("eEfFgG%", sp->type ? sp->type : '?');
    const bool is_int = el_jv_as_int(v, &i);
    const double d = is_int ? (double)i : v->u.d;
    const bool minus = is_float ? signbit(d) && !isnan(d) : i < 0;
    if (minus || sp->sign == '+' || sp->sign == ' ')
        prefix[n_prefix++] = minus ? '-' : sp->sign;
    if (is_float) {
        n = float_digits(fabs(d), sp, text, sizeof text / 2);
    } else {
        const char type = sp->type;
        const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
        n = digits_of(i < 0 ? -(uint64_t)i : (uint64_t)i, base, type == 'X', text);
        if (sp->alt && base != 10) {
            prefix[n_prefix++] = '0';
            prefix[n_prefix++] = type;
        }
    }
    prefix[n_prefix] = '\0';
    if (sp->comma)
        n = with_commas(text, n, sizeof text);
    /* %.5d: zeros in front up to so many digits. */
    if (!is_float && sp->has_precision && sp->precision > (int64_t)n) {
        const size_t more = (size_t)sp->precision - n;
        memmove(text + more, text, n + 1);
        memset(text, '0', more);
        n += more;
    }
    return add_padded(r, t, sp, prefix, el_jv_str(text, n), '>');
}

static bool add_cut(struct el_jrun *r, struct el_jtext *t, const struct spec *sp, struct el_jval s, char align)
{
    if (sp->has_precision)
        s.n = el_jv_char_at(s, (uint32_t)sp->precision);
    return add_padded(r, t, sp, "", s, align);
}

/* A number of at most 8 digits at *p; -1 when there is none, -2 when it has more. */
static int64_t small_number(const char **p, const char *end)
{
    int64_t v = -1;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        v = (v < 0 ? 0 : v) * 10 + (**p - '0');
        if (v > 99999999)
            return -2;
    }
    return v;
}

/* ---- "%d" % value ------------------------------------------------------------------------------------------------- */

struct percent {
    const char *p, *end;
    const struct el_jval *arg;
    bool is_tuple;
    uint32_t at; /* element of the tuple */
    bool used;
};

static bool next_arg(struct el_jrun *r, struct percent *f, struct el_jval *out)
{
    if (f->is_tuple ? f->at >= f->arg->n : f->used)
        return el_jinja_fail(r, "%%: not enough arguments for the format");
    *out = f->is_tuple ? f->arg->u.v[f->at++] : *f->arg;
    f->used = true;
    return true;
}

static bool star_or_number(struct el_jrun *r, struct percent *f, int64_t *out)
{
    struct el_jval v;
    if (f->p < f->end && *f->p == '*') {
        f->p++;
        return next_arg(r, f, &v) && (el_jv_as_int(&v, out) || el_jinja_fail(r, "%%: * wants an integer"));
    }
    *out = small_number(&f->p, f->end);
    return *out != -2 || el_jinja_fail(r, "%%: a width of more than 8 digits");
}

static bool add_percent_value(struct el_jrun *r, struct el_jtext *t, struct spec *sp, struct el_jval v)
{
    struct el_jval s;
    struct el_jtext repr;
    int64_t i;
    switch (sp->type) {
    case 's': return el_jv_to_str(r, &v, &s) && add_cut(r, t, sp, s, '>');
    case 'r':
    case 'a':
        el_jtext_init(&repr, EL_JINJA_MAX_OUTPUT);
        return el_jtext_add_repr(r, &repr, &v) && add_cut(r, t, sp, el_jtext_str(r, &repr), '>');
    case 'c': {
        char bytes[4];
        if (v.kind == EL_J_STR && el_jv_n_chars(v) == 1)
            return add_cut(r, t, sp, v, '>');
        if (!el_jv_as_int(&v, &i) || i < 0 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000))
            return el_jinja_fail(r, "%%c wants a character");
        return add_cut(r, t, sp, el_jv_str(bytes, el_utf8_encode((uint32_t)i, bytes)), '>');
    }
    case 'd':
    case 'i':
    case 'u':
        if (v.kind == EL_J_FLOAT && fabs(v.u.d) < 9e18) /* a NaN is not below */
            v = el_jv_int((int64_t)v.u.d);
        sp->type = 'd';
        break;
    case 'x':
    case 'X':
    case 'o': break;
    default: /* e f g */
        if (el_jv_as_int(&v, &i))
            v = el_jv_float((double)i);
        if (v.kind != EL_J_FLOAT)
            return el_jinja_fail(r, "%%%c wants a number, not a %s", sp->type, el_jv_type(&v));
    }
    if (v.kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, &v);
    if (v.kind != EL_J_INT && v.kind != EL_J_BOOL && (v.kind != EL_J_FLOAT || strchr("dxXo", sp->type)))
        return el_jinja_fail(r, "%%%c wants an integer, not a %s", sp->type, el_jv_type(&v));
    return add_number(r, t, sp, &v);
}

static bool add_percent(struct el_jrun *r, struct el_jtext *t, struct percent *f)
{
    struct spec sp = {.fill = ' ', .precision = -1};
    struct el_jval v = el_jv(EL_J_MISSING);
    bool zero = false;
    if (f->p < f->end && *f->p == '(') {
        const char *const close = memchr(f->p, ')', (size_t)(f->end - f->p));
        const struct el_jval *found;
        if (!close || f->arg->kind != EL_J_DICT)
            return el_jinja_fail(r, "%%: a name in the format wants a mapping");
        const struct el_jval key = el_jv_str(f->p + 1, (size_t)(close - f->p - 1));
        if (!el_jv_find(r, f->arg, &key, &found))
            return false;
        if (!found)
            return el_jinja_fail(r, "%%: no value '%.*s'", (int)key.n, key.u.s);
        v = *found;
        f->used = true;
        f->p = close + 1;
    }
    for (; f->p < f->end && strchr("-+ #0", *f->p); f->p++) {
        zero = zero || *f->p == '0';
        sp.alt = sp.alt || *f->p == '#';
        if (*f->p == '-')
            sp.align = '<';
        if (*f->p == '+' || (*f->p == ' ' && sp.sign != '+'))
            sp.sign = *f->p;
    }
    if (!star_or_number(r, f, &sp.width))
        return false;
    if (sp.width < -1) {
        sp.width = -sp.width;
        sp.align = '<';
    }
    if (f->p < f->end && *f->p == '.') {
        f->p++;
        sp.has_precision = true;
        if (!star_or_number(r, f, &sp.precision))
            return false;
        sp.precision = sp.precision < 0 ? 0 : sp.precision;
    }
    while (f->p < f->end && strchr("hlL", *f->p))
        f->p++;
    if (f->p == f->end)
        return el_jinja_fail(r, "%%: the format ends too early");
    sp.type = *f->p++;
    if (sp.type == '%')
        return el_jtext_add(r, t, "%", 1);
    if (!strchr("srcadiuxXoeEfFgG", sp.type))
        return el_jinja_fail(r, "%%: an unknown format character");
    if (!strchr("sra", sp.type)) {
        if (sp.precision > MAX_PRECISION)
            return el_jinja_fail(r, "%%: a precision of %lld, at most %d", (long long)sp.precision, (int)MAX_PRECISION);
        if (zero && !sp.align) {
            sp.fill = '0';
            sp.align = '=';
        }
    }
    if (v.kind == EL_J_MISSING && !next_arg(r, f, &v))
        return false;
    return add_percent_value(r, t, &sp, v);
}

bool el_jinja_percent(struct el_jrun *r, struct el_jval format, const struct el_jval *arg, struct el_jval *out)
{
    struct percent f = {format.u.s, format.u.s + format.n, arg, arg->kind == EL_J_TUPLE, 0, false};
    struct el_jtext t;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    while (f.p < f.end) {
        const char *const next = memchr(f.p, '%', (size_t)(f.end - f.p));
        if (!el_jtext_add(r, &t, f.p, (size_t)((next ? next : f.end) - f.p)))
            return false;
        if (!next)
            break;
        f.p = next + 1;
        if (!add_percent(r, &t, &f))
            return false;
    }
    /* What has elements by key may stand for a mapping that no field asks. */
    const bool mapping = arg->kind == EL_J_DICT || arg->kind == EL_J_LIST || arg->kind == EL_J_RANGE || arg->kind == EL_J_UNDEF;
    const bool rest = f.is_tuple ? f.at < arg->n : !f.used && !mapping;
    if (rest)
        return el_jinja_fail(r, "%%: not all arguments converted");
    *out = el_jtext_str(r, &t);
    return true;
}

/* ---- "{}".format(value) ------------------------------------------------------------------------------------------- */

struct braces {
    const struct el_jargs *a;
    uint32_t at;
    bool automatic, manual;
};

/* The value of a field name: "", "0", "name", "0.attr[key]". */
static bool field_value(struct el_jrun *r, struct braces *f, const char *s, const char *end, struct el_jval *out)
{
    const char *p = s;
    while (p < end && *p != '.' && *p != '[')
        p++;
    const struct el_jval first = el_jv_str(s, (size_t)(p - s));
    const char *d = s;
    int64_t index = small_number(&d, p);
    if (first.n == 0 || (d == p && index >= 0)) {
        const bool automatic = first.n == 0;
        f->automatic = f->automatic || automatic;
        f->manual = f->manual || !automatic;
        if (f->automatic && f->manual)
            return el_jinja_fail(r, "format: numbered and unnumbered fields");
        if (automatic)
            index = f->at++;
        if (index >= f->a->n)
            return el_jinja_fail(r, "format: no argument %lld", (long long)index);
        *out = f->a->v[index];
    } else {
        const struct el_jval *found = NULL;
        for (uint32_t i = 0; i < f->a->n_kw; i++)
            if (f->a->kw[i].name.n == first.n && memcmp(f->a->kw[i].name.u.s, first.u.s, first.n) == 0)
                found = &f->a->kw[i].v;
        if (!found)
            return el_jinja_fail(r, "format: no argument '%.*s'", (int)first.n, first.u.s);
        *out = *found;
    }
    while (p < end) {
        struct el_jval obj = *out, key;
        const char *const begin = p + 1;
        if (*p == '.') {
            for (p++; p < end && *p != '.' && *p != '['; p++)
                continue;
            key = el_jv_str(begin, (size_t)(p - begin));
            if (!el_jinja_attr(r, &obj, key, out))
                return false;
        } else {
            while (p < end && *p != ']')
                p++;
            if (p == end)
                return el_jinja_fail(r, "format: a field without ']'");
            d = begin;
            index = small_number(&d, p);
            key = d == p && index >= 0 ? el_jv_int(index) : el_jv_str(begin, (size_t)(p - begin));
            p++;
            if (!el_jinja_item(r, &obj, &key, out))
                return false;
        }
        if (out->kind == EL_J_UNDEF)
            return el_jinja_use_undef(r, out);
    }
    return true;
}

static bool parse_spec(struct el_jrun *r, struct el_jval text, struct spec *sp)
{
    const char *p = text.u.s, *const end = text.u.s + text.n;
    uint32_t cp = 0;
    const size_t n = text.n ? el_utf8_decode(p, text.n, &cp) : 0;
    *sp = (struct spec){.fill = ' '};
    if (n && p + n < end && strchr("<>^=", p[n])) {
        sp->fill = cp;
        sp->align = p[n];
        p += n + 1;
    } else if (p < end && strchr("<>^=", *p)) {
        sp->align = *p++;
    }
    if (p < end && strchr("+- ", *p))
        sp->sign = *p++;
    if (p < end && *p == '#') {
        sp->alt = true;
        p++;
    }
    if (p < end && *p == '0') {
        p++;
        if (!sp->align) {
            sp->fill = '0';
            sp->align = '=';
        }
    }
    sp->width = small_number(&p, end);
    if (p < end && *p == ',') {
        sp->comma = true;
        p++;
    }
    if (p < end && *p == '.') {
        p++;
        sp->has_precision = true;
        sp->precision = small_number(&p, end);
        if (sp->precision == -1)
            return el_jinja_fail(r, "format: a point without a precision");
    }
    if (sp->width == -2 || sp->precision == -2)
        return el_jinja_fail(r, "format: a width of more than 8 digits");
    if (p < end)
        sp->type = *p++;
    return p == end || el_jinja_fail(r, "format: an invalid specification");
}

static bool add_field(struct el_jrun *r, struct el_jtext *t, struct el_jval v, char conversion, struct el_jval spec_text)
{
    struct spec sp;
    struct el_jtext repr;
    int64_t i;
    if (conversion == 'r' || conversion == 'a') {
        el_jtext_init(&repr, EL_JINJA_MAX_OUTPUT);
        if (!el_jtext_add_repr(r, &repr, &v))
            return false;
        v = el_jtext_str(r, &repr);
    } else if (conversion == 's') {
        if (!el_jv_to_str(r, &v, &v))
            return false;
    } else if (conversion) {
        return el_jinja_fail(r, "format: an unknown conversion");
    }
    if (spec_text.n == 0)
        return el_jtext_add_str(r, t, &v);
    if (!parse_spec(r, spec_text, &sp))
        return false;
    if (v.kind == EL_J_STR) {
        if ((sp.type && sp.type != 's') || sp.align == '=' || sp.sign || sp.comma || sp.alt)
            return el_jinja_fail(r, "format: the specification does not fit a string");
        return add_cut(r, t, &sp, v, '<');
    }
    const bool is_int = el_jv_as_int(&v, &i);
    if (!is_int && v.kind != EL_J_FLOAT)
        return el_jinja_fail(r, "format: a %s has no specification", el_jv_type(&v));
    if (sp.has_precision && sp.precision > MAX_PRECISION)
        return el_jinja_fail(r, "format: a precision of %lld, at most %d", (long long)sp.precision, (int)MAX_PRECISION);
    if (sp.type == 'n')
        sp.type = is_int ? 'd' : 'g';
    const char *const allowed = is_int ? "bcdoxXeEfFgG%" : "eEfFgG%";
    if (sp.type && !strchr(allowed, sp.type))
        return el_jinja_fail(r, "format: the specification does not fit a %s", el_jv_type(&v));
    if (is_int && sp.has_precision && !(sp.type && strchr("eEfFgG%", sp.type)))
        return el_jinja_fail(r, "format: a precision for an integer");
    if (sp.type == 'c') {
        char bytes[4];
        if (i < 0 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000))
            return el_jinja_fail(r, "format: no such character");
        return add_padded(r, t, &sp, "", el_jv_str(bytes, el_utf8_encode((uint32_t)i, bytes)), '<');
    }
    return add_number(r, t, &sp, &v);
}

/* Fields within a specification ("{:{width}}"), one level. */
static bool expand_spec(struct el_jrun *r, struct braces *f, struct el_jval spec, struct el_jval *out)
{
    struct el_jtext t;
    const char *p = spec.u.s, *const end = p + spec.n;
    *out = spec;
    if (!memchr(p, '{', spec.n))
        return true;
    el_jtext_init(&t, 4096);
    while (p < end) {
        if (*p != '{') {
            if (!el_jtext_add(r, &t, p++, 1))
                return false;
            continue;
        }
        const char *const close = memchr(p, '}', (size_t)(end - p));
        struct el_jval v;
        if (!close)
            return el_jinja_fail(r, "format: a field without '}'");
        if (!field_value(r, f, p + 1, close, &v) || !el_jtext_add_str(r, &t, &v))
            return false;
        p = close + 1;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

/* A field from behind its '{' to its '}': name [!conversion] [:spec]. */
static bool add_braces(struct el_jrun *r, struct el_jtext *t, struct braces *f, const char *p, const char *end)
{
    const char *name_end = p;
    char conversion = '\0';
    struct el_jval v, spec = el_jv_str("", 0);
    while (name_end < end && *name_end != '!' && *name_end != ':') {
        if (*name_end == '[') {
            const char *const close = memchr(name_end, ']', (size_t)(end - name_end));
            name_end = close ? close : name_end;
        }
        name_end++;
    }
    const char *rest = name_end;
    if (rest < end && *rest == '!') {
        if (end - rest < 2 || (end - rest > 2 && rest[2] != ':'))
            return el_jinja_fail(r, "format: an invalid conversion");
        conversion = rest[1];
        rest += 2;
    }
    if (rest < end)
        spec = el_jv_str(rest + 1, (size_t)(end - rest - 1));
    return field_value(r, f, p, name_end, &v) && expand_spec(r, f, spec, &spec) && add_field(r, t, v, conversion, spec);
}

bool el_jinja_format(struct el_jrun *r, struct el_jval format, const struct el_jargs *a, struct el_jval *out)
{
    struct braces f = {.a = a};
    struct el_jtext t;
    const char *p = format.u.s, *const end = p + format.n;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    while (p < end) {
        const char *q = p;
        while (q < end && *q != '{' && *q != '}')
            q++;
        if (!el_jtext_add(r, &t, p, (size_t)(q - p)))
            return false;
        p = q;
        if (p == end)
            break;
        if (p + 1 < end && p[1] == p[0]) {
            if (!el_jtext_add(r, &t, p, 1))
                return false;
            p += 2;
            continue;
        }
        if (*p == '}')
            return el_jinja_fail(r, "format: a single '}'");
        int depth = 1;
        for (q = p + 1; q < end; q++) {
            depth += *q == '{' ? 1 : *q == '}' ? -1 : 0;
            if (depth == 0)
                break;
        }
        if (q == end)
            return el_jinja_fail(r, "format: a field without '}'");
        if (!add_braces(r, &t, &f, p + 1, q))
            return false;
        p = q + 1;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

/* ---- strftime ----------------------------------------------------------------------------------------------------- */

struct date {
    int64_t year;
    int month, day, hour, minute, second, weekday, yearday; /* month 1..12, weekday 0: Sunday, yearday 0.. */
};

/* Days since 1970 to a date of the Gregorian calendar (H. Hinnant, chrono-compatible low-level date algorithms). */
static struct date date_of(int64_t now_s)
{
    int64_t days = now_s / 86400, rest = now_s % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    const int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    struct date d = {
        .year = yoe + era * 400, .day = (int)(doy - (153 * mp + 2) / 5 + 1), .month = (int)(mp < 10 ? mp + 3 : mp - 9)};
    d.year += d.month <= 2;
    d.hour = (int)(rest / 3600);
    d.minute = (int)(rest / 60 % 60);
    d.second = (int)(rest % 60);
    d.weekday = (int)((days % 7 + 11) % 7);
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const bool leap = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0;
    d.yearday = before[d.month - 1] + d.day - 1 + (leap && d.month > 2);
    return d;
}

static bool add_date(struct el_jrun *r, struct el_jtext *t, char c, bool unpadded, const struct date *d)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    const int hour12 = d->hour % 12 ? d->hour % 12 : 12;
    const char *const two = unpadded ? "%d" : "%02d";
    char text[64];
    int v;
    switch (c) {
    case 'Y': return el_jtext_add(r, t, text, print(text, sizeof text, "%04lld", (long long)d->year));
    case 'B': return el_jtext_add_lit(r, t, months[d->month - 1]);
    case 'b':
    case 'h': return el_jtext_add(r, t, months[d->month - 1], 3);
    case 'A': return el_jtext_add_lit(r, t, days[d->weekday]);
    case 'a': return el_jtext_add(r, t, days[d->weekday], 3);
    case 'p': return el_jtext_add_lit(r, t, d->hour < 12 ? "AM" : "PM");
    case 'F': return el_jtext_add(r, t, text, print(text, sizeof text, "%04lld-%02d-%02d", (long long)d->year, d->month, d->day));
    case 'T':
    case 'X': return el_jtext_add(r, t, text, print(text, sizeof text, "%02d:%02d:%02d", d->hour, d->minute, d->second));
    case 'R': return el_jtext_add(r, t, text, print(text, sizeof text, "%02d:%02d", d->hour, d->minute));
    case 'D':
    case 'x': return el_jtext_add(r, t, text, print(text, sizeof text, "%02d/%02d/%02d", d->month, d->day, (int)(d->year % 100)));
    case 'j': return el_jtext_add(r, t, text, print(text, sizeof text, unpadded ? "%d" : "%03d", d->yearday + 1));
    case 'e': return el_jtext_add(r, t, text, print(text, sizeof text, "%2d", d->day));
    case 'f': return el_jtext_add_lit(r, t, "000000");
    case 'w': return el_jtext_add(r, t, text, print(text, sizeof text, "%d", d->weekday));
    case 'u': return el_jtext_add(r, t, text, print(text, sizeof text, "%d", d->weekday ? d->weekday : 7));
    case 'n': return el_jtext_add(r, t, "\n", 1);
    case 't': return el_jtext_add(r, t, "\t", 1);
    case 'Z':
    case 'z': return true; /* a clock without a zone */
    case '%': return el_jtext_add(r, t, "%", 1);
    case 'd': v = d->day; break;
    case 'm': v = d->month; break;
    case 'y': v = (int)(d->year % 100); break;
    case 'H': v = d->hour; break;
    case 'I': v = hour12; break;
    case 'M': v = d->minute; break;
    case 'S': v = d->second; break;
    case 'U': v = (d->yearday + 7 - d->weekday) / 7; break;
    case 'W': v = (d->yearday + 7 - (d->weekday + 6) % 7) / 7; break;
    default: return el_jinja_fail(r, "strftime_now: the format character '%c' is not supported", c);
    }
    return el_jtext_add(r, t, text,
                        strcmp(two, "%d") == 0 ? print(text, sizeof text, "%d", v) : print(text, sizeof text, "%02d", v));
}

bool el_jinja_strftime(struct el_jrun *r, struct el_jval format, int64_t now_s, struct el_jval *out)
{
    const struct date d = date_of(now_s);
    struct el_jtext t;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (uint32_t i = 0; i < format.n; i++) {
        const char c = format.u.s[i];
        if (c != '%' || i + 1 == format.n) {
            if (!el_jtext_add(r, &t, &c, 1))
                return false;
            continue;
        }
        const bool unpadded = format.u.s[i + 1] == '-' && i + 2 < format.n;
        i += 1 + unpadded;
        if (!add_date(r, &t, format.u.s[i], unpadded, &d))
            return false;
    }
    *out = el_jtext_str(r, &t);
    return true;
}
