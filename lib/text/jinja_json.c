/*
 * JSON in and out. In: base/json.h checks the text, then it is walked once more here, because values must keep apart what cJSON
 * does not (1 and 1.0; integers beyond 2^53). Out: json.dumps.
 */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/locale_c.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

/* Checked text: every character is where the grammar wants it. */
struct reader {
    struct el_jrun *r;
    const char *s, *end;
};

static bool read_value(struct reader *in, struct el_jval *out);

static void skip_blanks(struct reader *in)
{
    while (in->s < in->end && (*in->s == ' ' || *in->s == '\n' || *in->s == '\t' || *in->s == '\r'))
        in->s++;
}

static uint32_t read_hex(const char *s)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)(s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
    return v;
}

/* An escape, behind its backslash. */
static uint32_t read_escape(struct reader *in)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    const char c = *in->s++;
    const char *const simple = strchr(from, c);
    if (c != 'u')
        return (uint32_t)(unsigned char)(simple ? to[simple - from] : c);
    uint32_t cp = read_hex(in->s);
    in->s += 4;
    if (cp >= 0xd800 && cp < 0xdc00) { /* its other half follows: the check has seen to it */
        cp = 0x10000 + ((cp - 0xd800) << 10) + (read_hex(in->s + 2) - 0xdc00);
        in->s += 6;
    }
    return cp;
}

static bool read_string(struct reader *in, struct el_jval *out)
{
    struct el_jtext t;
    const char *plain = ++in->s;
    el_jtext_init(&t, EL_JINJA_MAX_MEMORY);
    while (*in->s != '"') {
        if (*in->s != '\\') {
            in->s++;
            continue;
        }
        if (!el_jtext_add(in->r, &t, plain, (size_t)(in->s - plain)))
            return false;
        in->s++;
        if (!el_jtext_add_cp(in->r, &t, read_escape(in)))
            return false;
        plain = in->s;
    }
    if (!el_jtext_add(in->r, &t, plain, (size_t)(in->s - plain)))
        return false;
    in->s++;
    *out = el_jtext_str(in->r, &t);
    return true;
}

static bool read_number(struct reader *in, struct el_jval *out)
{
    const char *const begin = in->s;
    bool is_int = true, big = false;
    int64_t value = 0;
    const bool minus = *in->s == '-';
    in->s += minus;
    for (; in->s < in->end && memchr("0123456789.eE+-", *in->s, 15); in->s++) {
        const int d = *in->s - '0';
        is_int = is_int && d >= 0 && d <= 9;
        if (is_int && (__builtin_mul_overflow(value, (int64_t)10, &value) ||
                       __builtin_sub_overflow(value, (int64_t)d, &value))) /* counted downwards: -2^63 is in reach */
            big = true;
    }
    if (is_int && !big && !minus && value == INT64_MIN)
        big = true;
    if (is_int && !big) {
        *out = el_jv_int(minus ? value : -value);
        return true;
    }
    const size_t n = (size_t)(in->s - begin);
    char *const copy = el_jinja_get(in->r, n + 1, 1);
    if (!copy)
        return false;
    memcpy(copy, begin, n);
    copy[n] = '\0';
    if (is_int) {
        *out = el_jv_str(copy, n);
        out->kind = EL_J_BIG;
    } else {
        *out = el_jv_float(el_strtod_c(copy, NULL));
    }
    return true;
}

/* Elements in front of the closing bracket: commas outside of what is nested. One pass over the text for each level of it. */
static uint32_t count_items(const struct reader *in)
{
    uint32_t n = 0, depth = 0;
    bool any = false;
    for (const char *s = in->s; s < in->end; s++) {
        if (*s == '"') {
            for (s++; *s != '"'; s++)
                s += *s == '\\';
        } else if (*s == '[' || *s == '{') {
            depth++;
        } else if (*s == ']' || *s == '}') {
            if (depth-- == 0)
                break;
        } else if (*s == ',' && depth == 0) {
            n++;
            continue;
        } else if (*s == ' ' || *s == '\n' || *s == '\t' || *s == '\r') {
            continue;
        }
        any = true;
    }
    return any ? n + 1 : 0;
}

static bool read_array(struct reader *in, struct el_jval *out)
{
    in->s++;
    const uint32_t n = count_items(in);
    struct el_jval *const v = el_jinja_get(in->r, n, sizeof *v);
    if (!v)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        skip_blanks(in);
        in->s += i > 0; /* the comma */
        if (!read_value(in, &v[i]))
            return false;
        skip_blanks(in);
    }
    skip_blanks(in);
    in->s++;
    *out = el_jv_list(v, n);
    return true;
}

static bool read_object(struct reader *in, struct el_jval *out)
{
    in->s++;
    const uint32_t n = count_items(in);
    struct el_jpair *const kv = el_jinja_get(in->r, n, sizeof *kv);
    if (!kv)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        skip_blanks(in);
        in->s += i > 0;
        skip_blanks(in);
        if (!read_string(in, &kv[i].k))
            return false;
        skip_blanks(in);
        in->s++; /* the colon */
        if (!read_value(in, &kv[i].v))
            return false;
        skip_blanks(in);
    }
    skip_blanks(in);
    in->s++;
    *out = (struct el_jval){.kind = EL_J_DICT, .n = n, .u.kv = kv};
    return true;
}

static bool read_value(struct reader *in, struct el_jval *out)
{
    skip_blanks(in);
    switch (*in->s) {
    case '{': return read_object(in, out);
    case '[': return read_array(in, out);
    case '"': return read_string(in, out);
    case 't':
        in->s += 4;
        *out = el_jv_bool(true);
        return true;
    case 'f':
        in->s += 5;
        *out = el_jv_bool(false);
        return true;
    case 'n':
        in->s += 4;
        *out = el_jv_none();
        return true;
    default: return read_number(in, out);
    }
}

bool el_jinja_from_json(struct el_jrun *r, const char *text, size_t nbytes, const char *what, struct el_jval *out)
{
    struct el_json_doc *doc;
    struct reader in = {r, text, text + nbytes};
    const enum el_status status = el_json_parse(text, nbytes, what, &doc, r->err);
    if (status != EL_OK) {
        r->status = status;
        return false;
    }
    el_json_free(doc);
    const uint64_t steps = r->steps; /* the input is the caller's: its size costs the template nothing */
    const bool ok = read_value(&in, out);
    r->steps = steps;
    return ok;
}

/* ---- out ---------------------------------------------------------------------------------------------------------- */

static bool add_json_value(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, const struct el_jjson_opts *o,
                           uint32_t level);

static bool add_escape(struct el_jrun *r, struct el_jtext *t, uint32_t cp)
{
    static const char digits[] = "0123456789abcdef";
    const char u[6] = {'\\', 'u', digits[cp >> 12 & 15], digits[cp >> 8 & 15], digits[cp >> 4 & 15], digits[cp & 15]};
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *const simple = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
    const char two[2] = {'\\', simple ? to[simple - from] : '\0'};
    return simple ? el_jtext_add(r, t, two, 2) : el_jtext_add(r, t, u, 6);
}

static bool add_json_string(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, bool ascii)
{
    uint32_t plain = 0;
    if (!el_jtext_add(r, t, "\"", 1))
        return false;
    for (uint32_t i = 0; i < v->n;) {
        uint32_t cp = 0;
        const uint32_t len = (uint32_t)el_utf8_decode(v->u.s + i, v->n - i, &cp);
        if (cp >= 0x20 && cp != '"' && cp != '\\' && !(ascii && cp > 0x7e)) {
            i += len;
            continue;
        }
        if (!el_jtext_add(r, t, v->u.s + plain, i - plain))
            return false;
        if (cp >= 0x10000 ? !add_escape(r, t, 0xd800 + ((cp - 0x10000) >> 10)) || !add_escape(r, t, 0xdc00 + (cp & 0x3ff))
                          : !add_escape(r, t, cp))
            return false;
        i += len;
        plain = i;
    }
    return el_jtext_add(r, t, v->u.s + plain, v->n - plain) && el_jtext_add(r, t, "\"", 1);
}

static bool add_json_float(struct el_jrun *r, struct el_jtext *t, double d)
{
    char text[40];
    if (isnan(d) || isinf(d))
        return el_jtext_add_lit(r, t, isnan(d) ? "NaN" : d < 0 ? "-Infinity" : "Infinity");
    return el_jtext_add(r, t, text, el_jinja_float_text(d, text));
}

/* The text of a key: strings as they are, None, numbers and truth values in words. */
static bool key_text(struct el_jrun *r, const struct el_jval *k, struct el_jval *out)
{
    struct el_jtext t;
    if (k->kind == EL_J_NONE || k->kind == EL_J_BOOL) {
        *out = el_jv_lit(k->kind == EL_J_NONE ? "null" : k->u.b ? "true" : "false");
        return true;
    }
    if (k->kind == EL_J_FLOAT) {
        el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
        if (!add_json_float(r, &t, k->u.d))
            return false;
        *out = el_jtext_str(r, &t);
        return true;
    }
    if (k->kind != EL_J_STR && k->kind != EL_J_INT && k->kind != EL_J_BIG)
        return el_jinja_fail(r, "tojson: a %s as a key", el_jv_type(k));
    return el_jv_to_str(r, k, out);
}

static bool new_line(struct el_jrun *r, struct el_jtext *t, const struct el_jjson_opts *o, uint32_t level)
{
    if (!o->has_indent)
        return true;
    return el_jtext_add(r, t, "\n", 1) && (o->indent.n == 0 || el_jtext_fill(r, t, o->indent.u.s, o->indent.n, level));
}

/* In front of element i of a container. */
static bool separate(struct el_jrun *r, struct el_jtext *t, const struct el_jjson_opts *o, uint32_t i, uint32_t level)
{
    return (i == 0 || el_jtext_add(r, t, o->item_sep.u.s, o->item_sep.n)) && new_line(r, t, o, level);
}

/* Indices of the pairs in the order of their keys: insertion, for dictionaries are small; ticks count the rest. */
static uint32_t *sorted_keys(struct el_jrun *r, const struct el_jval *v)
{
    uint32_t *const order = el_jinja_get(r, v->n, sizeof *order);
    for (uint32_t i = 0; order && i < v->n; i++) {
        uint32_t at = i;
        for (; at > 0; at--) {
            int c;
            if (!el_jv_compare(r, &v->u.kv[order[at - 1]].k, &v->u.kv[i].k, &c))
                return NULL;
            if (c <= 0)
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return order;
}

static bool add_json_dict(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, const struct el_jjson_opts *o,
                          uint32_t level)
{
    uint32_t *order = NULL;
    if (v->n == 0)
        return el_jtext_add(r, t, "{}", 2);
    if (o->sort && !(order = sorted_keys(r, v)))
        return false;
    if (!el_jtext_add(r, t, "{", 1))
        return false;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct el_jpair *const p = &v->u.kv[order ? order[i] : i];
        struct el_jval key;
        if (!separate(r, t, o, i, level + 1) || !key_text(r, &p->k, &key) || !add_json_string(r, t, &key, o->ascii) ||
            !el_jtext_add(r, t, o->key_sep.u.s, o->key_sep.n) || !add_json_value(r, t, &p->v, o, level + 1))
            return false;
    }
    return new_line(r, t, o, level) && el_jtext_add(r, t, "}", 1);
}

static bool add_json_list(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, const struct el_jjson_opts *o,
                          uint32_t level)
{
    if (v->n == 0)
        return el_jtext_add(r, t, "[]", 2);
    if (!el_jtext_add(r, t, "[", 1))
        return false;
    for (uint32_t i = 0; i < v->n; i++)
        if (!separate(r, t, o, i, level + 1) || !add_json_value(r, t, &v->u.v[i], o, level + 1))
            return false;
    return new_line(r, t, o, level) && el_jtext_add(r, t, "]", 1);
}

static bool add_json_value(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, const struct el_jjson_opts *o,
                           uint32_t level)
{
    bool ok;
    if (!el_jinja_enter(r))
        return false;
    switch (v->kind) {
    case EL_J_NONE: ok = el_jtext_add_lit(r, t, "null"); break;
    case EL_J_BOOL: ok = el_jtext_add_lit(r, t, v->u.b ? "true" : "false"); break;
    case EL_J_INT:
    case EL_J_BIG: ok = el_jtext_add_str(r, t, v); break;
    case EL_J_FLOAT: ok = add_json_float(r, t, v->u.d); break;
    case EL_J_STR: ok = add_json_string(r, t, v, o->ascii); break;
    case EL_J_LIST:
    case EL_J_TUPLE: ok = add_json_list(r, t, v, o, level); break;
    case EL_J_DICT: ok = add_json_dict(r, t, v, o, level); break;
    default: ok = el_jinja_fail(r, "tojson: a value of type %s has no JSON", el_jv_type(v));
    }
    el_jinja_leave(r);
    return ok;
}

bool el_jtext_add_json(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, const struct el_jjson_opts *o)
{
    return add_json_value(r, t, v, o, 0);
}
